"""From counters to windows: what Knative's reporter would have sent, recorded second by second.

Knative's activator (pkg/activator/handler/concurrency_reporter.go) reports once a second what it counted, a zero once
when traffic has ended and then nothing, and at once for the first request of a revision it had not heard of. The
decision depends on these habits, so they are kept.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Self

from activator.kpa import checks
from activator.kpa.spec import Metric
from activator.kpa.window import Windows

if TYPE_CHECKING:
    from activator.kpa.spec import Spec
    from router.ports import RevisionStats


class Collector:
    """One revision's windows, fed from the router's counters. `now` is in clock seconds."""

    def __init__(self, spec: Spec) -> None:
        self.windows = Windows(spec)
        self._metric = spec.metric
        self._poked_at: float | None = None  # when the first request was reported ahead of the period's end
        self._silent = True

    def configure(self, spec: Spec, now: float) -> None:
        """Follow a changed spec. What was recorded stays, unless it measured something else."""
        if spec.metric is not self._metric:
            self.windows = Windows(spec)
            self._metric = spec.metric
        self.windows.configure(spec, now)

    def record(self, stats: RevisionStats, now: float, seconds: int = 1) -> None:
        """Record a period of `seconds` that ends at `now`: one of several, in which the loop stood still, as seconds
        that were alike. Those of which nothing is known are no silence."""
        value = stats.requests / seconds if self._metric is Metric.RPS else self._concurrency(stats, now, seconds)
        ahead = 0 if self._poked_at is None else 1
        self._poked_at = None
        quiet = value == 0 and stats.open == 0
        if quiet and self._silent:
            return
        self._silent = quiet
        for ago in reversed(range(min(seconds, ceil(self.windows.stable.window)))):
            self.windows.record(now - ago, max(value - ahead, 0.0))
            ahead = 0

    def poke(self, now: float) -> None:
        """Record the first request of a revision that was silent, before the period ends."""
        if self._silent:
            self._silent = False
            self._poked_at = now
            self.windows.record(now, 1.0)

    def _concurrency(self, stats: RevisionStats, now: float, seconds: int) -> float:
        """Return the concurrency of a period that ends at `now`; that in which a revision was silent until its first
        request begins with that, so the silence is not averaged with a burst."""
        used = seconds if self._poked_at is None else min(now - self._poked_at, seconds)
        return (
            min(stats.concurrency * seconds, stats.requests * used) / used if 0 < used < seconds else stats.concurrency
        )

    def averages(self, now: float) -> tuple[float, float]:
        """Return the stable and the panic average; silence is zero, because nothing but the router counts."""
        return self.windows.averages(now) or (0.0, 0.0)

    def dump(self, now: float) -> dict[str, object]:
        """Return what must survive a restart, in JSON's types."""
        return {"metric": str(self._metric), "silent": self._silent, "windows": self.windows.dump(now)}

    @classmethod
    def load(cls, spec: Spec, data: object, now: float) -> Self:
        """Return what `dump` gave, as if no time had passed since; empty when `spec` measures something else now.
        ValueError if `data` is not like that."""
        fields = checks.mapping(data, "collector")
        collector = cls(spec)
        if checks.field(fields, "metric", "collector") == spec.metric:
            collector.windows = Windows.load(spec, checks.field(fields, "windows", "collector"), now)
            collector._silent = checks.truth(checks.field(fields, "silent", "collector"), "collector.silent")
        return collector
