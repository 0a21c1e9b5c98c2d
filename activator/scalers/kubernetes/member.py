"""One pod of a revision, with what its object does not tell: whether it answers us, and how its starts went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from activator.scalers.base import Phase, Replica

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.kube.resources import Object
    from activator.scalers.base import ReplicaSpec
    from activator.scalers.kubernetes.pods import Pod
    from router.ports import UpstreamTls

CONNECT = 0.1
UNHURRIED = 0.2
"""Seconds between probes of a pod that starts while nobody waits for it."""


class Ask(Protocol):
    """Asks a pod whether it is ready: activator.scalers.probe.probe, or a test."""

    async def __call__(
        self,
        host: str,
        port: int,
        path: str,
        *,
        within: float,
        tls: UpstreamTls | None = None,
        connect: float | None = None,
    ) -> str:
        """Return "" when it is, else what is wrong."""


@dataclass(slots=True, eq=False)
class Member:
    """A pod. `since` is when it came into `phase`; `ready_at` when it last became ready, None if it never was since it
    last began.

    `chosen` = it is to go, and gets no new request; `drained` = it has no request left; `committed` = a write is under
    way by which it may end; `marked` = the edge that leads has chosen it, as its deletion cost shows. `words` is the
    end of what its container last wrote, None = not known.
    """

    pod: Pod
    item: Object
    phase: Phase
    since: float
    attempt: int = 0
    answers: bool = False
    complaint: str = ""
    ready_at: float | None = None
    chosen: bool = False
    marked: bool = False
    drained: bool = False
    committed: bool = False
    chosen_at: float = 0.0
    words: str | None = None
    probing: asyncio.Task[None] | None = None
    draining: asyncio.Task[None] | None = None

    @property
    def out(self) -> bool:
        """Whether nothing of it runs now: the kubelet will try again, or the ReplicaSet replaces it."""
        return bool(self.pod.stuck) or not self.pod.active

    @property
    def going(self) -> bool:
        """Whether it gets no new request: it was chosen, here or by the edge that leads, or is ending already."""
        return self.chosen or self.marked or self.pod.ending

    @property
    def counted(self) -> bool:
        """Whether the ReplicaSet counts it."""
        return self.pod.active and not self.pod.ending

    @property
    def ready(self) -> bool:
        """Whether it may be sent requests: by our own probe where we may ask, else by the kubelet's word."""
        if self.out or not self.pod.ip:
            return False
        return self.answers if self.pod.probe is not None else self.pod.ready

    def current(self) -> tuple[Phase, str]:
        """Return the phase it is in now, and what is to be told of it."""
        pod = self.pod
        if self.going:
            return Phase.DRAINING, ""
        if not pod.node and pod.waits:
            return Phase.PENDING, pod.waits
        if self.ready:
            return Phase.READY, ""
        return Phase.STARTING, self.complaint or pod.message

    def enter(self, now: float) -> None:
        """Note the phase that it is in at `now`."""
        phase, _ = self.current()
        if phase is not self.phase:
            self.phase, self.since = phase, now
        if phase is Phase.READY and self.ready_at is None:
            self.ready_at = now

    def replica(self, tls: UpstreamTls | None) -> Replica:
        """Return it as others see it."""
        _, message = self.current()
        return Replica(self.pod.name, self.phase, self.since, self.pod.ip, self.pod.port, message, tls)

    def close(self) -> None:
        """End what is done about it."""
        for task in (self.probing, self.draining):
            if task is not None:
                task.cancel()


async def follow(
    member: Member, spec: ReplicaSpec, hurried: Callable[[], bool], heard: Callable[[], None], ask: Ask
) -> None:
    """Probe a pod that has an address until cancelled; one probe at a time, each a period after the last began."""
    loop = asyncio.get_running_loop()
    failures = 0
    while (probe := member.pod.probe) is not None:
        begun = loop.time()
        connect = None if member.answers else CONNECT
        complaint = await ask(
            member.pod.ip, probe.port, probe.path, within=spec.probe_timeout, tls=spec.tls, connect=connect
        )
        failures = failures + 1 if complaint else 0
        before = member.answers, member.complaint
        if not complaint:
            member.answers, member.complaint = True, ""
        elif not member.answers or failures >= spec.failure_threshold:
            member.answers, member.complaint = False, complaint
        if before != (member.answers, member.complaint):
            heard()
        await asyncio.sleep(max(begun + _period(member, spec, hurried) - loop.time(), 0))


def _period(member: Member, spec: ReplicaSpec, hurried: Callable[[], bool]) -> float:
    if member.answers:
        return spec.probe_period
    return spec.startup_period if hurried() else max(spec.startup_period, UNHURRIED)
