"""One connection to a replica: sends a request, and passes the response on as it comes.

The response's bytes never wait for a coroutine: what a read brings is parsed, framed anew and written to the client in
the same loop turn; the coroutine of the request only waits for the end. A connection that carried anything but one
whole request and one proper response is not used again.

It is lent with a slot, and is the context in which both are used, so that a request needs no object for its lease.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from router.errors import EdgeError, Reason, Unanswered
from router.exchange import ClientGone
from router.headers import request_head
from router.response import BadResponse, ResponseReader
from router.sockets import poll_of, unread, was_cut
from router.tunnel import Tunnel, too_slow

if TYPE_CHECKING:
    import select
    from collections.abc import Awaitable

    from router.exchange import Exchange
    from router.ports import Clock, UpstreamTls
    from router.slots import Slots

BROKE_SECONDS = 0.02
IDLE_PER_REPLICA = 512
SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
RACE_SECONDS = 1.0  # after which a replica was at work on a request, and did not just close an idle connection


class Upstream(asyncio.Protocol):
    """A connection to the replica of `slots`. It carries one exchange at a time, each in a slot that was taken before
    and within its context; at the end of that it joins the idle ones if it may be used again, else closes, and the slot
    is free. `last_byte` is when it was last of use (clock seconds), `tls` how it was made."""

    __slots__ = (
        "_clock",
        "_clogged",
        "_exchange",
        "_kept",
        "_last_sent",
        "_paused",
        "_poll",
        "_reader",
        "_transport",
        "last_byte",
        "slots",
        "tls",
        "usable",
    )

    def __init__(self, slots: Slots, clock: Clock, tls: UpstreamTls | None = None) -> None:
        self.slots = slots
        self.tls = tls
        self.last_byte = 0.0
        self.usable = True
        self._clock = clock
        self._paused = False
        self._clogged = False  # the replica does not take what it is sent
        self._last_sent = 0.0
        self._kept = False  # it has been idle before
        self._exchange: Exchange | None = None
        self._poll: select.poll | None = None
        self._reader = ResponseReader()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        slots, exchange = self.slots, self._exchange
        if exchange is not None:
            body = exchange.request.body
            if body is not None and not body.complete:
                body.discard()
                exchange.keep_alive = self.usable = False
            exchange.upstream = self._exchange = None
        if error is not None:
            self.usable = False
            broke = isinstance(error, EdgeError) and error.reason is Reason.UPSTREAM_BROKE
            if broke and not isinstance(error, Unanswered):
                slots.lender.avoid(slots, BROKE_SECONDS)
        if self._paused:
            self.resume_reading()
        if self.usable and not self._clogged and len(slots.idle) < IDLE_PER_REPLICA:
            self.rest()
        else:
            self.close()
        slots.lender.release(slots)

    @property
    def quiet(self) -> bool:
        """Whether the replica has said nothing, nor closed the connection, that nobody has looked at yet."""
        if self._poll is None:
            self._poll = poll_of(self._transport)
        return not self._poll.poll(0)

    def rest(self) -> None:
        """Wait among the idle ones for the next request."""
        self._kept = True
        self.slots.idle.append(self)

    def carry(self, exchange: Exchange) -> Awaitable[None]:
        """Send the request, and pass on the response; to be awaited until its last byte. EdgeError when the replica
        breaks or is too slow, ClientGone when nobody waits any more."""
        request = exchange.request
        body = request.body
        self._exchange = exchange
        exchange.upstream = self
        exchange.dispatched = self._last_sent = self.last_byte
        self._reader.begin(exchange)
        if request.length is None and body is not None and body.complete:
            request.declare(body.size)
        head = request.sent or request_head(request, exchange.client.forwarding)
        if self._transport.is_closing():
            self._ended()
        elif body is None:
            self._transport.write(head)
            if request.upgrade is not None:
                exchange.client.resume_reading()
        elif body.complete:
            self._transport.write(head + body.take())
        else:
            self._transport.write(head)
            body.attach(self)
        return exchange.wait()

    def check_clocks(self, now: float) -> None:
        """End the exchange if it has used up one of its clocks."""
        exchange = self._exchange
        if exchange is None:
            return
        limits = exchange.revision.limits
        if limits.total and now - exchange.dispatched > limits.total:
            exchange.fail(too_slow(f"The response took longer than {limits.total:g} s."))
        elif not exchange.first_byte:
            if limits.first_byte and now - self._last_sent > limits.first_byte and not self._awaits_client(exchange):
                exchange.fail(too_slow(f"The model did not begin to answer within {limits.first_byte:g} s."))
        elif limits.idle and not self._paused and now - self.last_byte > limits.idle:
            exchange.fail(too_slow(f"The response paused for longer than {limits.idle:g} s."))

    def client_left(self) -> None:
        """Go on for nobody, or give up: as the revision says, and always when the request was not sent whole."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.outlives_client:
            self.resume_reading()
        else:
            exchange.fail(ClientGone())

    def pause_reading(self) -> None:
        """Stop reading the response: the client is slower."""
        self._paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on. The time in which the client took nothing is not the replica's."""
        self._paused = False
        self.last_byte = self._clock()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection; what runs on it is cut."""
        self.usable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.last_byte = self._clock()

    def data_received(self, data: bytes) -> None:
        reader, exchange = self._reader, self._exchange
        if exchange is None or self._reader.complete:
            self.close()  # nobody asked for these bytes
            return
        clock = self._clock
        self.last_byte = now = clock()
        try:
            out = reader.feed(data, now)
        except BadResponse as error:
            self._broke(f"The model's response was not usable: {error}.")
            return
        if out:
            if exchange.status:
                exchange.responded = True
            exchange.client.write(out)
        if reader.complete:
            if not reader.clean:
                self.usable = False
            exchange.resume()
        elif reader.switched:
            self.usable = False
            Tunnel(exchange, self._transport, self._clock).switch()
            reader.close()

    def eof_received(self) -> bool:
        self._ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and (last := unread(self._transport)):
            self.data_received(last)  # it answered before it cut the connection, which came to light by writing
        if exc is not None and not self._reader.complete:
            self._broke("The connection to the model was reset.")
        else:
            self._ended()
        self.usable = False
        self._reader.close()

    def pause_writing(self) -> None:
        self._clogged = True
        if self._exchange is not None:
            self._exchange.client.pause_reading()

    def resume_writing(self) -> None:
        self._clogged = False
        if self._exchange is not None:
            self._exchange.client.resume_reading()

    def write_body(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        if self._transport.is_closing() or self._exchange is None:
            return
        clock = self._clock
        self._last_sent = clock()
        if self._exchange.request.length is None:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self._transport.write(data)

    def end_body(self) -> None:
        """Send the end of the request's body."""
        if self._exchange is not None and self._exchange.request.length is None and not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")

    def _awaits_client(self, exchange: Exchange) -> bool:
        """Tell whether the replica has been sent all that is here of a body that is still to come."""
        body = exchange.request.body
        return body is not None and not body.complete and not self._clogged

    def _ended(self) -> None:
        exchange = self._exchange
        self.usable = False
        if exchange is None or exchange.failure is not None or self._reader.complete:
            return
        if was_cut(self._transport):
            self._broke("The connection to the model was cut.")
            return
        try:
            exchange.client.write(self._reader.end())
        except BadResponse as error:
            self._broke(f"The model's response was not usable: {error}.")
        else:
            exchange.resume()

    def _broke(self, message: str) -> None:
        self.usable = False
        exchange = self._exchange
        if exchange is not None:
            kind = Unanswered if self._may_be_repeated(exchange) else EdgeError
            exchange.fail(kind(Reason.UPSTREAM_BROKE, message, sent=True))

    def _may_be_repeated(self, exchange: Exchange) -> bool:
        request = exchange.request
        harmless = request.method in SAFE and request.body is None and request.upgrade is None
        raced = self._kept and self._reader.silent and self._clock() - exchange.dispatched < RACE_SECONDS
        return harmless and raced and not exchange.unwanted and exchange.revision.limits.retry_unanswered
