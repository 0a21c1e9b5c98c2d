"""Tells when the event loop stood still: every request of the process waited meanwhile.

Something computed for too long, the machine gave the process no time, or it was stopped. Which of these cannot be told
from inside, but that it was, and for how long, is the first question when latencies jump.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.ports import Clock

STALL_SECONDS = 0.2


class Stalls:
    """To be looked at every `period` seconds, from a task of the loop. `count` is how often that came more than
    STALL_SECONDS late; a loop that stands still for a period longer than that is always seen."""

    def __init__(self, period: float, clock: Clock, log: FilteringBoundLogger) -> None:
        self.count = 0
        self._period = period
        self._clock = clock
        self._log = log
        self._due: float | None = None

    def look(self) -> None:
        """Take note of it if this look comes too late."""
        now = self._clock()
        late = 0.0 if self._due is None else now - self._due
        self._due = now + self._period
        if late > STALL_SECONDS:
            self.count += 1
            self._log.warning("event loop stood still", seconds=round(late, 2))
