"""From counters to windows: what Knative's reporter would have sent, recorded second by second.

Knative's activator (pkg/activator/handler/concurrency_reporter.go) reports once a second what it counted, a zero once
when traffic has ended and then nothing, and at once for the first request of a revision it had not heard of. The
decision depends on these habits, so they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.kpa.spec import Metric
from activator.kpa.window import Windows

if TYPE_CHECKING:
    from activator.kpa.spec import Spec
    from router.ports import RevisionStats


class Collector:
    """One revision's windows, fed from the router's counters. `now` is in clock seconds."""

    def __init__(self, spec: Spec, windows: Windows | None = None) -> None:
        self.windows = windows or Windows(spec)
        self._metric = spec.metric
        self._advance = 0  # reported ahead of the period's end
        self._silent = True

    def configure(self, spec: Spec, now: float) -> None:
        """Follow a changed spec. What was recorded stays, unless it measured something else."""
        if spec.metric is not self._metric:
            self.windows = Windows(spec)
            self._metric = spec.metric
        self.windows.configure(spec, now)

    def record(self, stats: RevisionStats, now: float) -> None:
        """Record a period that ends at `now`."""
        value = float(stats.requests) if self._metric is Metric.RPS else stats.concurrency
        ahead, self._advance = self._advance, 0
        quiet = value == 0 and stats.open == 0
        if quiet and self._silent:
            return
        self._silent = quiet
        self.windows.record(now, max(value - ahead, 0.0))

    def poke(self, now: float) -> None:
        """Record the first request of a revision that was silent, before the period ends."""
        if self._silent:
            self._silent = False
            self._advance = 1
            self.windows.record(now, 1.0)

    def averages(self, now: float) -> tuple[float, float]:
        """Return the stable and the panic average; silence is zero, because nothing but the router counts."""
        return self.windows.averages(now) or (0.0, 0.0)
