"""The loop of the autoscaler: counts every second, decides every tick, and at once when a request finds no capacity.

DECISION  router counters -> collect -> kpa.window -> kpa.decide -> lifecycle/bounds -> scaler

Everything between reading the router's state and asking the scaler happens in one turn of the event loop, so a request
that arrives meanwhile is either seen by the decision or finds the replica gone and pokes again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from activator.eviction import choose
from activator.lifecycle import FOLLOWS, UNSETTLED, failing, present
from activator.revision import Revision
from activator.scalers.base import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from activator.catalog.model import RevisionPlan
    from activator.revision import Record
    from activator.scalers.base import ReplicaSet, Scaler
    from router.ports import Clock, Replicas, RevisionStats

PERIOD = 1.0
SCHEDULING = 10.0
"""Seconds in which what has given way may be followed by who waited: as long as kube-scheduler's longest pause."""


class Traffic(Protocol):
    """The router, as the loop sees it."""

    def collect(self) -> Mapping[str, RevisionStats]:
        """Return what was counted per revision since the last call."""

    def look(self, revision: str) -> RevisionStats:
        """Return the state of one revision now."""

    def settled(self, revision: str, then: Callable[[str], None]) -> bool:
        """Tell whether `look` sees every open request; if not, `then` is called with the revision once it does."""

    def update(self, replicas: Replicas) -> None:
        """Take a new capacity snapshot."""

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        """Continue idle clocks from an earlier run."""


