"""Whether a connection makes progress: a request's body that comes too slowly, a response that is not taken at all.

Both are asked by the sweep, a few times a second; time is handed in, in seconds.
"""

from __future__ import annotations


class Pace:
    """A least rate, over a grace: whoever stays below `rate` bytes a second uses up the grace, and what comes faster
    earns it back, never more than the whole of it."""

    __slots__ = ("_at", "_left", "_received", "grace", "rate")

    def __init__(self, rate: float, grace: float, received: int, now: float) -> None:
        self.rate = rate
        self.grace = grace
        self._left = grace
        self._received = received
        self._at = now

    def keeps_up(self, received: int, now: float, *, reading: bool) -> bool:
        """Tell whether `received` bytes in all are enough by now. Time in which nothing was read does not count."""
        earned = (received - self._received) / self.rate
        spent = now - self._at if reading else 0.0
        self._left = min(self.grace, self._left + earned - spent)
        self._received, self._at = received, now
        return self._left > 0


class Standstill:
    """How long something has not changed."""

    __slots__ = ("_mark", "_since")

    def __init__(self, mark: object, now: float) -> None:
        self._mark = mark
        self._since = now

    def lasts(self, mark: object, now: float) -> float:
        """Return for how many seconds `mark` has been what it is."""
        if mark != self._mark:
            self._mark, self._since = mark, now
        return now - self._since
