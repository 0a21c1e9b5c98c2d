"""THE PATH of a request, and the one place where errors become statuses.

client -> listener -> http1 -> [ match -> split -> count -> admit(+pick) -> relay ] -> http1 -> client
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from router.admission import Admission
from router.concurrency import later
from router.counters import Counters
from router.errors import EdgeError, Reason, Unanswered
from router.exchange import ClientGone
from router.match import choose, compile_routes, match
from router.naming import Naming
from router.pool import Pool
from router.ports import RevisionStats
from router.queue import Queue
from router.queues import Queues
from router.split import split, sticky_draw
from router.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from router.exchange import Exchange
    from router.match import Models, Route
    from router.ports import Clock, Replicas, Waker
    from router.queues import MakeQueue
    from router.table import Revision, Service


class Proxy:
    """Answers exchanges by the replicas of the services in its table.

    `draw` returns a number in [0, 1) for the split, `make_queue` where those wait who cannot be sent on at once.
    `on_end` is told of every exchange that has ended, `on_defect` of an error that nobody expected.
    """

    def __init__(
        self,
        waker: Waker,
        clock: Clock,
        draw: Callable[[], float] = random.random,
        make_queue: MakeQueue = Queue,
    ) -> None:
        self.pool = Pool(clock)
        self.counters = Counters(clock)
        self.queues = Queues(waker, clock, make_queue)
        self.admission = Admission(self.pool, self.queues, self.reassign, clock)
        self.naming = Naming(self.queues, self.admission.buffers)
        self.on_end: Callable[[Exchange], None] | None = None
        self.on_defect: Callable[[Exception], None] | None = None
        self._clock = clock
        self._draw = draw
        self._routes = compile_routes(Table())

    async def serve(self, exchange: Exchange) -> None:
        """Have `exchange` answered, by a replica or by the edge. Never raises."""
        try:
            if exchange.failure is not None:
                raise exchange.failure
            request = exchange.request
            route = match(self._routes, request.host, request.target)
            if route.models is not None:
                route = await self._choose(exchange, route.models)
            revision, tagged = self._split(exchange, route)
            exchange.assign(route.service, revision, tagged)
            self.counters.enter(exchange, exchange.arrived)
            slots = self.admission.take(exchange)
            ready = slots and self.pool.take(slots, request)
            try:
                with ready or await self.admission.admit(exchange, slots) as upstream:
                    await upstream.carry(exchange)
            except Unanswered:
                exchange.failure = None
                with await self.admission.admit(exchange) as upstream:
                    await upstream.carry(exchange)
        except EdgeError as error:
            exchange.refuse(error, self._clock())
        except ClientGone:
            exchange.reason = "client_left"
        except Exception as error:
            self._report(error)
            exchange.refuse(EdgeError(Reason.INTERNAL, "The edge has a defect; its log tells more."), self._clock())
        finally:
            clock = self._clock
            now = clock()
            self.counters.leave(exchange, now)
            if self.on_end is not None:
                self.on_end(exchange)
            exchange.failure = None  # the traceback leads back here: without it no collector need find out
            exchange.client.done(exchange, now)

    def reassign(self, exchange: Exchange) -> None:
        """Choose the revision of a held exchange anew, by the draw it had: the one it waited for has left the table, or
        has lost its replicas and has a fallback."""
        route = self._route(exchange)
        revision, tagged = self._split(exchange, route)
        self.counters.move(exchange, revision, self._clock(), tagged=tagged)
        exchange.assign(route.service, revision, tagged)

    def replace_table(self, table: Table) -> None:
        """Serve by a new table from now on; what runs goes on."""
        self._routes = compile_routes(table)
        shares = [share for service in table.services for share in service.shares]
        revisions = {share.revision.name: share.revision for share in shares}
        self.counters.replace(revisions.values())
        self.admission.limit(table.limits)
        self.queues.replace(revisions, shares)

    def update(self, replicas: Replicas) -> None:
        """Take a new capacity snapshot of one revision."""
        self.queues.take_snapshot(replicas)

    def collect(self) -> Mapping[str, RevisionStats]:
        """Return what was counted per revision since the last call."""
        now = self._clock()
        return {
            name: self._stats(name, *counters.demand.collect(now))
            for name, counters in self.counters.revisions.items()
            if name in self.queues  # the counters of one that has left the table stay for longer
        }

    def look(self, revision: str) -> RevisionStats:
        """Return the state of `revision` now, without what was counted in the period."""
        known = revision in self.counters.revisions and revision in self.queues
        return self._stats(revision, 0.0, 0) if known else RevisionStats()

    def settled(self, revision: str, then: Callable[[str], None]) -> bool:  # noqa: ARG002
        """Tell whether `look` sees every open request: in one process it does. Else `then` would be called later."""
        return True

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        """Continue the idle clocks of `revision` from an earlier run, or from another edge (clock seconds, None = never
        had a request). Where requests came here, too, the last one counts."""
        counters = self.counters.revisions.get(revision)
        if counters is not None and not counters.demand.now_open:
            demand = counters.demand
            demand.idle_since = later(demand.idle_since, idle_since)
            demand.tagged_since = later(demand.tagged_since, tagged_since)

    def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return the requests running on each replica of `revision`; a replica not named has none."""
        queue = self.queues.get(revision)
        return queue.in_flight() if queue is not None else {}

    async def drained(self, revision: str, replica: str) -> None:
        """Return once `replica`, which is no endpoint any more, has no request left."""
        queue = self.queues.get(revision)
        if queue is not None:
            await queue.drained(replica)

    def sweep(self) -> None:
        """Check all clocks; to be called a few times a second."""
        now = self._clock()
        self.naming.sweep(now)
        self.admission.sweep(now)
        self.pool.sweep(now)

    async def _choose(self, exchange: Exchange, models: Models) -> Route:
        """Return the route to the service whose model `exchange` names."""
        exchange.model = await self.naming.model_of(exchange, models)
        return self._route(exchange)

    def _route(self, exchange: Exchange) -> Route:
        route = match(self._routes, exchange.request.host, exchange.request.target)
        return route if route.models is None else choose(route.models, exchange.model)

    def _split(self, exchange: Exchange, route: Route) -> tuple[Revision, bool]:
        """Return which revision answers, and whether a tag named it. While that one has no replica it may be its
        fallback, which does not keep it from being woken."""
        share, tagged = route.only, False
        if share is None:
            if exchange.draw is None:
                exchange.draw = self._draw_of(exchange, route.service)
            share, tagged = split(route, exchange.request, exchange.draw)
        revision, fallback = share.revision, share.fallback
        if fallback is None or tagged or not self.queues.cold(revision.name):
            return revision, tagged
        if exchange.revision.name != fallback.name:  # else it waits there already, and counts
            self.counters.revisions[revision.name].fallbacks += 1
        self.queues.nudge(revision.name)
        return fallback, False

    def _draw_of(self, exchange: Exchange, service: Service) -> float:
        told = sticky_draw(service, exchange.request, exchange.client.forwarding[0])
        return self._draw() if told is None else told

    def _stats(self, name: str, concurrency: float, arrivals: int) -> RevisionStats:
        demand = self.counters.revisions[name].demand
        queue = self.queues[name]
        return RevisionStats(
            concurrency=concurrency,
            requests=arrivals,
            open=demand.now_open,
            held=queue.held,
            idle_since=demand.idle_since,
            tagged_open=demand.tagged_open,
            tagged_since=demand.tagged_since,
            busy=queue.in_flight(),
        )

    def _report(self, error: Exception) -> None:
        if self.on_defect is not None:
            self.on_defect(error)
