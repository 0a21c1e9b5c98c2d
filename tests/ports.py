"""Ports that nobody listens on."""

from __future__ import annotations

import socket
from collections import deque

MOST = 64
_held: deque[socket.socket] = deque()


def free_ports(count: int) -> list[int]:
    """Return so many different ports that nobody listens on. No other process is given them while they are among the
    last `MOST`, as they stay bound here; whoever may share an address (SO_REUSEADDR), as servers may, can listen."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    _held.extend(sockets)
    while len(_held) > MOST:
        _held.popleft().close()
    return [each.getsockname()[1] for each in sockets]
