"""How long to wait before a replica is started again: doubling, so a broken model costs less and less."""

from __future__ import annotations

from dataclasses import dataclass, replace

BASE = 0.25
CAP = 300.0
STEADY = 10.0  # a replica that was ready this long was no failed start
DOUBLINGS = 12  # more would only risk an overflow: CAP is reached


def backoff(failures: int, base: float = BASE) -> float:
    """Return the seconds to wait after `failures` failures in a row: 0, then `base` doubling up to `CAP`."""
    if failures <= 0:
        return 0.0
    return min(base * 2.0 ** min(failures - 1, DOUBLINGS), CAP)


@dataclass(frozen=True, slots=True)
class Crash:
    """How a replica came to an unwanted end.

    `attempt` is the streak at the time it was started; `ready_for` the seconds it was ready, None when it
    never was. `doomed` = the same start cannot succeed.
    """

    message: str
    attempt: int = 0
    ready_for: float | None = None
    doomed: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What a revision's failures so far mean for its next start.

    `failures` counts starts that failed since a replica was last ready: what callers are told. `streak`
    counts failures in a row for the backoff: replicas that fail side by side count once, and one that fails
    soon after it was ready counts too. No start before `not_before` (clock seconds).
    """

    failures: int = 0
    streak: int = 0
    last: str = ""
    doomed: bool = False
    not_before: float = 0.0

    def crashed(self, crash: Crash, now: float) -> History:
        """Return the history after `crash`. A replica that was steady is replaced at once."""
        steady = crash.ready_for is not None and crash.ready_for >= STEADY
        streak = 0 if steady else max(self.streak, crash.attempt + 1)
        return History(
            failures=self.failures + (crash.ready_for is None),
            streak=streak,
            last=crash.message,
            doomed=crash.doomed,
            not_before=now + backoff(streak),
        )

    def ready(self) -> History:
        """Return the history after a replica became ready. The streak stays until one has been ready for long."""
        return History(streak=self.streak)

    def steady(self) -> History:
        """Return the history after a replica that had been ready for long was ended."""
        return replace(self, streak=0)

    def due(self) -> History:
        """Return the history once the wait is over."""
        return replace(self, not_before=0.0)
