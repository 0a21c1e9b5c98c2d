"""What the sweep asks of one client: whether its body comes fast enough, whether it takes what it is sent, and whether
it is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.errors import EdgeError, Reason
from router.pace import Pace, Standstill
from router.sockets import Peer, acknowledged, peer

if TYPE_CHECKING:
    import asyncio

    from router.body import Body
    from router.exchange import Exchange

BODY_GRACE_SECONDS = 5.0
MOST_LEFT = 4 << 20  # bytes; what is sent on purpose waits at its source when a small part of that is not taken


class Watch:
    """The progress of one connection, as of the last sweep. Times are clock seconds."""

    __slots__ = ("_body", "_pace", "_standstill")

    def __init__(self) -> None:
        self._body: Body | None = None
        self._pace: Pace | None = None
        self._standstill: Standstill | None = None

    def too_slow(self, exchange: Exchange, rate: int, now: float, *, reading: bool) -> EdgeError | None:
        """Return the refusal (408) of a body that comes at less than `rate` bytes a second after a grace; 0 = anything
        will do. Once a response has begun, the request may take its time."""
        body = exchange.request.body
        if body is None or body.complete or exchange.responded or not rate:
            self._body = self._pace = None
            return None
        if self._pace is None or self._body is not body:
            self._body, self._pace = body, Pace(rate, BODY_GRACE_SECONDS, body.received, now)
        if self._pace.keeps_up(body.received, now, reading=reading):
            return None
        message = f"The request's body came more slowly than {rate} bytes a second."
        return EdgeError(Reason.REQUEST_TIMEOUT, message, sent=exchange.upstream is not None)

    def takes_nothing(self, left: int, transport: asyncio.Transport, longest: float, now: float) -> bool:
        """Tell whether the client has taken nothing of the `left` bytes that wait for it for longer than `longest`
        seconds (0 = it may wait for ever), or leaves more than MOST_LEFT: the TLS library answers whoever asks for new
        keys (RFC 8446 4.6.3), as often as it is asked. Bytes that it acknowledges are progress even while the kernel
        asks for no more of them; more that wait are none."""
        if not left or not longest:
            self._standstill = None
            return left > MOST_LEFT
        mark = acknowledged(transport) or left
        if self._standstill is None:
            self._standstill = Standstill(mark, now)
        return left > MOST_LEFT or self._standstill.lasts(mark, now) > longest


def left_unseen(transport: asyncio.Transport, exchange: Exchange) -> bool:
    """Tell whether the client of `exchange` has gone, of which no event tells while nothing is read from it. One that
    only sends no more counts as gone, unless its answer is awaited all the same, or the rest of its body or of its
    WebSocket may be on its way."""
    found = peer(transport)
    if found is Peer.GONE:
        return True
    body = exchange.request.body
    comes = exchange.upstream is not None and (exchange.switched or (body is not None and not body.complete))
    return found is Peer.HALF_CLOSED and not comes and not exchange.outlives_client
