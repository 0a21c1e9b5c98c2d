"""The loop of the autoscaler: counts every second, decides every tick, and at once when a request finds no capacity.

DECISION  router counters -> collect -> kpa.window -> kpa.decide -> lifecycle/bounds -> scaler

Everything between reading the router's state and asking the scaler happens in one turn of the event loop, so a request
that arrives meanwhile is either seen by the decision or finds the replica gone and pokes again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from activator.lifecycle import present
from activator.revision import Revision, idle_clocks
from activator.scalers.base import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from activator.catalog.model import RevisionPlan
    from activator.revision import Record
    from activator.scalers.base import ReplicaSet, Scaler
    from router.ports import Clock, Replicas, RevisionStats

PERIOD = 1.0


class Traffic(Protocol):
    """The router, as the loop sees it."""

    def collect(self) -> Mapping[str, RevisionStats]:
        """Return what was counted per revision since the last call."""

    def look(self, revision: str) -> RevisionStats:
        """Return the state of one revision now."""

    def update(self, replicas: Replicas) -> None:
        """Take a new capacity snapshot."""

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        """Continue idle clocks from an earlier run."""


class Loop:
    """Controls all revisions of a catalog. `on_change` is told of every change of a number, with its reason."""

    def __init__(self, traffic: Traffic, scaler: Scaler, clock: Clock) -> None:
        self.revisions: dict[str, Revision] = {}
        self.on_change: Callable[[Revision, ReplicaSet, Record], None] | None = None
        self.on_period: Callable[[float, float], None] | None = None
        self.pokes: Counter[str] = Counter()
        self._traffic = traffic
        self._scaler = scaler
        self._clock = clock
        scaler.subscribe(self._replicas_changed)

    def configure(self, plans: Mapping[str, RevisionPlan]) -> None:
        """Replace the plans whole. The scaler ends the replicas of a revision that is no longer named."""
        now = self._clock()
        self._scaler.declare({name: plan.replica for name, plan in plans.items()})
        known, self.revisions = self.revisions, {}
        for name, plan in plans.items():
            revision = known.get(name)
            if revision is None:
                ready = self._scaler.replicas(name).count(Phase.READY)
                revision = Revision(plan, ready, now)
            else:
                revision.configure(plan, now)
            self.revisions[name] = revision
            self._tell_router(self._scaler.replicas(name))

    def restore(self, saved: Mapping[str, Any], away: float) -> list[str]:
        """Continue from a state saved `away` seconds ago; return what could not be used, in sentences."""
        problems = []
        now = self._clock()
        for name, data in saved.items():
            if name not in self.revisions:
                continue
            try:
                self.revisions[name].load(data, away, now)
                self._traffic.restore(name, *idle_clocks(data, away, now))
                self._scaler.scale(name, int(data["desired"]))
            except (KeyError, TypeError, ValueError) as error:
                problems.append(f"The saved state of {name} cannot be used, it starts afresh: {error}")
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
        last = self._clock()
        for name in self.revisions:
            self.step(name)
        while True:
            await asyncio.sleep(self._until_next(last))
            now = self._clock()
            if now - last >= PERIOD:
                self._count(now)
                if self.on_period is not None:
                    self.on_period(now, now - last)
                last = now
            for name, revision in self.revisions.items():
                if now >= revision.due or self._may_leave(name, revision):
                    self.step(name)

    def wake(self, revision: str) -> None:
        """Decide at once for a revision that has no replica and none starting: a request is held for it."""
        known = self.revisions.get(revision)
        if known is None or self._scaler.replicas(revision).desired:
            return
        self.pokes[revision] += 1
        known.collector.poke(self._clock())
        self.step(revision, poked=True)

    def step(self, name: str, *, poked: bool = False) -> None:
        """Decide for one revision and ask the scaler for what was decided."""
        revision = self.revisions[name]
        before = self._scaler.replicas(name)
        record = revision.step(before, self._traffic.look(name), self._clock(), poked=poked)
        if record.outcome.replicas != before.desired:
            if self.on_change is not None:
                self.on_change(revision, before, record)
            self._scaler.scale(name, record.outcome.replicas)
        self._tell_router(self._scaler.replicas(name))

    def _until_next(self, last: float) -> float:
        due = min((revision.due for revision in self.revisions.values()), default=last + PERIOD)
        return max(0.001, min(due, last + PERIOD) - self._clock())

    def _count(self, now: float) -> None:
        for name, stats in self._traffic.collect().items():
            if name in self.revisions:
                self.revisions[name].collector.record(stats, now)

    def _may_leave(self, name: str, revision: Revision) -> bool:
        """Tell whether a revision without assigned traffic has replicas that nobody uses; it does not wait for its
        tick."""
        return not revision.plan.spec.reachable and self._scaler.replicas(name).desired > 0

    def _replicas_changed(self, replicas: ReplicaSet) -> None:
        self._tell_router(replicas)

    def _tell_router(self, replicas: ReplicaSet) -> None:
        revision = self.revisions.get(replicas.revision)
        if revision is not None:
            self._traffic.update(present(revision.plan.bounds, revision.life, replicas, self._clock()))
