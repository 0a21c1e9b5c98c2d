"""A control plane in virtual time: the loop between a router of plain Python and the memory scaler."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from activator.catalog.model import RevisionPlan
from activator.kpa.spec import Bounds, Spec
from activator.loop import Loop
from activator.rollouts import Rollouts
from activator.scalers.base import Phase, ReplicaSpec
from activator.scalers.memory import MemoryScaler
from router.concurrency import Demand
from router.counters import Counters
from router.ports import Replicas, RevisionStats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from activator.revision import Record, Revision
    from activator.scalers.base import ReplicaSet
    from activator.scalers.memory import Start

NAME = "m-1"
SPEC = Spec(target=1.0, total=1.0)
BOUNDS = Bounds(initial_scale=0, idle_period=300.0)


def plan(
    name: str = NAME,
    spec: Spec = SPEC,
    bounds: Bounds = BOUNDS,
    command: str = "model",
    wakes: tuple[str, ...] = (),
) -> RevisionPlan:
    service = name.split("-", maxsplit=1)[0]
    return RevisionPlan(name, service, spec, bounds, ReplicaSpec(command=(command,)), wakes=wakes)


def spec(**changes: Any) -> Spec:
    return replace(SPEC, **changes)


def bounds(**changes: Any) -> Bounds:
    return replace(BOUNDS, **changes)


@dataclass(eq=False)
class Request:
    """A request; it is held while it has no replica."""

    revision: str
    tagged: bool
    replica: str | None = None
    dispatched_at: float | None = None


class FakeTraffic:
    """A router whose requests end when a test says so. A replica takes one request at a time.

    `settles` is whether it sees all open requests; `told` is the last snapshot per revision; `refused` are the requests
    that were told of failing starts.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.wake: Callable[[str], None] = lambda revision: None
        self.told: dict[str, Replicas] = {}
        self.requests: list[Request] = []
        self.refused: list[Request] = []
        self.counters = Counters(clock)  # of nothing: nothing is compared
        self.settles = True
        self._clock = clock
        self._demands: dict[str, Demand] = {}
        self._ended = asyncio.Event()

    def arrive(self, revision: str = NAME, *, tagged: bool = False) -> Request:
        request = Request(revision, tagged)
        self.requests.append(request)
        self._demand(revision).enter(self._clock(), tagged=tagged)
        self._dispatch(revision)
        told = self.told.get(revision, Replicas(revision))
        start = told.start
        if start.phase == "failing" and start.retry_at is not None and self._clock() < start.retry_at:
            self._refuse(request)
        elif request.replica is None and not told.endpoints:
            self.wake(revision)
        return request

    def leave(self, request: Request) -> None:
        self.requests.remove(request)
        self._demand(request.revision).leave(self._clock(), tagged=request.tagged)
        self._ended.set()
        self._dispatch(request.revision)

    def forget(self) -> None:
        """Be like a router that has just been started."""
        self.told.clear()
        self.requests.clear()
        self._demands.clear()
        self._ended.set()

    def collect(self) -> Mapping[str, RevisionStats]:
        now = self._clock()
        return {name: self._stats(name, *demand.collect(now)) for name, demand in self._demands.items()}

    def look(self, revision: str) -> RevisionStats:
        return self._stats(revision, 0.0, 0)

    def settled(self, revision: str, then: Callable[[str], None]) -> bool:
        return self.settles

    def update(self, replicas: Replicas) -> None:
        self.told[replicas.revision] = replicas
        self._dispatch(replicas.revision)
        if replicas.start.phase == "failing":
            for request in self._held(replicas.revision):
                self._refuse(request)

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        demand = self._demand(revision)
        if not demand.now_open:
            demand.idle_since, demand.tagged_since = idle_since, tagged_since

    def in_flight(self, revision: str) -> Mapping[str, int]:
        busy: dict[str, int] = {}
        for request in self.requests:
            if request.revision == revision and request.replica is not None:
                busy[request.replica] = busy.get(request.replica, 0) + 1
        return busy

    async def drained(self, revision: str, replica: str) -> None:
        while replica in self.in_flight(revision):
            self._ended.clear()
            await self._ended.wait()

    def _refuse(self, request: Request) -> None:
        self.refused.append(request)
        self.leave(request)

    def _held(self, revision: str) -> list[Request]:
        return [request for request in self.requests if request.revision == revision and request.replica is None]

    def _dispatch(self, revision: str) -> None:
        busy = self.in_flight(revision)
        endpoints = self.told.get(revision, Replicas(revision)).endpoints
        free = [endpoint.replica for endpoint in endpoints if endpoint.replica not in busy]
        for request, replica in zip(self._held(revision), free, strict=False):
            request.replica, request.dispatched_at = replica, self._clock()

    def _demand(self, revision: str) -> Demand:
        return self._demands.setdefault(revision, Demand(self._clock()))

    def _stats(self, revision: str, concurrency: float, requests: int) -> RevisionStats:
        demand = self._demand(revision)
        return RevisionStats(
            concurrency=concurrency,
            requests=requests,
            open=demand.now_open,
            held=len(self._held(revision)),
            idle_since=demand.idle_since,
            tagged_open=demand.tagged_open,
            tagged_since=demand.tagged_since,
            busy=self.in_flight(revision),
        )