class Loop:
    """Controls all revisions of a catalog. `on_change` is told of every change of a number, with its reason;
    `on_period` of the seconds that have passed, whenever they were counted, up to `counted` (clock seconds). Where
    several edges control the same replicas, `leads` tells whether this one does: one that does not may only wake what
    is at zero, and counts."""

    def __init__(self, traffic: Traffic, scaler: Scaler, clock: Clock) -> None:
        self.revisions: dict[str, Revision] = {}
        self.on_change: Callable[[Revision, ReplicaSet, Record], None] | None = None
        self.on_period: Callable[[float], None] | None = None
        self.leads: Callable[[], bool] = lambda: True
        self.pokes: Counter[str] = Counter()
        self.counted = clock()
        self._traffic = traffic
        self._scaler = scaler
        self._clock = clock
        scaler.subscribe(self._tell_router)

    def configure(self, plans: Mapping[str, RevisionPlan]) -> None:
        """Replace the plans whole. The scaler ends the replicas of a revision that is no longer named."""
        now = self._clock()
        self._scaler.declare({name: plan.replica for name, plan in plans.items()})
        known, self.revisions = self.revisions, {}
        self.pokes = Counter({name: number for name, number in self.pokes.items() if name in plans})
        for name, plan in plans.items():
            replicas = self._scaler.replicas(name)
            revision = known.get(name)
            if revision is None:
                revision = Revision(plan, replicas.count(Phase.READY), now)
            else:
                revision.configure(plan, replicas.desired, now)
            self.revisions[name] = revision
            self._tell_router(replicas)

    def restore(self, saved: Mapping[str, Any], away: float, *, alive: bool = False) -> list[str]:
        """Continue from a state saved `away` seconds ago; return what could not be used, in sentences.

        It is decided at once where replicas were lost, or where there are none. Elsewhere the next tick decides: one
        decision more would take one replica more. `alive` = the replicas outlived whoever saved this, and their present
        number counts.
        """
        problems = []
        now = self._clock()
        for name in self.revisions:
            if name not in saved:
                continue
            replicas = self._scaler.replicas(name)
            try:
                memory = self.revisions[name].load(saved[name], replicas.count(Phase.READY), away, now)
            except ValueError as error:
                problems.append(f"The saved state of {name} cannot be used, it starts afresh: {error}.")
                continue
            self._traffic.restore(name, memory.idle_since, memory.tagged_since)
            if not alive and (memory.desired != replicas.desired or not memory.desired):
                self._decide(name, memory.desired)
        return problems

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, by revision."""
        now = self._clock()
        return {
            name: revision.dump(self._scaler.replicas(name), self._traffic.look(name), now)
            for name, revision in self.revisions.items()
        }

    async def run(self) -> None:
        """Count and decide until cancelled."""
        self.counted = self._clock()
        while True:
            now = self._clock()
            if now - self.counted >= PERIOD:
                seconds = (now - self.counted) // PERIOD * PERIOD
                self.counted += seconds
                self._count(self.counted, seconds)
                if self.on_period is not None:
                    self.on_period(seconds)
            for name, revision in self.revisions.items():
                if self.leads() and (now >= revision.due or self._has_become_quiet(name, revision)):
                    self.step(name)
            await asyncio.sleep(self._until_next())

    def wake(self, revision: str) -> None:
        """Decide at once for a revision that has no replica and none starting: a request is held for it. Those it will
        call are woken with it: to wait for their starts one by one would take the sum of them."""
        waiting, seen = [revision], {revision}
        while waiting:
            name = waiting.pop()
            known = self.revisions.get(name)
            if known is None or self._scaler.replicas(name).desired:
                continue
            self.pokes[name] += 1
            known.collector.poke(self._clock())
            self.step(name, poked=True, called=name != revision)
            waiting += (each for each in known.plan.wakes if each not in seen)
            seen.update(known.plan.wakes)

    def step(self, name: str, *, poked: bool = False, called: bool = False) -> None:
        """Decide for one revision and ask the scaler for what was decided."""
        self._decide(name, self._scaler.replicas(name).desired, poked=poked, called=called)

    def _decide(self, name: str, desired: int, *, poked: bool = False, called: bool = False) -> None:
        """Decide for a revision of which `desired` replicas were last asked for, maybe in an earlier run."""
        revision = self.revisions[name]
        before = self._scaler.replicas(name)
        seen = replace(before, desired=desired)
        record = revision.step(seen, self._traffic.look(name), self._clock(), poked=poked, called=called)
        waking = before.desired or min(1, record.outcome.replicas)
        if record.outcome.replicas != waking and not self.leads():
            record = revision.overrule(FOLLOWS, waking)
        if before.desired and not record.outcome.replicas and not self._traffic.settled(name, self._decide_again):
            revision.overrule(UNSETTLED, before.desired)
            return
        if record.outcome.replicas != before.desired:
            if self.on_change is not None:
                self.on_change(revision, before, record)
            self._scaler.scale(name, record.outcome.replicas)
        self._tell_router(self._scaler.replicas(name))

    def _decide_again(self, name: str) -> None:
        """Decide for a revision of which all open requests are seen now."""
        if name in self.revisions:
            self.step(name)

    def _until_next(self) -> float:
        period_ends = self.counted + PERIOD
        if not self.leads():
            return max(0.001, period_ends - self._clock())
        due = min((revision.due for revision in self.revisions.values()), default=period_ends)
        return max(0.001, min(due, period_ends) - self._clock())

    def _count(self, now: float, seconds: float) -> None:
        for name, stats in self._traffic.collect().items():
            if name in self.revisions:
                self.revisions[name].collector.record(stats, now, round(seconds / PERIOD))

    def _has_become_quiet(self, name: str, revision: Revision) -> bool:
        """Tell whether the last request of a revision that has no traffic assigned, or whose starts keep failing, has
        ended since its last decision: nothing is kept, or tried again, until the tick for nobody."""
        if not revision.busy:
            return False
        bounds, life, replicas = revision.plan.bounds, revision.life, self._scaler.replicas(name)
        matters = not revision.plan.spec.reachable or failing(bounds, life, replicas, self._clock())
        return matters and not self._traffic.look(name).open

    def _tell_router(self, replicas: ReplicaSet) -> None:
        revision = self.revisions.get(replicas.revision)
        if revision is not None:
            self._traffic.update(present(revision.plan.bounds, revision.life, replicas, self._clock()))
            if replicas.rivals and self.leads():
                self._make_room(replicas)

    def _make_room(self, replicas: ReplicaSet) -> None:
        """Where requests are held for a replica that waits for a GPU, put to zero whoever may have to give way."""
        if not self._traffic.look(replicas.revision).held:
            return
        rivals = [name for name in replicas.rivals if name in self.revisions]
        states = {name: self._scaler.replicas(name) for name in rivals}
        waiter, now = self.revisions[replicas.revision], self._clock()
        if any(not state.desired and state.replicas for state in states.values()):
            waiter.room_made_at = now  # one is on its way out
        if waiter.room_made_at is not None and now < waiter.room_made_at + SCHEDULING:
            return
        standings = [self.revisions[name].standing(states[name], self._traffic.look(name)) for name in rivals]
        victim = choose(standings, now)
        if victim is not None:
            waiter.room_made_at = now
            self.revisions[victim].evict()
            self.step(victim)
