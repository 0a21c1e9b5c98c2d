"""What a process can do about its descendants: adopt, find and end them (Linux: prctl(2), proc(5))."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_prctl = ctypes.CDLL(None).prctl


def adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def be_told_of_parents_death(number: int) -> None:
    """Get signal `number` when the parent ends, even by SIGKILL."""
    _prctl(PR_SET_PDEATHSIG, number)


def die_with(parent: int) -> None:
    """Be killed when `parent` ends; at once if it has ended already."""
    be_told_of_parents_death(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def descendants(root: int, keep: Container[int] = ()) -> list[int]:
    """Return the processes below `root`, without `keep` and what is below those."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    frontier = [root]
    while frontier:
        born = [pid for pid in children.get(frontier.pop(), ()) if pid not in keep]
        found += born
        frontier += born
    return found


def parent_of(process: Path) -> int | None:
    """Return the parent of a process (a directory of /proc), None when it has gone."""
    try:
        stat = (process / "stat").read_bytes()
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split(None, 2)[1])


def end_family(keep: Container[int] = ()) -> None:
    """SIGKILL all descendants but `keep` and theirs; return when none of them is left, zombies included."""
    pause = 0.001
    while family := descendants(os.getpid(), keep):
        for pid in family:
            send_signal(pid, signal.SIGKILL)
            reap(pid)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a process, or a group (negative), that may have gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def reap(pid: int) -> None:
    """Take note of a process's end, if it has ended and is a child of ours."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def group_of(pid: int) -> int:
    """Return the process group of a process, 0 when it has gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