def no_rollouts(loop: Loop, traffic: FakeTraffic, scaler: MemoryScaler) -> Rollouts:
    """Return the rollouts of a catalog without canaries."""
    return Rollouts((traffic, loop, scaler), lambda _: None, lambda: 0.0)


class Stage:
    """The loop with its surroundings.

    `changes` are (second, revision, replicas asked for); `started` is when each replica was started.
    """

    def __init__(self, *plans: RevisionPlan) -> None:
        self.late = 0.0
        self.traffic = FakeTraffic(self.clock)
        self.scaler = MemoryScaler(self.traffic, clock=self.clock)
        self.changes: list[tuple[float, str, int]] = []
        self.started: dict[str, float] = {}
        self.scaler.subscribe(self._saw)
        self.loop = self.new_loop(*plans)
        self._task = asyncio.create_task(self.loop.run())

    def clock(self) -> float:
        """Return the time; it runs ahead of the event loop's timers by as much as these are `late`."""
        return asyncio.get_running_loop().time() + self.late

    def new_loop(self, *plans: RevisionPlan) -> Loop:
        """Return a loop that knows nothing yet of what went before."""
        self.loop = Loop(self.traffic, self.scaler, self.clock)
        self.loop.on_change = self._changed
        self.traffic.wake = self.loop.wake
        self.configure(*plans)
        return self.loop

    def configure(self, *plans: RevisionPlan) -> None:
        self.loop.configure({each.name: each for each in plans})

    def script(self, *starts: Start, name: str = NAME) -> None:
        self.scaler.script(name, starts)

    def revision(self, name: str = NAME) -> Revision:
        return self.loop.revisions[name]

    def records(self, name: str = NAME) -> list[Record]:
        return list(self.revision(name).records)

    def last(self, name: str = NAME) -> Record:
        return self.revision(name).records[-1]

    def replicas(self, name: str = NAME) -> ReplicaSet:
        return self.scaler.replicas(name)

    def desired(self, name: str = NAME) -> int:
        return self.replicas(name).desired

    def ready(self, name: str = NAME) -> int:
        return self.replicas(name).count(Phase.READY)

    def arrive(self, count: int = 1, name: str = NAME) -> list[Request]:
        return [self.traffic.arrive(name) for _ in range(count)]

    def leave(self, requests: Iterable[Request]) -> None:
        for request in list(requests):
            self.traffic.leave(request)

    async def restart(self, *plans: RevisionPlan, away: float = 0.0) -> list[str]:
        """Stop the loop, and run a new one from what was saved `away` seconds ago; return what it complains of."""
        saved = self.loop.dump()
        await self.stop()
        await asyncio.sleep(away)
        return await self.resume(saved, away, *plans)

    async def resume(self, saved: dict[str, Any], away: float, *plans: RevisionPlan) -> list[str]:
        """Run a new loop from what was saved `away` seconds ago; return what it complains of."""
        loop = self.new_loop(*plans)
        problems = loop.restore(json.loads(json.dumps(saved)), away)
        self._task = asyncio.create_task(loop.run())
        return problems

    async def lose_all(self) -> None:
        """Take all replicas and requests away at once, as when the edge has died."""
        self.traffic.forget()
        await self.scaler.close(drain=0)
        self.scaler = MemoryScaler(self.traffic, clock=self.clock)
        self.scaler.subscribe(self._saw)

    async def stop(self) -> None:
        """Stop the loop; it tells nobody anything any more."""
        self.loop.revisions = {}
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def close(self) -> None:
        await self.stop()
        await self.scaler.close(drain=0)

    def _saw(self, replicas: ReplicaSet) -> None:
        for replica in replicas.replicas:
            self.started.setdefault(replica.name, self.clock())

    def _changed(self, revision: Revision, before: ReplicaSet, record: Record) -> None:
        self.changes.append((record.at, revision.plan.name, record.outcome.replicas))


@asynccontextmanager
async def on_stage(*plans: RevisionPlan) -> AsyncIterator[Stage]:
    stage = Stage(*(plans or (plan(),)))
    try:
        yield stage
    finally:
        await stage.close()
