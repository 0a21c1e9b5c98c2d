"""From a revision to a connected replica: the loop that a held request goes round.

A request leaves here with a slot and a connection, or with the error that answers it. A connect that fails has sent
nothing, so the request goes back to its place in the queue; one whose revision has left the table is resolved again.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from router.body import BUFFER
from router.buffers import Buffers
from router.errors import EdgeError, Reason, spread
from router.queue import deadline_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from router.body import Body
    from router.exchange import Exchange
    from router.pool import Pool
    from router.ports import Clock
    from router.queues import Queues
    from router.slots import Slots
    from router.table import EdgeLimits
    from router.upstream import Upstream

SUSPECT_SECONDS = 0.1
CONNECT_SECONDS = 0.5  # that a connect has although the hold ends before
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Admission:
    """Admits exchanges by the queues of their revisions. `resolve` chooses an exchange's revision anew."""

    def __init__(self, pool: Pool, queues: Queues, resolve: Callable[[Exchange], None], clock: Clock) -> None:
        self.queues = queues
        self.buffers = Buffers()
        self._pool = pool
        self._resolve = resolve
        self._clock = clock
        self._tickets = count()
        self._refused = 0
        self._uploads: dict[Exchange, float] = {}  # whose body still comes, with the deadline

    def take(self, exchange: Exchange) -> Slots | None:
        """Return a slot for `exchange` if it has to wait for nothing, else None."""
        body = exchange.request.body
        return self.queues[exchange.revision.name].take() if body is None or body.ready else None

    async def admit(self, exchange: Exchange, slots: Slots | None = None) -> Upstream:
        """Return a connection with a slot for `exchange`, in the order of arrival, however long that takes within its
        hold; `slots` is what `take` gave. Both are given back on leaving its context. One that was sent before goes
        first, and by a connection that is new; one that comes back to wait is not refused for want of room."""
        again = back = bool(exchange.dispatched)
        ticket = ~next(self._tickets) if again else next(self._tickets)
        body = exchange.request.body
        try:
            if again and self.queues.is_left(exchange.revision.name):
                self._resolve(exchange)
            if body is not None and not body.ready:
                await self._receive(exchange, body)
            while exchange.failure is None:
                if slots is None:
                    queue = self.queues[exchange.revision.name]
                    slots = queue.take()
                    if slots is None:
                        self._keep(exchange)
                        slots = await queue.hold(exchange, ticket, self._clock(), back=back)
                        back = True
                if slots is None:
                    self._resolve(exchange)
                    continue
                kept = None if again else self._pool.take(slots, exchange.request)
                upstream = kept or await self._connect(exchange, slots)
                if upstream is not None:
                    return upstream
                slots, back = None, True
            raise exchange.failure
        finally:
            if body is not None or exchange.request.upgrade is not None:
                self.buffers.release(exchange)

    def limit(self, limits: EdgeLimits) -> None:
        """Take the bounds of the edge as a whole."""
        self.buffers.limit = limits.buffered
        self.queues.wakes.limit = limits.max_wakes

    def sweep(self, now: float) -> None:
        """End holds and uploads that are over."""
        self.queues.sweep(now)
        for exchange, deadline in list(self._uploads.items()):
            if deadline <= now:
                exchange.fail(_upload_timeout(exchange))

    def bar(self, revision: str, error: EdgeError) -> None:
        """Answer those whose body still comes for a revision that has no replica and will get none."""
        if not self.queues.cold(revision):
            return
        for exchange in [each for each in self._uploads if each.revision.name == revision]:
            exchange.fail(error)

    async def _receive(self, exchange: Exchange, body: Body) -> None:
        """Wait for a body that is still being uploaded; it must not occupy a replica meanwhile."""
        self._keep(exchange)
        queue = self.queues[exchange.revision.name]
        if not queue.replicas.endpoints:
            queue.expect(exchange, self._clock())
        if exchange.request.expects_continue:
            exchange.client.write(CONTINUE)
        body.on_ready = exchange.wake
        self._uploads[exchange] = deadline_of(exchange, exchange.revision)
        try:
            await exchange.wait()
        finally:
            del self._uploads[exchange]
        if self.queues.is_left(exchange.revision.name):
            self._resolve(exchange)

    def _keep(self, exchange: Exchange) -> None:
        """Make sure that there is memory for what a request that waits has sent besides its head: for what is here, or
        will be before a replica is known."""
        body, revision, size = exchange.request.body, exchange.revision.name, exchange.size
        if body is not None and not body.ready:
            size = min(exchange.request.length or BUFFER, BUFFER)
        if not size:
            return
        if not self.buffers.keep(exchange, revision, size):
            self._refused += 1
            raise EdgeError(
                Reason.BUFFER_FULL,
                f"Bodies of waiting requests take {self.buffers.total} bytes of memory already,"
                f" {self.buffers.by_revision.get(revision, 0)} of them those for {revision}.",
                retry_after=spread(self._refused),
            )

    async def _connect(self, exchange: Exchange, slots: Slots) -> Upstream | None:
        """Return a connection for a slot that was taken. None when the replica cannot be connected, or closes the
        connection before anything was sent: the slot is given back and the replica left alone for a moment. EdgeError
        when the hold has ended by then."""
        upstream: Upstream | None = None
        connecting = self._pool.connect(slots, max(self._left(exchange), CONNECT_SECONDS))
        connecting.add_done_callback(lambda _: exchange.resume())
        try:
            await exchange.wait()
            upstream = connecting.result()
        except (OSError, TimeoutError):
            pass
        except BaseException:
            _abandon(connecting)
            slots.lender.release(slots)
            raise
        if upstream is None or not upstream.usable:
            slots.lender.avoid(slots, SUSPECT_SECONDS)
            slots.lender.release(slots)
            if self.queues.is_left(exchange.revision.name):
                self._resolve(exchange)
            if self._left(exchange) <= 0:
                raise self.queues[exchange.revision.name].hold_timeout(exchange.revision.limits.hold)
            return None
        return upstream

    def _left(self, exchange: Exchange) -> float:
        """Return for how many more seconds a request may be held."""
        return deadline_of(exchange, exchange.revision) - self._clock()


def _abandon(connecting: asyncio.Task[Upstream]) -> None:
    """Keep a connection for the next request, or make it no more, when the one it was for has ended."""
    if not connecting.done() or connecting.cancelled():
        connecting.cancel()
    elif connecting.exception() is None:
        connecting.result().rest()


def _upload_timeout(exchange: Exchange) -> EdgeError:
    hold = exchange.revision.limits.hold
    return EdgeError(Reason.REQUEST_TIMEOUT, f"The request's body did not come within {hold:g} s.")
