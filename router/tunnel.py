"""What passes between client and replica once the replica has accepted a WebSocket: bytes, both ways, unread.

A tunnel takes over the replica's connection from the replica's 101 on and is, to everyone else, a request that takes
its time: it ends when the connection to the replica has ended, and with it the exchange. What the client sent too early
was kept until now (`Request.upgrade`); neither side's bytes are ever parsed. Each direction is paused while its reader
is slow.

The end of one side is passed on to the other, which then may send what it has left. But one that falls silent instead
must not keep the slot for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from router.errors import EdgeError, Reason
from router.exchange import ClientGone

if TYPE_CHECKING:
    from router.exchange import Exchange
    from router.ports import Clock

HALF_CLOSED_SECONDS = 10.0


class Tunnel(asyncio.Protocol):
    """Relays `exchange` over a replica's `transport`; `switch` begins it."""

    def __init__(self, exchange: Exchange, transport: asyncio.Transport, clock: Clock) -> None:
        self._exchange = exchange
        self._transport = transport
        self._clock = clock
        self._last_byte = clock()
        self._client_ended = False
        self._replica_ended = False
        self._paused = False  # the client is slower, which is no silence

    def switch(self) -> None:
        """Take over both sides, and send on what the client has sent already."""
        self._transport.set_protocol(self)
        self._exchange.upstream = self
        if self._exchange.request.upgrade is not None:
            self._exchange.request.upgrade.attach(self)

    def check_clocks(self, now: float) -> None:
        """End the tunnel if it took too long, or was silent for too long in both directions. A client that is slow to
        take what there is for it has a clock of its own (`Watch`)."""
        limits = self._exchange.revision.limits
        silent = 0.0 if self._paused else now - self._last_byte
        if limits.total and now - self._exchange.dispatched > limits.total:
            self._exchange.fail(too_slow(f"The WebSocket was open for longer than {limits.total:g} s."))
        elif limits.idle and silent > limits.idle:
            self._exchange.fail(too_slow(f"Nothing passed through the WebSocket for {limits.idle:g} s."))
        elif (self._client_ended or self._replica_ended) and silent > HALF_CLOSED_SECONDS:
            self._exchange.wake()

    def client_left(self) -> None:
        """Close the replica's side at once: there is nothing to be finished for nobody."""
        self._exchange.fail(ClientGone())

    def pause_reading(self) -> None:
        """Stop reading from the replica: the client is slower."""
        self._paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._paused = False
        self._last_byte = self._clock()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def write_body(self, data: bytes) -> None:
        """Pass on bytes of the client."""
        self._last_byte = self._clock()
        if not self._transport.is_closing():
            self._transport.write(data)

    def end_body(self) -> None:
        """Pass on the end of the client's side. If the replica's has ended before, all is over once the last bytes have
        left."""
        self._client_ended = True
        self._last_byte = self._clock()
        if self._transport.is_closing():
            return
        if self._replica_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self._last_byte = self._clock()
        self._exchange.body_bytes += len(data)
        self._exchange.client.write(data)

    def eof_received(self) -> bool:
        """Pass on the end of the replica's side; asyncio closes if the client's has ended, or one cannot end alone."""
        self._replica_ended = True
        self._last_byte = self._clock()
        goes_on = not self._client_ended and self._exchange.client.write_eof()
        return goes_on and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._exchange.wake()
        else:
            error = EdgeError(Reason.UPSTREAM_BROKE, "The connection to the model was reset.", sent=True)
            self._exchange.fail(error)

    def pause_writing(self) -> None:
        self._exchange.client.pause_reading()

    def resume_writing(self) -> None:
        self._exchange.client.resume_reading()


def too_slow(message: str) -> EdgeError:
    """Return the end of a request that a replica has been sent, by a clock that it has used up."""
    return EdgeError(Reason.UPSTREAM_TIMEOUT, message, sent=True)
