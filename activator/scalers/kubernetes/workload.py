"""One revision's Deployment: how many replicas it is to have, which of its pods serve, and which go.

Before the number is lowered, pods are chosen, get no new request, and have ended those they had; their deletion cost is
set and seen, and the ReplicaSet's own order (activator.scalers.kubernetes.order) must hit none but them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from activator.kube.resources import version_of
from activator.kube.store import newer
from activator.scalers.base import ReplicaSet
from activator.scalers.choose import victims
from activator.scalers.kubernetes.api import count_of
from activator.scalers.kubernetes.costs import CHEAPEST, Costs
from activator.scalers.kubernetes.crew import Crew, Help
from activator.scalers.kubernetes.order import may_go
from activator.scalers.kubernetes.vacancies import Vacancies
from activator.scalers.kubernetes.writer import Place, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from activator.kube.resources import Object
    from activator.scalers.base import ReplicaSpec, Routing
    from activator.scalers.kubernetes.api import Api, Count
    from activator.scalers.kubernetes.member import Ask, Member
    from router.tasks import Tasks

AGAIN = 1.0
PAST = 10.0
"""Seconds after which a pod that was to end by a write, and did not, is taken as one that stays."""
WISH = 10.0
"""Seconds for which it is to be woken though nobody waits for it: for who will, or is woken as well."""


class Around(NamedTuple):
    """What all workloads of a scaler have in common. `leads` = it is ours to scale; from 0 to 1 everyone may. `hinder`
    hears, by revision, what keeps us from scaling as we should and needs someone to mend it."""

    namespace: str
    manager: str
    routing: Routing
    api: Api
    tasks: Tasks
    clock: Callable[[], float]
    publish: Callable[[ReplicaSet], None]
    leads: Callable[[], bool]
    hinder: Callable[[str, str], None]
    ask: Ask


class Workload:
    """The replicas of one revision, made by the Deployment of its name."""

    def __init__(self, revision: str, spec: ReplicaSpec, around: Around) -> None:
        self.snapshot = ReplicaSet(revision)
        self.spec = spec
        self._revision = revision
        self._around = around
        place = Place(around.namespace, revision, around.manager)
        self.writer = Writer(place, self, around.api, around.tasks, around.clock)
        help_ = Help(around.api, around.tasks, around.clock, around.ask, self._hurried, self.reconcile)
        self._crew = Crew(spec, help_)
        self.costs = Costs(around.api, around.tasks, self.reconcile, around.leads)
        self._vacancies = Vacancies(revision)
        self._object: Object | None = None
        self._desired = 0
        self._asked = False
        self._room: int | None = None
        self._rivals: frozenset[str] = frozenset()
        self._again: asyncio.TimerHandle | None = None
        self._woken_at: float | None = None  # when it was asked to wake, which nobody has done yet
        self._closed = False
        self._hindrance = ""

    # -- what it is told

    def declare(self, spec: ReplicaSpec) -> None:
        """Use `spec` from now on. A changed one is a new chance: failures are forgotten."""
        if spec != self.spec:
            self.spec = spec
            self._crew.starts.forget()
            self._crew.declare(spec)
            self.reconcile()

    def scale(self, desired: int) -> None:
        """Ask for `desired` replicas."""
        if desired and not self._desired:
            self._woken_at = self._around.clock()
        self._desired, self._asked = desired, True
        self.reconcile()

    def saw_deployment(self, item: Object | None, pods: Iterable[Object]) -> None:
        """Take the Deployment as it is now, None = there is none; `pods` are all of the namespace."""
        before, self._object = self._object, item
        if item is None:
            self.writer.gone()
            self._crew.select({}, ())
        else:
            self._follow(count_of(item), None if before is None else version_of(before))
            self._crew.select(item["spec"].get("selector") or {}, pods)
            if before is not None and before["spec"].get("template") != item["spec"].get("template"):
                self._crew.starts.forget()
        self.reconcile()

    def saw_pod(self, old: Object | None, new: Object | None) -> None:
        """Take a pod of the namespace as it was and is; others' pods are passed over."""
        if self._crew.saw(old, new):
            self.reconcile()

    def allow(self, room: int | None, rivals: frozenset[str]) -> None:
        """Hear how many replicas the GPUs allow, and whose end would make room for one that waits."""
        if (room, rivals) != (self._room, self._rivals):
            self._room, self._rivals = room, rivals
            self.reconcile()

    def close(self) -> None:
        """Let go of the Deployment: it stays as it is."""
        self._closed = True
        self._crew.close()
        self.writer.close()
        if self._again is not None:
            self._again.cancel()
        self.snapshot = ReplicaSet(self._revision)
        self._around.publish(self.snapshot)

    # -- what it does

    def reconcile(self) -> None:
        """Make of what is known now what is to be done and told."""
        if self._closed:
            return
        now = self._around.clock()
        members = self._crew.all()
        for member in members:
            member.marked = not self._around.leads() and CHEAPEST <= member.pod.cost < 0
        again = self._crew.refresh(now)
        self._follow_others(now)
        if self._passive():
            self._take_back(members, len(members))
        else:
            self._balance(members, now)
        if self._asked:
            self.writer.poke()
        self._crew.refresh(now)
        self._publish(members, now)
        self._tell_hindrance()
        self._plan(again)

    def _balance(self, members: list[Member], now: float) -> None:
        for member in members:
            if member.committed and not member.pod.ending and now > member.chosen_at + PAST:
                member.committed = False
        missing = self._desired - sum(member.counted and not member.chosen for member in members)
        if missing > 0:
            self._take_back(members, missing)
        elif missing < 0:
            self._choose(members, -missing, now)
        in_flight = self._around.routing.in_flight(self._revision)
        if self._desired:
            self.costs.want(members, in_flight)

    def _choose(self, members: list[Member], count: int, now: float) -> None:
        """Have `count` members go: those of which nothing runs first, then as `victims` has it."""
        staying = [member for member in members if member.counted and not member.chosen]
        replicas = [member.replica(None) for member in staying if not member.out]
        in_flight = self._around.routing.in_flight(self._revision)
        chosen = [member.pod.name for member in staying if member.out][:count]
        chosen += [replica.name for replica in victims(replicas, in_flight, count - len(chosen))]
        for member in staying:
            if member.pod.name in chosen:
                member.chosen, member.chosen_at = True, now
                member.drained = member.ready_at is None
                if not member.drained:
                    member.draining = self._around.tasks.spawn(self._drain(member), f"drain of {member.pod.name}")

    async def _drain(self, member: Member) -> None:
        try:
            async with asyncio.timeout(self.spec.drain_timeout or None):
                await self._around.routing.drained(self._revision, member.pod.name)
        except TimeoutError:
            pass
        member.drained = True
        self.reconcile()

    def _take_back(self, members: list[Member], count: int) -> None:
        """Let up to `count` of those that were chosen stay, unless a write is under way by which they may end."""
        able = [member for member in members if member.chosen and not member.committed and member.counted]
        for member in sorted(able, key=lambda member: not member.ready)[:count]:
            member.chosen = member.drained = False
            if member.draining is not None:
                member.draining.cancel()
                member.draining = None

    def _tell_hindrance(self) -> None:
        before, self._hindrance = self._hindrance, self.writer.held or self.costs.refused
        if self._hindrance and self._hindrance != before:
            self._around.hinder(self._revision, self._hindrance)

    def _plan(self, again: float | None) -> None:
        if self._again is not None:
            self._again.cancel()
        members = self._crew.all()
        waits = [PAST] if any(member.committed for member in members) else []
        if any(member.marked or (self.costs.refused and member.chosen) for member in members):
            waits.append(AGAIN)
        if self.writer.held:
            waits.append(AGAIN)  # a request that waits at zero changes no decision, but may now have its replica
        if again is not None:
            waits.append(max(0.0, again - self._around.clock()))
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(min(waits) + 0.001, self.reconcile) if waits else None

    def _publish(self, members: list[Member], now: float) -> None:
        staying = [member for member in members if member.counted and not member.chosen]
        self._vacancies.want(max(0, self._desired - len(staying)), self._obstacle(), now)
        history = self._crew.starts.history
        between = history.not_before > now and any(member.out for member in staying)
        replicas = [member.replica(self.spec.tls) for member in members if not member.out]
        snapshot = ReplicaSet(
            revision=self._revision,
            desired=self._desired,
            replicas=(*replicas, *self._vacancies.replicas),
            failures=history.failures,
            last_failure=history.last,
            retry_at=history.not_before if between else None,
            doomed=history.doomed,
            room=self._room,
            rivals=self._rivals,
            edition=self._crew.starts.edition,
        )
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            self._around.publish(snapshot)

    def _obstacle(self) -> str:
        """Return why a replica that is missing does not come, "" when nothing is known to be in its way."""
        return self.writer.held or self.writer.trouble or _failure(self._object)

    # -- what the writer asks and tells

    def target(self, now: Count) -> int:
        """Return how many replicas may be written: those asked for, and those that must not end yet."""
        if self._passive():
            if self._around.leads():
                return now.replicas or int(self._hurried())
            return now.replicas or int(self._wakes(self._around.clock()))
        counted = [member for member in self._crew.all() if member.counted]
        fewest = self._desired + sum(member.chosen and not member.drained for member in counted)
        if fewest >= now.replicas or not fewest:
            return fewest
        if _rolling(self._object):
            return now.replicas
        return next((n for n in range(fewest, now.replicas) if self._hits_none_else(counted, n)), now.replicas)

    def may_write(self, now: Count, target: int) -> bool:
        """Tell whether a write is ours: the leader's, or anyone's from zero."""
        return self._around.leads() or (not now.replicas and target > 0)

    def sending(self, target: int) -> None:
        """Take it from now on that a write to `target` may end pods."""
        counted = [member for member in self._crew.all() if member.counted]
        going = may_go((member.pod for member in counted), len(counted) - target)
        for member in counted:
            member.committed = member.committed or (member.chosen and member.pod.name in going)
            member.chosen_at = self._around.clock() if member.committed else member.chosen_at

    def settled(self, *, accepted: bool) -> None:
        """Take what became of a write."""
        if not accepted:
            for member in self._crew.all():
                member.committed = False
        self.reconcile()

    def _hits_none_else(self, counted: list[Member], target: int) -> bool:
        """Tell whether the ReplicaSet, told to have `target`, ends only pods that were chosen and have no request."""
        going = may_go((member.pod for member in counted), len(counted) - target)
        if self.costs.refused:
            busy = self._around.routing.in_flight(self._revision)
            return not any(busy.get(name) for name in going)
        return going <= {member.pod.name for member in counted if member.chosen and member.drained}

    def _follow(self, count: Count, version: str | None) -> None:
        """Take over the number that is there where it is not ours to decide, or nobody has asked for one yet. What was
        seen before, if anything, was at `version`."""
        known = self.writer.known
        restored = version is not None and newer(version, count.version)
        self.writer.saw(count, alone=self._around.leads(), sure=restored)
        if version is None:
            self._desired, self._asked = max(self._desired, count.replicas), True
        elif self.writer.known is not known and (self.writer.held or self._woken(known, count)):
            self._desired = count.replicas

    def _follow_others(self, now: float) -> None:
        """Take over what is there where another edge leads: what was ordered before counts no more, but for a wake."""
        known = self.writer.known
        if known is None:
            return
        if known.replicas:
            self._woken_at = None
        if not self._around.leads():
            self._desired = known.replicas or int(self._wakes(now))

    def _wakes(self, now: float) -> bool:
        """Whether it was asked to wake, and somebody waits for that still, or did just now."""
        return self._woken_at is not None and (now < self._woken_at + WISH or self._hurried())

    def _woken(self, known: Count | None, count: Count) -> bool:
        """Whether another edge has woken the model: from zero every edge may, and all write under one name. (An API
        server need not tell who wrote by the scale subresource.)"""
        asleep = not self._desired and known is not None and not known.replicas
        ours = not count.owners or self._around.manager in count.owners
        return asleep and ours and count.replicas > 0

    def _passive(self) -> bool:
        """Whether someone else decides: another edge leads, or another writer has its way."""
        return bool(self.writer.held) or not self._around.leads()

    def _hurried(self) -> bool:
        return self._around.routing.look(self._revision).held > 0


def _rolling(deployment: Object | None) -> bool:
    """Tell whether a Deployment has pods of two templates: which ReplicaSet shrinks is then not known."""
    status = (deployment or {}).get("status") or {}
    return int(status.get("updatedReplicas") or 0) != int(status.get("replicas") or 0)


def _failure(deployment: Object | None) -> str:
    """Return why pods cannot be created, such as a quota."""
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"pods cannot be created: {condition.get('message') or condition.get('reason')}"
    return ""
