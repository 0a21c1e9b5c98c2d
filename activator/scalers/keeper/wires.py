"""How keeper and wardens speak to the edge, and what wakes them."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

PACKET = 1 << 20
CHUNK = 1 << 16


def tell(edge: socket.socket, **message: object) -> None:
    """Send one message to the edge, if it still lives."""
    try:
        edge.send(json.dumps(message).encode())
    except OSError:
        return


def hear(line: socket.socket) -> bytes:
    """Return the next packet; empty when the other side is gone."""
    try:
        return line.recv(PACKET)
    except OSError:
        return b""


def wake_on_signals() -> int:
    """Return a descriptor that becomes readable when a child ends, or whenever this process is told to stop.

    Only the edge decides when models end, so SIGTERM and SIGINT are no more than a reason to look around.
    They have a handler rather than SIG_IGN because the latter would be inherited by the models.
    """
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    return read


def drain(descriptor: int) -> None:
    """Empty a wake-up pipe."""
    try:
        while os.read(descriptor, CHUNK):
            pass
    except BlockingIOError:
        return
