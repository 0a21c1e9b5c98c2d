"""What the answers of a revision say about the version that gave them, for a comparison with another version.

Only what the version can be blamed for counts: not the time a request was held, nor that the edge had no room for it.
And only requests that were sent since the comparison began: where what fails ends sooner than what succeeds, a version
that has just got its first requests looks bad beside one that has had them for long.
"""

from __future__ import annotations

from collections import Counter
from math import ceil, log
from typing import TYPE_CHECKING

from router.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.counters import Counted

STEP = 1.1
SHORTEST = 0.001
LAST = 150  # 1.6e3 seconds
SWITCHING = 101
SERVER_ERROR = 500
FAULTS = frozenset((Reason.UPSTREAM_BROKE, Reason.UPSTREAM_TIMEOUT, Reason.START_FAILED))
_LOG_STEP = log(STEP)


def bucket(seconds: float) -> int:
    """Return the number of the least bound that is not below `seconds`."""
    return min(LAST, ceil(log(seconds / SHORTEST) / _LOG_STEP)) if seconds > SHORTEST else 0


def bound(number: int) -> float:
    """Return the upper bound of bucket `number`, in seconds; each is a tenth above the one before."""
    return SHORTEST * STEP**number


class Tally:
    """Counts of requests that were sent since clock second `since`, in comparison number `comparison`: `answered`,
    `failed` of them, and how many took how long from dispatch to their last byte, by `bucket`. Who judges takes them,
    or who passes them on to who judges: each request counts once. They stay when another comparison begins."""

    __slots__ = ("answered", "comparison", "durations", "failed", "since")

    def __init__(self) -> None:
        self.comparison = 0
        self.since = 0.0
        self.answered = 0
        self.failed = 0
        self.durations: Counter[int] = Counter()

    def begin(self, comparison: int, now: float) -> None:
        """Count for a comparison, which begins at `now` if it is not the present one."""
        if comparison != self.comparison:
            self.comparison = comparison
            self.since = now

    def add(self, exchange: Counted, now: float) -> None:
        """Count an exchange that ended at `now`, unless it came by tag. It has failed when the replica answered with
        5xx, broke off, took longer than its clocks allow, or could not be started. One whose client left before its end
        tells only that it took at least so long; one that never reached a replica for want of room tells nothing."""
        reason, dispatched = exchange.reason, exchange.dispatched
        if exchange.tagged or (dispatched or exchange.arrived) < self.since:
            return
        failed = reason in FAULTS or (not reason and exchange.status >= SERVER_ERROR)
        if not failed and not dispatched:
            return
        self.answered += 1
        self.failed += failed
        if dispatched and exchange.status != SWITCHING:
            self.durations[bucket(now - dispatched)] += 1

    def merge(self, answered: int, failed: int, durations: Mapping[int, int]) -> None:
        """Add what another process counted."""
        self.answered += answered
        self.failed += failed
        self.durations.update(durations)

    def take(self) -> tuple[int, int, dict[int, int]]:
        """Return answered, failed and durations, and begin again from zero."""
        taken = self.answered, self.failed, dict(self.durations)
        self.answered = self.failed = 0
        self.durations.clear()
        return taken
