"""The rollouts of all services that have a canary: watched once a second, and put into force when something moves.

What becomes of a rollout is settled by `traffic`, which is pure. Here it is fed with what the router counted and the
scaler tells, and what comes of it is published whole: shares for the router, plans for the loop.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from activator.catalog.model import Catalog
from activator.kpa.spec import Metric
from activator.lifecycle import present
from activator.scalers.base import Phase as ReplicaPhase
from activator.traffic import rollout as moves
from activator.traffic.counts import Counts
from activator.traffic.rollout import Phase, Rollout, Side
from activator.traffic.shares import Have, Need, effective, percent_of
from router.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from activator.catalog.model import Canary
    from activator.loop import Loop
    from activator.scalers.base import Scaler
    from activator.traffic.rollout import Event
    from router.ports import Clock, RevisionStats
    from router.tally import Tally

KEPT = 1000
FAILING = "failing"


class Told(NamedTuple):
    """An event as it is kept: at which clock second, of which service and canary."""

    at: float
    service: str
    revision: str
    event: Event


class Tallies(Protocol):
    """What the router counts, as rollouts see it: `router.counters.Counters`."""

    def tally(self, revision: str) -> Tally | None:
        """Return what a revision answered and nobody has taken yet; None when nothing is counted of it."""


class Traffic(Protocol):
    """The router, as rollouts see it."""

    @property
    def counters(self) -> Tallies:
        """What is counted."""

    def look(self, revision: str) -> RevisionStats:
        """Return the state of one revision now."""


class Rollouts:
    """Watches rollouts and publishes what is in force. `on_event` is told of every move; what must survive a restart
    has changed then. Where several edges serve the same services, `leads` tells whether this one moves them."""

    def __init__(self, parts: tuple[Traffic, Loop, Scaler], publish: Callable[[Catalog], None], clock: Clock) -> None:
        self.on_event: Callable[[Told], None] | None = None
        self.leads: Callable[[], bool] = lambda: True
        self.told: deque[Told] = deque(maxlen=KEPT)
        self.events: Counter[tuple[str, str, str]] = Counter()  # by service, revision (of the catalog) and kind
        self.rollouts: dict[str, Rollout] = {}
        self.canaries: Mapping[str, Canary] = {}
        self._traffic, self._loop, self._scaler = parts
        self._publish = publish
        self._clock = clock
        self._catalog = Catalog(Table(), {})
        self._in_force: object = None
        self._comparisons: dict[str, tuple[int, object]] = {}  # by service: a number, and what it stands for
        self._numbers = count(1)
        self._goals: dict[str, int] = {}  # of the stable revisions, by service
        self._loads: dict[str, float] = {}  # by service, in terms of its metric
        self._away: dict[str, Any] = {}  # rollouts of services that are not in the catalog, as they are saved
        self._ahead: dict[str, Rollout] = {}  # of another edge, by a configuration that is not ours yet

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Let `configure` go on with what `dump` gave in an earlier run."""
        self._away = dict(saved)

    def configure(self, catalog: Catalog) -> list[str]:
        """Take a new catalog, and put into force what its rollouts make of it. Return what of the restored state could
        not be used, in sentences. The rollout of a service that has no canary any more is forgotten; that of a service
        that is gone is kept in case it comes back."""
        problems = []
        known, self.rollouts = self.rollouts, {}
        services = {each.name for each in catalog.table.services}
        self._away |= {service: rollout.dump() for service, rollout in known.items() if service not in services}
        self._catalog, self.canaries = catalog, catalog.canaries
        self._goals = {
            each.name: percent_of(each, self.canaries[each.name].stable)
            for each in catalog.table.services
            if each.name in self.canaries
        }
        for service, canary in catalog.canaries.items():
            before, ahead = known.get(service), self._ahead.get(service)
            if ahead is not None and _is_of(ahead, canary):
                before = self._ahead.pop(service)
            elif before is None and service in self._away:
                try:
                    before = Rollout.load(self._away[service])
                except ValueError as error:
                    problems.append(f"The saved rollout of {service} cannot be used, it begins anew: {error}.")
            self._take(service, *moves.follow(canary, before, self._scaler.replicas(canary.stable).desired))
        self._loads = {name: load for name, load in self._loads.items() if name in self.canaries}
        self._comparisons = {name: each for name, each in self._comparisons.items() if name in self.canaries}
        self.events = Counter({key: number for key, number in self.events.items() if key[1] in catalog.plans})
        self._away = {name: each for name, each in list(self._away.items())[-KEPT:] if name not in services}
        self._in_force = None
        self._put_into_force()
        return problems

    def adopt(self, saved: Mapping[str, Any]) -> list[str]:
        """Go on as `dump` of another edge says, now, or as soon as its configuration is ours, too; return what could
        not be used, in sentences."""
        problems = []
        self._ahead.clear()
        services = {each.name for each in self._catalog.table.services}
        for service, data in saved.items():
            if service not in services:
                self._away[service] = data
                continue
            try:
                rollout = Rollout.load(data)
            except ValueError as error:
                problems.append(f"The saved rollout of {service} cannot be used, it goes on as it is: {error}.")
                continue
            canary = self.canaries.get(service)
            if canary is not None and _is_of(rollout, canary):
                self.rollouts[service] = rollout
            else:
                self._ahead[service] = rollout
        self._put_into_force()
        return problems

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, by service, in JSON's types."""
        return {**self._away, **{service: rollout.dump() for service, rollout in self.rollouts.items()}}

    def look(self, seconds: float) -> None:
        """Take account of what has happened in the last `seconds`, and put into force what comes of it."""
        for service, canary in self.canaries.items():
            seen = (self._side(canary.revision, self._called(canary)), self._side(canary.stable))
            rollout, events = moves.advance(canary, self.rollouts[service], seen, self.shares(service), seconds)
            if self._swaps(service):
                rollout = replace(rollout, room=max(rollout.room, self._room(canary, seen, seconds)))
            self._take(service, rollout, events)
        self._put_into_force()

    def promote(self, service: str) -> str:
        """Give a service's canary all of the stable revision's traffic; return the sentence that tells it. KeyError
        when the service has no canary."""
        return self._move(service, *moves.promote(self.canaries[service], self.rollouts[service]))

    def roll_back(self, service: str) -> str:
        """Give the stable revision all of the canary's traffic; otherwise as `promote`."""
        return self._move(service, *moves.roll_back(self.canaries[service], self.rollouts[service]))

    def restart(self, service: str) -> str:
        """Begin a rollout anew; otherwise as `promote`."""
        canary = self.canaries[service]
        why = self._move(service, *moves.restart(canary, self._scaler.replicas(canary.stable).desired))
        self._loop.wake(canary.revision)  # also if starts have failed
        return why

    def shares(self, service: str) -> tuple[int, int]:
        """Return the percentages that the canary and the stable revision of a service have now."""
        return moves.percents(self.canaries[service], self.rollouts[service], self._goals[service])

    def _move(self, service: str, rollout: Rollout, events: list[Event]) -> str:
        self._take(service, rollout, events)
        self._put_into_force()
        return rollout.why

    def _take(self, service: str, rollout: Rollout, events: list[Event]) -> None:
        self.rollouts[service] = rollout
        for event in events:
            told = Told(self._clock(), service, self.canaries[service].revision, event)
            self.told.append(told)
            self.events[service, told.revision, event.kind] += 1
            if self.on_event is not None:
                self.on_event(told)

    def _put_into_force(self) -> None:
        """Publish the catalog as it is now, if anything in it has moved."""
        needs = {service: self._need(service) for service in self.canaries if self._swaps(service)}
        comparisons = {service: self._comparison(service) for service in self.canaries}
        if (comparisons, needs) != self._in_force:
            self._in_force = (comparisons, needs)
            self._publish(effective(self._catalog, self.rollouts, needs, comparisons))

    def _comparison(self, service: str) -> int:
        """Return the number of the comparison that goes on in a service: another one when its shares have changed, or
        the canary begins or ceases to get its own."""
        rollout = self.rollouts[service]
        ready = self._scaler.replicas(self.canaries[service].revision).count(ReplicaPhase.READY) > 0
        figures = (rollout.phase, rollout.percent, rollout.warm, ready)
        if service not in self._comparisons or figures != self._comparisons[service][1]:
            self._comparisons[service] = next(self._numbers), figures
        return self._comparisons[service][0]

    def _called(self, canary: Canary) -> tuple[str, ...]:
        """Return the revisions that a canary calls, which must be there, too, before it gets its share."""
        plan = self._loop.revisions[canary.revision].plan
        return () if self.rollouts[canary.service].warm else plan.wakes

    def _side(self, name: str, called: Iterable[str] = ()) -> Side:
        tally = self._traffic.counters.tally(name)
        counts = Counts(*tally.take()) if tally is not None else Counts()
        needed = (name, *called)
        ready = min(self._scaler.replicas(each).count(ReplicaPhase.READY) for each in needed)
        return Side(ready, counts, next(filter(None, map(self._failing, needed)), ""))

    def _failing(self, name: str) -> str:
        """Return why the starts of a revision keep failing, "" if they do not."""
        revision = self._loop.revisions[name]
        start = present(revision.plan.bounds, revision.life, self._scaler.replicas(name), self._clock()).start
        return (start.message or "no replica becomes ready") if start.phase == FAILING else ""

    def _swaps(self, service: str) -> bool:
        """Tell whether the revisions of a service share their room now: during its rollout in swap mode, and until the
        one that has lost its traffic is gone."""
        if not self.canaries[service].swap:
            return False
        canary, (own, rest) = self.canaries[service], self.shares(service)
        over = self.rollouts[service].phase is not Phase.RUNNING
        losing = canary.revision if not own else canary.stable if not rest else ""
        return not over or (losing != "" and self._have(losing).all > 0)

    def _need(self, service: str) -> Need:
        canary = self.canaries[service]
        revision = self._loop.revisions.get(canary.revision)
        wanted = revision.records[-1].outcome.decision.desired if revision is not None and revision.records else 1
        return Need(self._have(canary.revision), self._have(canary.stable), wanted, self.rollouts[service].room)

    def _room(self, canary: Canary, seen: tuple[Side, Side], seconds: float) -> int:
        """Return how many replicas of the stable revision all traffic of both needs, by a moving average over its
        stable window; half a replica more is no replica more."""
        stable = self._loop.revisions[canary.stable]
        spec, now = stable.plan.spec, self._clock()
        if spec.metric is Metric.RPS:
            load = sum(side.counts.answered for side in seen) / seconds
        else:
            load = float(sum(self._traffic.look(name).open for name in (canary.revision, canary.stable)))
        before = self._loads.get(canary.service, stable.collector.averages(now)[0])
        self._loads[canary.service] = after = before + (load - before) * min(1.0, seconds / spec.stable_window)
        return ceil(after / spec.target - 0.5)

    def _have(self, name: str) -> Have:
        replicas = self._scaler.replicas(name)
        leaving = replicas.count(ReplicaPhase.DRAINING)
        return Have(max(replicas.desired, len(replicas.replicas) - leaving), leaving)


def _is_of(rollout: Rollout, canary: Canary) -> bool:
    return (rollout.identity, rollout.goal) == (canary.identity, canary.goal)
