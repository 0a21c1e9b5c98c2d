"""What the kernel knows of a connection and no event loop tells: that the peer has left although nothing is read, and
that it takes what is sent to it.

While reading is paused neither asyncio nor uvloop reports an end or a reset. Linux tells both in TCP_INFO; elsewhere
nothing is known, and the next write finds out.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

OWN_DESCRIPTORS = 64
RESET = struct.pack("ii", 1, 0)  # linger for 0 s
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_ACKED = struct.Struct("120xQ")  # tcpi_bytes_acked of struct tcp_info (linux/tcp.h)


class Peer(IntEnum):
    """Whether the other side is still there."""

    PRESENT = 0
    HALF_CLOSED = 1  # it sends no more
    GONE = 2  # it cut the connection


_PEERS = {7: Peer.GONE, 8: Peer.HALF_CLOSED, 9: Peer.HALF_CLOSED, 11: Peer.HALF_CLOSED}  # TCP_CLOSE, _CLOSE_WAIT, ...


def peer(transport: asyncio.BaseTransport) -> Peer:
    """Return what the kernel knows of the other side."""
    info = _tcp_info(transport, 1)
    return _PEERS.get(info[0], Peer.PRESENT) if info else Peer.PRESENT


def acknowledged(transport: asyncio.BaseTransport) -> int:
    """Return how many bytes the other side has taken so far; 0 when that is not known."""
    info = _tcp_info(transport, _ACKED.size)
    acked: int = _ACKED.unpack(info)[0] if len(info) == _ACKED.size else 0
    return acked


def reset(transport: asyncio.Transport) -> None:
    """Cut the connection so that the other side sees that it was cut."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()


def most_connections(limit: Callable[[int], tuple[int, int]] = resource.getrlimit) -> int:
    """Return how many clients the descriptors suffice for, when each may need another one for its replica."""
    soft, _ = limit(resource.RLIMIT_NOFILE)
    return max(1, (soft - OWN_DESCRIPTORS) // 2) if soft != resource.RLIM_INFINITY else 1 << 20


def _tcp_info(transport: asyncio.BaseTransport, size: int) -> bytes:
    found = transport.get_extra_info("socket")
    if _TCP_INFO is None or found is None:
        return b""
    try:
        info: bytes = found.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, size)
    except (OSError, ValueError):
        return b""
    return info
