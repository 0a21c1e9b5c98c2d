"""How much a revision is asked for: Knative's time-weighted concurrency, counted once, from the end of a request's
head.

A held request is demand. Time is handed in, in seconds; the unit of `concurrency` is requests.
"""

from __future__ import annotations


class Demand:
    """Requests of one revision, held and running.

    Source: knative networking `pkg/http/stats/request.go`: the integral of concurrency over the period, divided by it.
    Over a period that integral is the sum of the times left in it at each arrival, less the same at each end; so an
    event adds one number, and nothing is kept of the one before.
    """

    __slots__ = (
        "_area",
        "_started",
        "arrivals",
        "idle_since",
        "now_open",
        "tagged_open",
        "tagged_since",
    )

    def __init__(self, now: float) -> None:
        self.now_open = 0
        self.tagged_open = 0
        self.arrivals = 0
        self.idle_since: float | None = None
        self.tagged_since: float | None = None
        self._area = 0.0  # of those that have ended, less what had passed of the period when the open ones arrived
        self._started = now

    def enter(self, now: float, tagged: bool = False) -> None:
        """Count one request more; `tagged` if it came by tag and not by its share of the traffic. One that arrived
        before the period began (it waited behind another on its connection) counts from then on."""
        if now > self._started:
            self._area -= now - self._started
        self.now_open += 1
        self.arrivals += 1
        self.idle_since = None
        if tagged:
            self.tagged_open += 1
            self.tagged_since = None

    def leave(self, now: float, tagged: bool = False) -> None:
        """Count one request less, however it ended."""
        self._area += now - self._started
        self.now_open -= 1
        if not self.now_open:
            self.idle_since = now
        if tagged:
            self.tagged_open -= 1
            if not self.tagged_open:
                self.tagged_since = now

    def withdraw(self, entered: float, now: float) -> None:
        """Undo the demand of a request that entered at `entered` and has just left: it was to have no effect."""
        self._area -= now - max(entered, self._started)
        self.arrivals -= 1

    def collect(self, now: float) -> tuple[float, int]:
        """Return (average concurrency, arrivals) since the last call, and begin a new period."""
        period = now - self._started
        area, arrivals = self.take(now)
        return (area / period if period > 0 else float(self.now_open)), arrivals

    def take(self, now: float) -> tuple[float, int]:
        """Return (the integral of concurrency in request-seconds, arrivals) since the last call, and begin a new
        period."""
        area = max(0.0, self._area + (now - self._started) * self.now_open)
        arrivals = self.arrivals
        self._area, self.arrivals = 0.0, 0
        self._started = now
        return area, arrivals


def later(one: float | None, other: float | None) -> float | None:
    """Return the later of two times; one that is not known does not count."""
    return max((at for at in (one, other) if at is not None), default=None)
