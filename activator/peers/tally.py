"""What all claimers together have counted of one revision, as one process would have counted it.

Claimers report a few times a second, each in its own time. So that a period's concurrency is that of the period, each
report is carried forward: until the next one, its open requests are taken to stay open. What that got wrong comes right
in the next period, since both are differences of one running integral.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from router.concurrency import later
from router.ports import RevisionStats

if TYPE_CHECKING:
    from activator.peers.messages import Count


class Report:
    """What one claimer has told: its running integral of concurrency (request-seconds) as of `at`, and its state."""

    __slots__ = ("area", "at", "busy", "counted", "open", "tagged_open")

    def __init__(self) -> None:
        self.area = 0.0
        self.counted = 0.0  # of `area`, in periods that are over
        self.at = 0.0
        self.open = 0
        self.tagged_open = 0
        self.busy: dict[str, int] = {}

    def until(self, now: float) -> float:
        """Return the integral until `now`."""
        return self.area + self.open * max(0.0, now - self.at)


class Tally:
    """One revision's counts over all claimers. Times are clock seconds."""

    def __init__(self, now: float) -> None:
        self.idle_since: float | None = None
        self.tagged_since: float | None = None
        self._reports: dict[object, Report] = {}
        self._requests = 0
        self._overdrawn = 0.0  # request-seconds that were carried forward, and did not come
        self._started = now

    def add(self, claimer: object, count: Count) -> None:
        """Take a claimer's report."""
        report = self._reports.setdefault(claimer, Report())
        report.area += count.area
        report.at, report.open, report.tagged_open, report.busy = count.at, count.open, count.tagged_open, count.busy
        self._requests += count.requests
        self.idle_since = later(self.idle_since, count.idle_since)
        self.tagged_since = later(self.tagged_since, count.tagged_since)

    def lose(self, claimer: object, now: float) -> None:
        """Forget a claimer; what it had open ended at `now`."""
        report = self._reports.pop(claimer, None)
        if report is None:
            return
        if report.open:
            self.idle_since = now
        if report.tagged_open:
            self.tagged_since = now

    @property
    def open(self) -> int:
        """Requests that are open."""
        return sum(report.open for report in self._reports.values())

    def busy(self) -> Counter[str]:
        """Return the requests running per replica, replicas without any left out."""
        total: Counter[str] = Counter()
        for report in self._reports.values():
            total.update(report.busy)
        return total

    def collect(self, now: float) -> tuple[float, int]:
        """Return (average concurrency, arrivals) since the last call, and begin a new period."""
        area = self._overdrawn
        for report in self._reports.values():
            until = report.until(now)
            area += until - report.counted
            report.counted = until
        period, requests = now - self._started, self._requests
        self._started, self._requests = now, 0
        self._overdrawn = min(0.0, area)
        return (max(0.0, area) / period if period > 0 else float(self.open)), requests

    def stats(self, concurrency: float, requests: int, held: int, unseen: int) -> RevisionStats:
        """Return the state of the revision, with what `collect` gave. `unseen` is how many requests are open for
        certain, whatever the reports say."""
        is_open = max(self.open, unseen)
        tagged = sum(report.tagged_open for report in self._reports.values())
        return RevisionStats(
            concurrency=concurrency,
            requests=requests,
            open=is_open,
            held=held,
            idle_since=None if is_open else self.idle_since,
            tagged_open=tagged,
            tagged_since=None if tagged else self.tagged_since,
            busy=self.busy(),
        )
