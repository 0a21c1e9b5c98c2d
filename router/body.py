"""A request's body on its way from client to replica: buffered, within a bound, until a replica is known; then passed
on.

A body that is still being uploaded must not occupy a replica, so it counts as ready only when it is complete or when
enough of it is here that it can be forwarded at speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

BUFFER = 64 << 10
MOST_PIECES = 32  # that are kept apart: each takes memory of its own, which nobody counts


class Flow(Protocol):
    """The reading side of a connection."""

    def pause_reading(self) -> None:
        """Stop reading from the peer."""

    def resume_reading(self) -> None:
        """Read on."""


class BodySink(Protocol):
    """Where a body goes once a replica is known."""

    def write_body(self, data: bytes) -> None:
        """Take the next piece."""

    def end_body(self) -> None:
        """Take note that the body is complete."""


class Body:
    """Bytes of one request's body. `limit` bounds it (0 = none); `on_ready` and `on_overflow` are called at most
    once."""

    __slots__ = (
        "_flow",
        "_pieces",
        "_sink",
        "complete",
        "limit",
        "on_overflow",
        "on_ready",
        "received",
        "size",
    )

    def __init__(self, flow: Flow) -> None:
        self.size = 0  # bytes buffered
        self.received = 0
        self.complete = False
        self.limit = 0
        self.on_ready: Callable[[], None] | None = None
        self.on_overflow: Callable[[], None] | None = None
        self._flow = flow
        self._pieces: list[bytes] = []
        self._sink: BodySink | None = None

    @property
    def ready(self) -> bool:
        """Whether the request may be dispatched."""
        return self.complete or self.size >= BUFFER

    def feed(self, data: bytes) -> None:
        """Take the next piece from the client."""
        self.received += len(data)
        if self.limit and self.received > self.limit:
            self._overflow()
        elif self._sink is not None:
            self._sink.write_body(data)
        else:
            self._pieces.append(data)
            if len(self._pieces) > MOST_PIECES:
                self._pieces = [b"".join(self._pieces)]
            self.size += len(data)
            if self.size >= BUFFER:
                self._flow.pause_reading()
                self._tell_ready()

    def finish(self) -> None:
        """Take note that the client has sent all of it."""
        self.complete = True
        self.on_overflow = None
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end_body()
        self._tell_ready()

    def attach(self, sink: BodySink) -> None:
        """Send what is buffered, and all that follows, to `sink`."""
        if not self.complete:
            self._sink = sink
        pieces, self._pieces = self._pieces, []
        self._release()
        if pieces:
            sink.write_body(b"".join(pieces))
        if self.complete:
            sink.end_body()

    def take(self) -> bytes:
        """Return the whole of a body that is complete and was not attached; it is not kept."""
        data = b"".join(self._pieces)
        self._pieces = []
        self.size = 0
        return data

    def beginning(self, size: int) -> bytes:
        """Return a copy of the first `size` bytes, or fewer, of what is buffered."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return b"".join(self._pieces)[:size]

    def discard(self) -> None:
        """Drop what is buffered and what is still to come."""
        self._sink = _Nowhere()
        self.limit = 0
        self.on_ready = self.on_overflow = None
        self._release()

    def _release(self) -> None:
        self._pieces = []
        if self.size >= BUFFER and not self.complete:
            self._flow.resume_reading()
        self.size = 0

    def _tell_ready(self) -> None:
        if self.on_ready is not None:
            tell, self.on_ready = self.on_ready, None
            tell()

    def _overflow(self) -> None:
        tell = self.on_overflow
        self.discard()
        if tell is not None:
            tell()


class _Nowhere:
    def write_body(self, data: bytes) -> None:
        """Drop it."""

    def end_body(self) -> None:
        """Nothing was kept."""
