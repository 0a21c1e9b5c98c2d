"""One revision under control: its windows, its decision state, its life, and the last 1,000 outcomes with reasons.

This is where a number of replicas comes from, start to end: collect, decide, settle. It does no I/O; whoever calls it
hands in the time and carries the outcome out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from activator.collect import Collector
from activator.eviction import Standing
from activator.explain import tell
from activator.kpa import checks
from activator.kpa.decide import Observation, State, decide, initial_state
from activator.lifecycle import CALLED, Life, Outcome, ruled, settle
from activator.scalers.base import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.model import RevisionPlan
    from activator.scalers.base import ReplicaSet
    from router.ports import RevisionStats

KEPT = 1000
LONGEST = 1e10
"""Seconds; durations end at 292 years."""


@dataclass(frozen=True, slots=True)
class Record:
    """An outcome as it is kept: at clock second `at`, with its sentence. `poked` = it did not wait for the tick."""

    at: float
    outcome: Outcome
    sentence: str
    poked: bool


class Memory(NamedTuple):
    """What a saved revision tells of others: the replicas asked for, and when the last request, and the last by tag,
    ended (clock seconds)."""

    desired: int
    idle_since: float | None
    tagged_since: float | None


class Revision:
    """A revision from the autoscaler's side. All times are clock seconds.

    `busy` = requests were open at the last decision.
    """

    def __init__(self, plan: RevisionPlan, ready: int, now: float) -> None:
        self.plan = plan
        self.life = Life()
        self.collector = Collector(plan.spec)
        self.records: deque[Record] = deque(maxlen=KEPT)
        self.busy = False
        self.room_made_at: float | None = None  # when another one last gave way to it
        self._next_tick = now
        self._zero_at: float | None = None
        self._state = initial_state(ready, now)

    @property
    def due(self) -> float:
        """When the next decision is to be made: at the next tick, or when the idle period ends."""
        return self._next_tick if self._zero_at is None else min(self._next_tick, self._zero_at)

    def configure(self, plan: RevisionPlan, desired: int, now: float) -> None:
        """Follow a changed plan, and decide by it soon; what was measured stays. When something else is measured from
        now on, panic holds the `desired` replicas meanwhile. A changed way to run replicas, or time for it, is a new
        chance for starts that failed."""
        if plan == self.plan:
            return
        self.collector.configure(plan.spec, now)
        self._state = State.load(plan.spec, self._state.dump(self.plan.spec, now), now)
        if plan.spec.metric is not self.plan.spec.metric:
            self._state = _holding(self._state, desired, now)
        deadlines = plan.bounds.progress_deadline, self.plan.bounds.progress_deadline
        if plan.replica != self.plan.replica or deadlines[0] != deadlines[1]:
            self.life = replace(self.life, overdue=0, retry_at=None)
        self._next_tick = now
        self.plan = plan

    def standing(self, replicas: ReplicaSet, stats: RevisionStats) -> Standing:
        """Return what decides whether it gives way to another revision."""
        bounds = self.plan.bounds
        return Standing(
            name=self.plan.name,
            evictable=bounds.evictable,
            min_scale=max(bounds.min_scale, bounds.pre_warm),
            min_residency=bounds.min_residency,
            desired=replicas.desired,
            open=stats.open,
            awake_since=self.life.awake_since,
            idle_since=stats.idle_since,
        )

    def evict(self) -> None:
        """Give way to another revision: have no replica until a request comes."""
        self.life = replace(self.life, evicted=True)

    def step(
        self, replicas: ReplicaSet, stats: RevisionStats, now: float, *, poked: bool = False, called: bool = False
    ) -> Record:
        """Decide how many replicas there shall be now, and remember why. When `poked`, it is for a request, even if
        another revision answers that meanwhile; when it is to be `called`, for one that is still with its caller."""
        spec = self.plan.spec
        if poked and not stats.open:
            stats = replace(stats, open=1)
        seen = Observation(replicas.count(Phase.READY), *self.collector.averages(now))
        self._state, decision = decide(spec, self._state, seen, now)
        self.life, outcome = settle((spec, self.plan.bounds), self.life, decision, (replicas, stats), now)
        if called:
            outcome = ruled(outcome, CALLED, outcome.replicas)
        record = Record(now, outcome, tell(outcome, now), poked)
        self.records.append(record)
        self.busy = stats.open > 0
        self._zero_at = outcome.zero_at
        if now >= self._next_tick:
            self._next_tick = now + spec.tick
        return record

    def overrule(self, rule: str, number: int) -> Record:
        """Let what was decided last be `number` replicas, by a rule that looks beyond this revision."""
        last = self.records[-1]
        outcome = ruled(last.outcome, rule, number)
        self.records[-1] = record = replace(last, outcome=outcome, sentence=tell(outcome, last.at))
        return record

    def dump(self, replicas: ReplicaSet, stats: RevisionStats, now: float) -> dict[str, Any]:
        """Return what must survive a restart, in JSON's types, with ages instead of times."""
        life = self.life
        return {
            "desired": replicas.desired,
            "ready": replicas.count(Phase.READY),
            "collector": self.collector.dump(now),
            "tick_in": max(0.0, self._next_tick - now),
            "zero_in": None if self._zero_at is None else max(0.0, self._zero_at - now),
            "decision": self._state.dump(self.plan.spec, now),
            "initialized": life.initialized,
            "awake_age": _age(life.awake_since, now),
            "idle_age": 0.0 if stats.open else _age(stats.idle_since, now),
            "tagged_age": 0.0 if stats.tagged_open else _age(stats.tagged_since, now),
        }

    def load(self, data: object, ready: int, away: float, now: float) -> Memory:
        """Continue from what `dump` gave `away` seconds ago. ValueError, and no change, when `data` is not like that.

        Windows and panic go on as if no time had passed, unless the whole stable window has. Where fewer replicas are
        `ready` than were then, panic holds the number: the rates start from what is ready, and would take away from a
        busy service what it has not got back yet.
        """
        fields = checks.mapping(data, "revision")
        spec = self.plan.spec
        desired = checks.whole(checks.field(fields, "desired", "revision"), "revision.desired", 0)
        were_ready = checks.whole(checks.field(fields, "ready", "revision"), "revision.ready", 0)
        initialized = checks.truth(checks.field(fields, "initialized", "revision"), "revision.initialized")
        tick_in = checks.number(checks.field(fields, "tick_in", "revision"), "revision.tick_in", 0, LONGEST)
        awake, idle, tagged = (_time(fields, key, now - away, -1) for key in ("awake_age", "idle_age", "tagged_age"))
        zero_at = _time(fields, "zero_in", now - away, 1)
        collector = Collector.load(spec, checks.field(fields, "collector", "revision"), now)
        state = State.load(spec, checks.field(fields, "decision", "revision"), now)
        self.life = Life(initialized, awake)
        self._next_tick = max(now, now - away + min(tick_in, spec.tick))
        self._zero_at = zero_at
        if away <= spec.stable_window:
            self.collector = collector
            self._state = state if ready >= were_ready else _holding(state, desired, now)
        return Memory(desired, idle, tagged)


def _holding(state: State, desired: int, now: float) -> State:
    """Return `state` in panic, so that none of several replicas is taken away for a stable window."""
    return state if desired <= 1 else State(now, max(desired, state.max_panic), state.maxima)


def _time(fields: Mapping[str, object], key: str, saved_at: float, direction: int) -> float | None:
    """Return the time that lies as long before (-1) or after (1) `saved_at` as `key` says; None if it says nothing."""
    seconds = checks.field(fields, key, "revision")
    return None if seconds is None else saved_at + direction * checks.number(seconds, f"revision.{key}", 0, LONGEST)


def _age(since: float | None, now: float) -> float | None:
    return None if since is None else max(0.0, now - since)
