"""Requests at a fixed rate, whatever becomes of them: an open loop, which does not wait when the server is slow.

A request's time runs from when it was due, or from when this program came to see that it was due: its own delays are
not the server's. When all connections are busy those that are due wait, and that counts.
Arguments: port, requests per second, seconds, connections.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from statistics import quantiles

from benchmarks.crowds.idle import REQUEST

END = b"\r\n\r\n"
LENGTH = b"content-length:"
PATIENCE = 5.0


def main() -> None:
    port, rate, seconds, connections = map(int, sys.argv[1:])
    sockets = {each.fileno(): each for each in (_connect(port) for _ in range(connections))}
    times, late = _load(sockets, rate, seconds)
    percentiles = quantiles(times, n=1000, method="inclusive")
    told = {"p50_ms": percentiles[499], "p99_ms": percentiles[989], "p999_ms": percentiles[998], "max_ms": max(times)}
    figures = {name: round(value * 1e3, 3) for name, value in told.items()}
    print(json.dumps(figures | {"answered": len(times), "asked": rate * seconds, "waited_for_a_connection": late}))


def _load(sockets: dict[int, socket.socket], rate: int, seconds: int) -> tuple[list[float], int]:
    """Return the times of all answers, in seconds, and how many requests found no free connection."""
    free, due = deque(sockets), deque[float]()
    begun: dict[int, float] = {}
    times: list[float] = []
    noticed, total, late = 0, rate * seconds, 0
    start = time.monotonic()
    while (noticed < total or begun or due) and time.monotonic() < start + seconds + PATIENCE:
        now = time.monotonic()
        while noticed < total and start + noticed / rate <= now:
            noticed += 1
            late += not free
            due.append(now)
        while due and free:
            fd = free.popleft()
            begun[fd] = due.popleft()
            sockets[fd].send(REQUEST)
        wait = max(0.0, start + noticed / rate - time.monotonic()) if noticed < total else PATIENCE
        for fd in select.select(list(begun), (), (), wait)[0] if begun else _slept(wait):
            _read(sockets[fd])
            times.append(time.monotonic() - begun.pop(fd))
            free.append(fd)
    return times, late


def _slept(seconds: float) -> tuple[int, ...]:
    time.sleep(seconds)
    return ()


def _read(server: socket.socket) -> None:
    """Read one answer. RuntimeError when it is not a 200 with a length."""
    data = server.recv(65536)
    head, _, body = data.partition(END)
    length = head.lower().partition(LENGTH)[2].partition(b"\r\n")[0]
    if not head.startswith(b"HTTP/1.1 200") or (not length and b"chunked" not in head.lower()):
        raise RuntimeError(f"was answered {data[:200]!r}")
    while len(body) < int(length or 0):
        body += server.recv(65536)


def _connect(port: int) -> socket.socket:
    server = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.sendall(REQUEST)
    _read(server)
    return server


if __name__ == "__main__":
    main()
