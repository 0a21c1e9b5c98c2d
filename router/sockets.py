"""What the kernel knows of a connection and no event loop tells: that the peer has left although nothing is read, and
that it takes what is sent to it.

While reading is paused neither asyncio nor uvloop reports an end or a reset. Linux tells both in TCP_INFO; elsewhere
nothing is known, and the next write finds out.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import ssl
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

OWN_DESCRIPTORS = 32
MOST_CALLERS = 128  # a crowd of scrapers may come at once
LAST_BYTES = 256 << 10
SILENT_SECONDS, PROBE_SECONDS, PROBES = 60, 15, 4  # who answers none of these has vanished without a word
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


def watch_over(found: socket.socket) -> None:
    """Have the kernel ask a peer that is silent for a sign of life (tcp(7)): a client or replica whose machine or
    network is gone would be awaited for ever. What a socket accepts inherits it."""
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Watch over a connection, if it has not ended yet."""
    found = transport.get_extra_info("socket")
    if found is not None:
        watch_over(found)


def reset(transport: asyncio.Transport) -> None:
    """Cut the connection so that the other side sees that it was cut."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()


def read_nothing_ahead(transport: asyncio.Transport) -> None:
    """Let a connection by TLS be read no further while it is paused than what came with the last read. uvloop would go
    on up to 256 KiB, and drop them when it came to the other side's end."""
    cast("Any", transport).set_read_buffer_limits(high=1)


def unread(transport: asyncio.BaseTransport) -> bytes:
    """Return what the kernel still has for a connection that has failed and is about to be closed: event loops do not
    read on when a write has failed. Nothing of a connection by TLS, where it would have to be decrypted."""
    with contextlib.suppress(OSError):
        if transport.get_extra_info("ssl_object") is None:
            return os.read(transport.get_extra_info("socket").fileno(), LAST_BYTES)
    return b""


def poll_of(transport: asyncio.BaseTransport) -> select.poll:
    """Return what tells whether there is anything to read of a connection, or its end, which the event loop has yet to
    find out. Nothing is known of one without a socket."""
    poll = select.poll()
    found = transport.get_extra_info("socket")
    if found is not None:
        poll.register(found.fileno(), select.POLLIN)
    return poll


def was_cut(transport: asyncio.BaseTransport) -> bool:
    """Tell whether a connection by TLS has ended without the other side's word, so that anybody may have cut it
    (RFC 9112 9.8)."""
    secure = transport.get_extra_info("ssl_object")
    if secure is None:
        return False
    try:
        return bool(secure.read(1))
    except ssl.SSLError:
        return True


def most_connections(limit: Callable[[int], tuple[int, int]] = resource.getrlimit) -> int:
    """Return how many clients the descriptors suffice for, when each may need another one for its replica."""
    soft, _ = limit(resource.RLIMIT_NOFILE)
    own = OWN_DESCRIPTORS + most_callers(limit)
    return max(1, (soft - own) // 2) if soft != resource.RLIM_INFINITY else 1 << 20


def most_callers(limit: Callable[[int], tuple[int, int]] = resource.getrlimit) -> int:
    """Return how many connections the admin listener may have: few descriptors must suffice for clients, too."""
    soft, _ = limit(resource.RLIMIT_NOFILE)
    return max(1, min(soft // 8, MOST_CALLERS)) if soft != resource.RLIM_INFINITY else MOST_CALLERS


def _tcp_info(transport: asyncio.BaseTransport, size: int) -> bytes:
    found = transport.get_extra_info("socket")
    if _TCP_INFO is None or found is None:
        return b""
    try:
        info: bytes = found.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, size)
    except (OSError, ValueError):
        return b""
    return info
