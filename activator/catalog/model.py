"""What a catalog says, wherever it comes from: the routing table, and a plan for each revision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.kpa.spec import Bounds, Spec
    from activator.scalers.base import ReplicaSpec
    from router.table import Table


@dataclass(frozen=True, slots=True)
class RevisionPlan:
    """Everything that is settled about one revision before it has any traffic. It `wakes` the revisions that it will
    call.
    """

    name: str
    service: str
    spec: Spec
    bounds: Bounds
    replica: ReplicaSpec
    wakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuardKeys:
    """How a canary is judged. `risk` is the probability of taking out one that is no worse; `window` in seconds;
    `tolerated_errors` is a part of its requests; `max_slowdown` a factor on the 95th percentile, 0 = not judged."""

    risk: float = 0.01
    window: float = 300.0
    min_requests: int = 20
    tolerated_errors: float = 0.01
    max_slowdown: float = 1.5


@dataclass(frozen=True, slots=True)
class Canary:
    """How `revision` comes to its `goal` (percent of the service's traffic) beside `stable`, by `steps` (percent) that
    each last at least `step_seconds` and `step_requests`.

    With `warm_first` its share goes to the stable revision until it has a replica; with `hold` its requests wait for it
    when it sleeps later. `swap` = both together have at most one replica more than the stable one had. `guard` None =
    it is not judged. A rollout begins anew when its `identity` changes.
    """

    service: str
    revision: str
    stable: str
    goal: int
    identity: str
    warm_first: bool = True
    hold: bool = False
    steps: tuple[int, ...] = ()
    step_seconds: float = 300.0
    step_requests: int = 100
    swap: bool = False
    guard: GuardKeys | None = GuardKeys()

    @property
    def ladder(self) -> tuple[int, ...]:
        """The percentages on the way: the steps below the goal, and the goal."""
        return (*(step for step in self.steps if step < self.goal), self.goal)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All services at one moment, replaced whole. `plans` has every revision by name, also those without traffic;
    `canaries` are those that are rolled out, by service."""

    table: Table
    plans: Mapping[str, RevisionPlan]
    canaries: Mapping[str, Canary] = field(default_factory=dict)
