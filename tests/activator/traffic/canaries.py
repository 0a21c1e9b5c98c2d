"""Short ways to make canaries and what is seen of them."""

from __future__ import annotations

from typing import Any

from activator.catalog.model import Canary
from activator.traffic.counts import Counts
from activator.traffic.rollout import Rollout, Side, advance, begin, percents


def canary(goal: int = 100, **changes: Any) -> Canary:
    """Return the canary m-2 beside m-1, with steps of 10 s and 20 requests."""
    plain = {"step_seconds": 10.0, "step_requests": 20, "steps": (1, 5, 25, 50)}
    return Canary("m", "m-2", "m-1", goal, "m-2 m-1 x", **{**plain, **changes})


def side(answered: int = 0, failed: int = 0, ready: int = 1, failing: str = "") -> Side:
    return Side(ready, Counts(answered, failed), failing)


class Course:
    """A rollout in its course: `kinds` and `whys` of what has happened. Where the goal is reached the stable revision
    has what is left of 100."""

    def __init__(self, of: Canary, replicas: int = 1) -> None:
        self.canary = of
        self.rollout: Rollout = begin(of, replicas)
        self.kinds: list[str] = []
        self.whys: list[str] = []

    @property
    def shares(self) -> tuple[int, int]:
        return percents(self.canary, self.rollout, 100 - self.canary.goal)

    @property
    def percent(self) -> int:
        return self.shares[0]

    def second(self, mine: Side | None = None, other: Side | None = None, seconds: float = 1.0) -> None:
        seen = (mine or side(5), other or side(20))
        self.rollout, events = advance(self.canary, self.rollout, seen, self.shares, seconds)
        self.kinds += [event.kind for event in events]
        self.whys += [event.why for event in events]

    def seconds(self, count: int, mine: Side | None = None, other: Side | None = None) -> None:
        for _ in range(count):
            self.second(mine, other)
