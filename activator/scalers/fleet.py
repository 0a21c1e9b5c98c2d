"""One revision's replicas: makes as many as were asked for, and tells in snapshots what has become of them.

This is what the local scalers share; how a replica is run (a process, a script in memory) is up to a Runner.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from activator.scalers.backoff import STEADY, Crash, History
from activator.scalers.base import Phase, Replica, ReplicaSet, ReplicaSpec, Routing
from activator.scalers.choose import victims

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Launch:
    """The start of one replica."""

    revision: str
    name: str
    spec: ReplicaSpec


class News(Protocol):
    """What a runner tells of a replica. What it tells after `ended` is ignored."""

    def pending(self, name: str, message: str) -> None:
        """Tell that the replica cannot start yet."""

    def running(self, name: str, host: str, port: int) -> None:
        """Tell that the replica runs, and where it will answer."""

    def ready(self, name: str) -> None:
        """Tell that the replica answers its probe."""

    def unready(self, name: str, message: str) -> None:
        """Tell that the replica does not answer its probe, and why."""

    def ended(self, name: str, message: str, *, doomed: bool = False) -> None:
        """Tell that the replica is gone, or never came to be. `doomed` = the same start cannot succeed."""


class Runner(Protocol):
    """Runs replicas. It never calls back from within one of these methods."""

    def start(self, launch: Launch, news: News) -> Phase:
        """Begin to start a replica, in this loop turn; return the phase it is in: PENDING or STARTING."""

    def end(self, name: str) -> None:
        """Begin to end a replica: SIGTERM, then SIGKILL after its grace."""

    async def close(self) -> None:
        """End at once what still runs."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all fleets of a scaler have in common."""

    runner: Runner
    routing: Routing
    clock: Callable[[], float]
    publish: Callable[[ReplicaSet], None]
    new_name: Callable[[str], str]


@dataclass(slots=True, eq=False)
class Member:
    """A replica, and what the snapshot does not tell. `ready_at` is when it last became ready, None if it never was."""

    replica: Replica
    attempt: int
    answers: bool = False
    ready_at: float | None = None
    ending: bool = False
    drain: asyncio.Task[None] | None = None

    @property
    def serving(self) -> bool:
        """Whether it counts for what was asked for."""
        return self.replica.phase is not Phase.DRAINING


class Fleet:
    """One revision's replicas, in the order they were started."""

    def __init__(self, revision: str, spec: ReplicaSpec, surroundings: Surroundings) -> None:
        self.snapshot = ReplicaSet(revision)
        self._revision = revision
        self._spec = spec
        self._around = surroundings
        self._members: dict[str, Member] = {}
        self._desired = 0
        self._history = History()
        self._retry: asyncio.TimerHandle | None = None

    def declare(self, spec: ReplicaSpec) -> None:
        """Use `spec` from the next start on. A changed one is a new chance: failures are forgotten."""
        if spec != self._spec:
            self._spec = spec
            self._history = History()
            self._reconcile()

    def scale(self, desired: int) -> None:
        """Ask for `desired` replicas."""
        self._desired = desired
        self._reconcile()

    def end_all(self) -> None:
        """End every replica without waiting for its requests."""
        self._desired = 0
        for member in self._members.values():
            self._enter(member, Phase.DRAINING)
            self._end(member)
        self._reconcile()

    def pending(self, name: str, message: str) -> None:
        """See News."""
        if (member := self._members.get(name)) and member.serving:
            self._enter(member, Phase.PENDING, message)
            self._publish()

    def running(self, name: str, host: str, port: int) -> None:
        """See News."""
        if member := self._members.get(name):
            member.replica = replace(member.replica, host=host, port=port)
            if member.serving:
                self._enter(member, Phase.STARTING)
            self._publish()

    def ready(self, name: str) -> None:
        """See News."""
        member = self._members.get(name)
        if member is None or member.answers:
            return
        member.answers = True
        member.ready_at = self._around.clock()
        if member.serving:
            self._enter(member, Phase.READY)
            self._history = self._history.ready()
        self._reconcile()

    def unready(self, name: str, message: str) -> None:
        """See News."""
        if member := self._members.get(name):
            member.answers = False
            if member.serving:
                self._enter(member, Phase.STARTING, message)
            self._publish()

    def ended(self, name: str, message: str, *, doomed: bool = False) -> None:
        """See News."""
        member = self._members.pop(name, None)
        if member is None:
            return
        if member.drain:
            member.drain.cancel()
        now = self._around.clock()
        ready_for = None if member.ready_at is None else now - member.ready_at
        if member.serving:
            self._history = self._history.crashed(Crash(message, member.attempt, ready_for, doomed), now)
        elif ready_for is not None and ready_for >= STEADY:
            self._history = self._history.steady()
        self._reconcile()

    def _reconcile(self) -> None:
        missing = self._desired - sum(member.serving for member in self._members.values())
        if missing < 0:
            self._shed(-missing)
        elif missing > 0:
            missing -= self._take_back(missing)
            if self._history.not_before <= self._around.clock():
                self._start(missing)
                missing = 0
        self._plan_retry(missing > 0)
        self._publish()

    def _shed(self, count: int) -> None:
        serving = [member.replica for member in self._members.values() if member.serving]
        in_flight = self._around.routing.in_flight(self._revision)
        for replica in victims(serving, in_flight, count):
            member = self._members[replica.name]
            self._enter(member, Phase.DRAINING)
            if member.ready_at is None:
                self._end(member)
            else:
                member.drain = asyncio.get_running_loop().create_task(self._drain(member))

    async def _drain(self, member: Member) -> None:
        await self._around.routing.drained(self._revision, member.replica.name)
        self._end(member)

    def _end(self, member: Member) -> None:
        if not member.ending:
            member.ending = True
            self._around.runner.end(member.replica.name)

    def _take_back(self, count: int) -> int:
        """Let up to `count` draining replicas serve again, those that can; return how many."""
        able = [m for m in self._members.values() if not m.serving and not m.ending and m.answers][:count]
        for member in able:
            if member.drain:
                member.drain.cancel()
            self._enter(member, Phase.READY)
        return len(able)

    def _start(self, count: int) -> None:
        for _ in range(count):
            name = self._around.new_name(self._revision)
            phase = self._around.runner.start(Launch(self._revision, name, self._spec), self)
            self._members[name] = Member(
                Replica(name, phase, self._around.clock(), tls=self._spec.tls), self._history.streak
            )

    def _plan_retry(self, wanted: bool) -> None:
        if self._retry:
            self._retry.cancel()
        self._retry = None
        if wanted:
            wait = max(self._history.not_before - self._around.clock(), 0)
            self._retry = asyncio.get_running_loop().call_later(wait, self._try_again)

    def _try_again(self) -> None:
        self._history = self._history.due()
        self._reconcile()

    def _enter(self, member: Member, phase: Phase, message: str = "") -> None:
        old = member.replica
        since = old.since if old.phase is phase else self._around.clock()
        member.replica = replace(old, phase=phase, since=since, message=message)

    def _publish(self) -> None:
        history = self._history
        snapshot = ReplicaSet(
            revision=self._revision,
            desired=self._desired,
            replicas=tuple(member.replica for member in self._members.values()),
            failures=history.failures,
            last_failure=history.last,
            retry_at=history.not_before if self._retry else None,
            doomed=history.doomed,
        )
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            self._around.publish(snapshot)
