"""One revision under control: its windows, its decision state, its life, and the last 1,000 outcomes with reasons.

This is where a number of replicas comes from, start to end: collect, decide, settle. It does no I/O; whoever calls it
hands in the time and carries the outcome out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from activator.collect import Collector
from activator.explain import tell
from activator.kpa.decide import Observation, State, decide, initial_state
from activator.kpa.window import Windows
from activator.lifecycle import Life, Outcome, settle
from activator.scalers.base import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.model import RevisionPlan
    from activator.scalers.base import ReplicaSet
    from router.ports import RevisionStats

KEPT = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """An outcome as it is kept: at clock second `at`, with its sentence. `poked` = it did not wait for the tick."""

    at: float
    outcome: Outcome
    sentence: str
    poked: bool


class Revision:
    """A revision from the autoscaler's side. All times are clock seconds."""

    def __init__(self, plan: RevisionPlan, ready: int, now: float) -> None:
        self.plan = plan
        self.life = Life()
        self.collector = Collector(plan.spec)
        self.records: deque[Record] = deque(maxlen=KEPT)
        self.due = now + plan.spec.tick
        self._state = initial_state(plan.spec, ready, now)

    def configure(self, plan: RevisionPlan, now: float) -> None:
        """Follow a changed plan; what was measured stays."""
        self.collector.configure(plan.spec, now)
        self.due = min(self.due, now + plan.spec.tick)
        self.plan = plan

    def step(self, replicas: ReplicaSet, stats: RevisionStats, now: float, *, poked: bool = False) -> Record:
        """Decide how many replicas there shall be now, and remember why."""
        spec = self.plan.spec
        seen = Observation(replicas.count(Phase.READY), *self.collector.averages(now))
        self._state, decision = decide(spec, self._state, seen, now)
        self.life, outcome = settle((spec, self.plan.bounds), self.life, decision, (replicas, stats), now)
        record = Record(now, outcome, tell(outcome, now), poked)
        self.records.append(record)
        if not poked:
            self.due = now + spec.tick
        return record

    def dump(self, replicas: ReplicaSet, stats: RevisionStats, now: float) -> dict[str, Any]:
        """Return what must survive a restart, in JSON's types, with ages instead of times."""
        life = self.life
        return {
            "desired": replicas.desired,
            "windows": self.collector.windows.dump(now),
            "decision": self._state.dump(self.plan.spec, now),
            "initialized": life.initialized,
            "awake_age": _age(life.awake_since, now),
            "idle_age": 0.0 if stats.open else _age(stats.idle_since, now),
            "tagged_age": 0.0 if stats.tagged_open else _age(stats.tagged_since, now),
        }

    def load(self, data: Mapping[str, Any], away: float, now: float) -> None:
        """Continue from what `dump` gave `away` seconds ago. Windows and panic go on as if no time had passed, unless
        the whole stable window has. ValueError when `data` is not like that."""
        try:
            spec = self.plan.spec
            if away <= spec.stable_window:
                self.collector.windows = Windows.load(spec, data["windows"], now)
                self._state = State.load(spec, data["decision"], now)
            awake = data["awake_age"]
            self.life = Life(bool(data["initialized"]), None if awake is None else now - away - float(awake))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a saved revision: {error!r}") from error


def idle_clocks(data: Mapping[str, Any], away: float, now: float) -> tuple[float | None, float | None]:
    """Return when the last request, and the last by tag, of a saved revision ended (clock seconds)."""
    ages = (data.get("idle_age"), data.get("tagged_age"))
    idle, tagged = (None if age is None else now - away - float(age) for age in ages)
    return idle, tagged


def _age(since: float | None, now: float) -> float | None:
    return None if since is None else max(0.0, now - since)
