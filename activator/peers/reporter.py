"""What a claimer tells of its traffic: what was counted since it last told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.peers import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.counters import Counters, RevisionCounters
    from router.ports import Clock
    from router.queues import Queues


class Reporter:
    """Reads counters, and sets them to zero."""

    def __init__(self, counters: Counters, queues: Queues, send: Callable[[m.ToOwner], None], clock: Clock) -> None:
        self._counters = counters
        self._queues = queues
        self._send = send
        self._clock = clock
        self._open: set[str] = set()  # revisions that had open requests when they were last told

    def report(self, revision: str) -> None:
        """Tell of one revision."""
        counters = self._counters.revisions.get(revision)
        if counters is not None:
            self._tell(counters)

    def report_all(self) -> None:
        """Tell of all revisions of which there is something to tell."""
        for name, counters in self._counters.revisions.items():
            ended = counters.durations  # also of requests that were to have no effect on demand
            if (
                counters.demand.now_open
                or counters.demand.arrivals
                or ended
                or counters.fallbacks
                or name in self._open
            ):
                self._tell(counters)

    def _tell(self, counters: RevisionCounters) -> None:
        now, demand, name = self._clock(), counters.demand, counters.revision
        area, requests = demand.take(now)
        queue = self._queues.get(name)
        reasons, durations, holds = counters.take()
        fallbacks, counters.fallbacks = counters.fallbacks, 0
        if demand.now_open:
            self._open.add(name)
        else:
            self._open.discard(name)
        self._send(
            m.Count(
                revision=name,
                at=now,
                area=area,
                requests=requests,
                open=demand.now_open,
                idle_since=demand.idle_since,
                tagged_open=demand.tagged_open,
                tagged_since=demand.tagged_since,
                busy=queue.in_flight() if queue is not None else {},
                reasons=reasons,
                durations={status: (each.counts, each.total) for status, each in durations.items()},
                holds=(holds.counts, holds.total),
                fallbacks=fallbacks,
                tally=None if counters.tally is None else counters.tally.take(),
            )
        )
