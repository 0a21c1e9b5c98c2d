"""One client's connection: read, answer in order, keep alive, close so that the last answer is not lost.

It runs one exchange at a time and parses a few ahead. What a client sends after it was refused is read and dropped for
a moment before the connection is closed, since a reset would destroy the answer (RFC 9112 9.6).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, cast

from router.answer import refuse_head
from router.errors import EdgeError, Reason
from router.exchange import Exchange
from router.http1 import SLICE, RequestReader
from router.origin import Origin
from router.sockets import reset
from router.watch import Watch, left_unseen

if TYPE_CHECKING:
    from router.edge import Edge
    from router.request import Request

MAX_PIPELINED = 16
MAX_AHEAD = 64 << 10  # bytes of heads that wait for their turn
HEAD_SECONDS = 10.0
PRESSED_IDLE_SECONDS = 2.0
NEWCOMER_SECONDS = 1.0  # for the first or the next request of a connection to come, while the edge drains
LINGER_SECONDS = 1.0
LOOK_SECONDS = 0.05  # between looks whether a client of TLS has taken all
WRITE_BUFFER = 64 << 10


class Connection(asyncio.Protocol):
    """One client's connection; `below` is what is under its transport, if that is TLS."""

    __slots__ = (
        "_ahead",
        "_begun",
        "_below",
        "_clogged",
        "_closing",
        "_current",
        "_edge",
        "_half_closed",
        "_in_head",
        "_origin",
        "_paused",
        "_reader",
        "_refusal",
        "_since",
        "_transport",
        "_unread",
        "_waiting",
        "_watch",
        "forwarding",
        "full",
        "loop",
        "lost",
    )

    def __init__(self, edge: Edge, below: asyncio.Transport | None = None) -> None:
        self.lost = False
        self.full = False  # as many requests as may be wait for their turn, or one with a body
        self.loop = edge.loop
        self.forwarding = (b"", b"")
        self._edge = edge
        self._below = below
        self._origin: Origin | None = None  # None = its requests are as they are
        self._watch = Watch()
        self._current: Exchange | None = None
        self._begun: Exchange | None = None  # the current one, when it is still to be run
        self._waiting: deque[Exchange] = deque()
        self._ahead = 0  # bytes of their heads
        self._refusal: EdgeError | None = None
        self._unread = b""
        self._paused = False
        self._clogged = False  # the client does not read fast enough
        self._half_closed = False  # the client sends no more
        self._closing = False
        self._in_head = False  # a head has begun
        self._since = edge.clock()  # when that began, or the connection became idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        origin = Origin(transport, self._edge.policy)
        self.forwarding = origin.forwarding
        self._origin = None if origin.plain else origin
        self._reader = RequestReader(self, origin.specials, origin.scheme, origin.forwarding if origin.plain else None)
        if (reason := self._edge.door.enter(self, origin.peer)) is not None:
            self._edge.door.turn_away(transport, reason)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refusal is not None:
            return
        if self._unread or (len(data) > SLICE and not self._reader.expects(len(data))):
            self._unread += data
            self._read_on()
            return
        self._feed(data)
        if self._reader.in_head != self._in_head:
            self._in_head = not self._in_head
            self._since = self._edge.clock()

    def eof_received(self) -> bool:
        current = self._current
        if current is None and not self._waiting:
            return False
        self._half_closed = True
        self._reader.end()
        if current is not None and not (current.switched or current.outlives_client):
            self._leave()
        return self._transport.can_write_eof()  # it may only have closed its sending side, but not of TLS

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost = True
        self._edge.door.leave(self)
        self._leave()
        self._unread = b""
        self._refusal = None
        self._reader.close()
        if self._edge.draining:
            self._edge.check_drained()

    def pause_writing(self) -> None:
        self._clogged = True
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.pause_reading()

    def resume_writing(self) -> None:
        self._clogged = False
        if self._current is None:
            self._run_next()
        elif self._current.upstream is not None:
            self._current.upstream.resume_reading()

    def on_request(self, request: Request) -> None:
        """Take a request from the reader: run it now or in its turn."""
        if self._closing:
            return
        if self._origin is not None:
            self._origin.settle(request)
        clock = self._edge.clock
        exchange = Exchange(request, self, clock())
        if request.upgrade is not None:
            self.pause_reading()  # until it is sent on
        if self._current is None and not self._waiting and not self._clogged:
            if request.body is None:
                self._run(exchange)
            else:
                self._begun = self._current = exchange
            return
        self._waiting.append(exchange)
        self._ahead += request.head_size
        self.full = self._has_enough or request.body is not None  # a body is read in its turn
        if self.full:
            self.pause_reading()

    def write(self, data: bytes) -> None:
        """Send to the client, or to nobody if it has left."""
        if not self.lost and data:
            self._transport.write(data)

    def write_eof(self) -> bool:
        """Close the sending side; False when this connection cannot be half closed."""
        if self.lost or self._transport.is_closing() or not self._transport.can_write_eof():
            return False
        self._transport.write_eof()
        return True

    def abort(self) -> None:
        """Cut the connection by a reset: after an orderly close, a body that ends with its connection looks whole."""
        self._closing = True
        if not self.lost:
            reset(self._transport)

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        self._paused = True
        if not self.lost:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless enough requests wait already; first what has been read."""
        if self._has_enough or not self._paused:
            return
        self._paused = self.full = False
        if self._unread:
            self.loop.call_soon(self._read_on)
        else:
            self._read_on()

    @property
    def expects(self) -> bool:
        """Whether an answer is still to leave, or to be heard by a client that sends on; or a request about to come: it
        waits for its turn, has begun, or the connection was made, or the one before was answered, a moment ago."""
        if self._closing:
            return self.unsent > 0 or self._refusal is not None or self._reader.mid_request
        recent = self._edge.clock() - self._since < NEWCOMER_SECONDS
        return recent or self._reader.mid_request or self._has_more or self.unsent > 0

    @property
    def unsent(self) -> int:
        """Bytes for the client that are still here: it has not taken those before them."""
        below = self._below.get_write_buffer_size() if self._below else 0
        return 0 if self.lost else self._transport.get_write_buffer_size() + below

    @property
    def _has_enough(self) -> bool:
        return len(self._waiting) >= MAX_PIPELINED or self._ahead >= MAX_AHEAD

    @property
    def _has_more(self) -> bool:
        return bool(self._waiting or self._unread)

    def retire(self) -> None:
        """Close now if nothing runs or is about to come, else after the present response."""
        if self._current is None and not self.expects:
            self.finish()
        elif self._current is not None and not self._current.responded and not self._has_more:
            self._current.keep_alive = False

    def give_up(self, retry_after: float) -> None:
        """End what runs: there is no more time. Who is answered may come back in `retry_after` seconds."""
        if self._current is not None:
            self._current.keep_alive = False
            sent = bool(self._current.dispatched)
            self._current.fail(
                EdgeError(Reason.SHUTTING_DOWN, "The edge is shutting down.", retry_after=retry_after, sent=sent)
            )
        elif self.unsent:
            self.abort()
        else:
            self.finish()

    def check_clocks(self, now: float) -> None:
        """Check what runs here, and what is read and written for it; answer 408 to a head that does not come, close
        what has been idle for too long."""
        current, limits = self._current, self._edge.limits
        writes = (self._clogged or self._closing or self._below is not None) and not self.lost
        if writes and self._watch.takes_nothing(self.unsent, self._transport, limits.write, now):
            self.abort()
        if current is not None:
            if slow := self._watch.too_slow(current, limits.body_rate, now, reading=not self._paused):
                current.fail(slow)
            if current.upstream is not None:
                current.upstream.check_clocks(now)
            return
        if self._closing or self._paused or self._waiting:
            return
        longest = self._longest_silence()
        if now - self._since <= longest:
            return
        if self._reader.in_head:
            self._refuse(EdgeError(Reason.REQUEST_TIMEOUT, f"The request's head did not come within {longest:g} s."))
        else:
            self.finish()

    def _longest_silence(self) -> float:
        """Return how long the next head may take to come, or to begin."""
        idle = NEWCOMER_SECONDS if self._edge.draining else self._edge.limits.keep_alive or math.inf
        longest = HEAD_SECONDS if self._reader.in_head else idle
        return min(longest, PRESSED_IDLE_SECONDS) if self._edge.door.pressed else longest

    def look_for_client(self) -> None:
        """Notice a client that has left while nothing is read from it."""
        current = self._current
        unread = (self._paused or self._half_closed) and not self.lost
        if unread and current is not None and left_unseen(self._transport, current):
            self._half_closed = True
            self._leave()

    def is_idle(self, now: float, seconds: float) -> bool:
        """Tell whether nothing has been asked here for so long."""
        return self._current is None and not self._waiting and not self.unsent and now - self._since >= seconds

    def evict(self) -> None:
        """Close at once."""
        self._closing = True
        self._transport.abort()

    def finish(self) -> None:
        """Close the sending side, and the rest when the client does or after a moment."""
        if self._closing:
            return
        self._closing = True
        if self.lost:
            return
        if self._half_closed:
            self._transport.close()
            return
        if self._paused or self._unread:
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        elif self._refusal is None and not self._reader.mid_request:
            self._let_go()
            return
        self.loop.call_later(LINGER_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """Close; not before a client of TLS has taken all, as that is cut a moment after it is told to close."""
        if self._below is not None and self.unsent:
            self.loop.call_later(LOOK_SECONDS, self._let_go)
        else:
            self._transport.close()

    def _read_on(self) -> None:
        while self._unread and not self._paused and not self._closing:
            piece, self._unread = self._unread[:SLICE], self._unread[SLICE:]
            self._feed(piece)
        if not (self._paused or self._closing or self.lost or self._transport.is_closing()):
            self._transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        """Parse, and only then run a request whose body has begun: a small one is complete by now, and need not
        wait."""
        try:
            if rest := self._reader.feed(data):
                self._unread = rest + self._unread
        except EdgeError as refusal:
            self._refuse(refusal)
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self._run(begun)

    def _run(self, exchange: Exchange) -> None:
        edge = self._edge
        self._current = exchange
        edge.busy.add(self)
        edge.door.idle.pop(self, None)
        if edge.draining and not self._has_more:
            exchange.keep_alive = False
        serve = edge.serve
        exchange.run(serve(exchange))

    def done(self, exchange: Exchange, now: float) -> None:
        """Go on to the next request after an exchange has ended, or close."""
        if exchange.request.upgrade is not None and not self._reader.decline():
            exchange.keep_alive = False
        edge = self._edge
        self._current = None
        self._since = now
        edge.busy.discard(self)
        if not self.lost:
            edge.door.idle[self] = None
        if self._waiting and exchange.keep_alive:
            self.loop.call_soon(self._run_next)  # not from here: a thousand may be answered at once
        elif self._refusal is not None and exchange.keep_alive:
            self._refuse(self._refusal)
        elif not exchange.keep_alive or (self._half_closed and not self._unread):
            self.finish()
        elif self._paused:
            self.resume_reading()
        if edge.draining:
            edge.check_drained()

    def _run_next(self) -> None:
        """Run the next of those that wait, if the client takes its answer."""
        if self._waiting and self._current is None and not self._clogged and not self._closing:
            exchange = self._waiting.popleft()
            self._ahead -= exchange.request.head_size
            exchange.arrived = self._edge.clock()  # its time to wait begins with its turn
            self._run(exchange)
            body = exchange.request.body
            if exchange.request.upgrade is None and (body is None or body.complete or not body.ready):
                self.resume_reading()

    def _refuse(self, refusal: EdgeError) -> None:
        """Answer what cannot be parsed, after what came before it; then close."""
        self._refusal = refusal
        self._unread = b""
        if self._closing:  # the edge has refused the request in whose body this was
            return
        if self._current is None and not self._waiting:
            self._edge.refused(refusal)
            self.write(refuse_head(refusal, self._reader.line))
            self.finish()
        else:
            self._cut_body(refusal)

    def _cut_body(self, refusal: EdgeError) -> None:
        """Fail the exchange whose body turned out to be malformed, if that is the one that was being read."""
        last = self._waiting[-1] if self._waiting else self._current
        if last is not None and last.request.body is not None and not last.request.body.complete:
            last.fail(refusal)

    def _leave(self) -> None:
        """Give up what was asked for on this connection."""
        self._waiting.clear()
        self._ahead = 0
        if self._current is not None:
            self._current.keep_alive = False
            self._current.client_left()
