"""Processes under measurement: started on one core, timed by the kernel, ended with the benchmark.

CPU time is what the kernel charged to a process and its descendants, all threads, user and system (/proc/PID/stat,
steps of 10 ms). Work that the kernel does for a loopback connection is charged to whoever sends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from activator.scalers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOST = "127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
WORKER = b"activator.peers.worker"
START_SECONDS = 20.0
END_SECONDS = 10.0
ROOT = Path(__file__).parent.parent


def cores() -> tuple[int, int]:
    """Return the core for what is measured and the core for the rest; they are the same on a machine with one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """Return `command`, to be run on one core."""
    return ["taskset", "-c", str(core), *command]


@contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[int]:
    """Run `command`, which is to listen on `port`, while the context lasts, its output in `log`; give its process id.

    RuntimeError, with the end of the log, when it does not come to listen.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            if not _listens(process, port):
                said = log.read_text()[-500:] or "nothing"
                raise RuntimeError(f"Nothing listens on port {port}. {log.stem} said: {said}")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def new_port() -> int:
    """Return a port that nobody listens on, and that no connection may take by chance."""
    return free_port(HOST, ())


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        time.sleep(0.02)
    return False


def cpu_seconds(pid: int, *, descendants: bool = True) -> float:
    """Return the CPU time used so far by a process, with its descendants that live or without."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS + (sum(map(cpu_seconds, _children(pid))) if descendants else 0.0)


def resident_bytes(pid: int, *, descendants: bool = True) -> int:
    """Return the memory that a process, with its descendants or without, has in RAM (/proc/PID/statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE + (sum(map(resident_bytes, _children(pid))) if descendants else 0)


def edge_processes(pid: int) -> list[int]:
    """Return the processes of an edge: its parent and its workers, without its keeper and its replicas."""
    return [pid, *(child for child in _children(pid) if WORKER in Path(f"/proc/{child}/cmdline").read_bytes())]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
