"""What the router counts, in plain numbers: demand for the autoscaler, totals and histograms for the metrics.

Everything is kept per configured service and revision, so that no caller can make the number of series grow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from router.concurrency import Demand
from router.errors import Reason
from router.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Buckets = tuple[Sequence[int], float]

    from router.ports import Clock
    from router.table import Revision

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
SHORT = SECONDS[0]
OK = 200
MOST_STATUSES = 20


class Histogram:
    """Counts per bucket of SECONDS (the last bucket is +Inf) and the sum, in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(SECONDS, seconds) if seconds > SHORT else 0] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many observations there are."""
        return sum(self.counts)

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add what another histogram has."""
        self.counts = [mine + other for mine, other in zip(self.counts, counts, strict=True)]
        self.total += total


class Durations(dict[int, Histogram]):
    """Histograms by status. After the first MOST_STATUSES, others are counted under their class: a model that answers
    with all there are must not make the metrics as long as those of ten."""

    def __missing__(self, status: int) -> Histogram:
        return self.setdefault(status if len(self) < MOST_STATUSES else _class(status), Histogram())


class RevisionCounters:
    """One revision's demand and totals. `durations` are of requests that have ended, by status; `fallbacks` are
    requests of its share that another answered, since it had no replica; `tally` is kept while it is compared with
    another."""

    __slots__ = ("demand", "durations", "fallbacks", "holds", "reasons", "revision", "tally")

    def __init__(self, revision: str, now: float) -> None:
        self.revision = revision
        self.demand = Demand(now)
        self.reasons: Counter[str] = Counter()
        self.durations = Durations()
        self.holds = Histogram()
        self.fallbacks = 0
        self.tally: Tally | None = None

    def compare(self, comparison: int, now: float) -> None:
        """Keep a tally for a comparison that begins at `now`, if it is another one than before; for none with 0."""
        self.tally = (self.tally or Tally()) if comparison else None
        if self.tally is not None:
            self.tally.begin(comparison, now)

    def add(self, reasons: Mapping[str, int], durations: Mapping[int, Buckets], holds: Buckets) -> None:
        """Add the totals of another process."""
        self.reasons.update(reasons)
        for status, buckets in durations.items():
            self.durations[status].add(*buckets)
        self.holds.add(*holds)

    def take(self) -> tuple[Counter[str], Mapping[int, Histogram], Histogram]:
        """Return the totals (reasons, durations, holds) and begin again from zero."""
        taken = self.reasons, self.durations, self.holds
        self.reasons, self.durations, self.holds = Counter(), Durations(), Histogram()
        return taken


class _Statuses(dict[int, int]):
    """Under which status a response is counted: its own, or that of its class if nobody has defined it (RFC 9110 15),
    as models choose it."""

    def __missing__(self, status: int) -> int:
        return _class(status)


def _class(status: int) -> int:
    return min(status // 100, 5) * 100


_STATUSES = _Statuses((status.value, status.value) for status in HTTPStatus)


class Counted(Protocol):
    """A request, as far as it is counted: see `exchange.Exchange`."""

    revision: Revision
    tagged: bool
    arrived: float
    dispatched: float
    status: int
    reason: str
    counters: RevisionCounters | None


class Counters:
    """The counters of all revisions in the table. `refusals` are of requests whose revision was not known yet, or is
    gone."""

    def __init__(self, clock: Clock) -> None:
        self.revisions: dict[str, RevisionCounters] = {}
        self.refusals: Counter[str] = Counter()
        self._clock = clock

    def tally(self, revision: str) -> Tally | None:
        """Return what `revision` answered, None when it is not compared with another."""
        counters = self.revisions.get(revision)
        return counters.tally if counters is not None else None

    def enter(self, exchange: Counted, now: float) -> None:
        """Count `exchange` as demand of its revision from `now` on."""
        exchange.counters = counters = self.revisions[exchange.revision.name]
        counters.demand.enter(now, exchange.tagged)

    def leave(self, exchange: Counted, now: float) -> None:
        """Count `exchange` as demand no more, and how it ended."""
        counters = exchange.counters
        if counters is None:
            if exchange.status != OK:  # what the edge knows itself is no refusal
                self.refusals[exchange.reason] += 1
            return
        counters.demand.leave(now, exchange.tagged)
        if exchange.reason:
            counters.reasons[exchange.reason] += 1
            if exchange.reason == Reason.WAKE_LIMITED:
                counters.demand.withdraw(exchange.arrived, now)
        arrived, dispatched = exchange.arrived, exchange.dispatched
        counters.durations[_STATUSES[exchange.status]].observe(now - arrived)
        if dispatched:
            counters.holds.observe(dispatched - arrived)
        if counters.tally is not None:
            counters.tally.add(exchange, now)

    def move(self, exchange: Counted, revision: Revision, now: float, *, tagged: bool) -> None:
        """Count `exchange` as demand of a revision, if it was that of another one before."""
        counters = self.revisions[revision.name]
        if exchange.counters is counters and exchange.tagged == tagged:
            return
        if exchange.counters is not None:
            exchange.counters.demand.leave(now, exchange.tagged)
        exchange.counters = counters
        exchange.counters.demand.enter(now, tagged=tagged)

    def replace(self, revisions: Iterable[Revision], in_use: Collection[str] = ()) -> None:
        """Take a new table's revisions. The counters of one that is gone stay while it has open requests, here or, of
        those `in_use`, elsewhere."""
        now = self._clock()
        keep = {
            name: counters for name, counters in self.revisions.items() if counters.demand.now_open or name in in_use
        }
        for revision in revisions:
            counters = self.revisions.get(revision.name) or RevisionCounters(revision.name, now)
            counters.compare(revision.compared, now)
            keep[revision.name] = counters
        for name in self.revisions.keys() - keep.keys():
            self.forget(name)
        self.revisions = keep

    def forget(self, revision: str) -> None:
        """Keep no counters of a revision that is gone. What it was refused for counts on: a total must not fall."""
        counters = self.revisions.pop(revision, None)
        if counters is not None:
            self.refusals.update(counters.reasons)
