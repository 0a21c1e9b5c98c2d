"""The same promises with everything real but the cluster: client, watches, probes and pods that listen."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from activator.kube.permissions import check
from activator.kube.views import Views
from activator.scalers.base import ReplicaSpec
from activator.scalers.kubernetes.scaler import KubernetesScaler
from router.tasks import Tasks
from tests.activator.kube.talk import client_of
from tests.activator.scalers.contract import ScalerContract, ready, started
from tests.activator.scalers.fakes import FakeRouting, Watcher
from tests.models.cluster import Cluster
from tests.models.kubelet import Life, deployment
from tests.models.pods import PodServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class WireStage:
    def __init__(self) -> None:
        self.clock = time.monotonic
        self.routing = FakeRouting()
        self.cluster = Cluster()
        self.pods = PodServers(self.cluster)
        self.failures: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.specs = {name: ReplicaSpec(command=(name,), readiness_path="") for name in ("good", "slow", "doomed")}
        self._broken = False

    async def start(self) -> None:
        await self.cluster.start()
        self.client = client_of(self.cluster)
        self.client.guard = check
        views = Views(self.client)
        self.scaler = KubernetesScaler(views, self.routing, self.tasks, clock=self.clock)
        self.watcher = Watcher(self.scaler, self.clock)
        for name in self.specs:
            item = deployment(name)
            container = item["spec"]["template"]["spec"]["containers"][0]
            container["ports"] = [{"containerPort": self.pods.port}]
            container["readinessProbe"]["httpGet"]["port"] = self.pods.port
            self.cluster.put("deployments", item)
        self.pods.script("good", self._lives())
        self.pods.script("slow", [Life(delay=3600)])
        self.pods.script("doomed", [Life(image="InvalidImageName")])
        await asyncio.sleep(0.05)
        views.start(self.tasks)
        assert await views.synced(within=60)
        self.scaler.declare(self.specs)
        self.watcher.seen.clear()

    async def close(self) -> None:
        await self.scaler.close(drain=0)
        await self.tasks.close()
        await self.client.close()
        await self.pods.stop()
        await self.cluster.stop()
        assert self.failures == []

    def _lives(self) -> Iterator[Life]:
        while True:
            yield Life(failure="out of memory" if self._broken else "")

    def break_starts(self) -> None:
        self._broken = True

    def mend_starts(self) -> None:
        self._broken = False

    def crash(self, replica: str) -> None:
        self.pods.crash(replica)


@pytest.fixture
async def stage() -> AsyncIterator[WireStage]:
    stage = WireStage()
    await stage.start()
    yield stage
    await stage.close()


class TestKubernetesScalerOnTheWire(ScalerContract):
    pass


async def test_cut_watches_and_a_forgotten_history_lose_no_replica(stage: WireStage) -> None:
    await started(stage, 2)
    for number in range(10):
        stage.cluster.cut(b'{"type": "MODIFIED", "object": {"meta')
        if number % 3 == 0:
            stage.cluster.compact()
        stage.scaler.scale("good", 1 + number % 3)
        await asyncio.sleep(0.1)
    stage.scaler.scale("good", 3)
    snapshot = await stage.watcher.until("good", ready(3))
    assert {replica.name for replica in snapshot.replicas} == {
        pod["metadata"]["name"] for pod in stage.pods.pods("good")
    }


async def test_a_slow_api_server_delays_only_what_needs_it(stage: WireStage) -> None:
    await started(stage, 1)
    stage.cluster.faults.held = asyncio.Event()
    stage.scaler.scale("good", 2)
    stage.scaler.scale("slow", 1)
    for _ in range(50):  # the loop is not blocked
        await asyncio.sleep(0.001)
    assert stage.cluster.get("deployments", "good")["spec"]["replicas"] == 1
    stage.cluster.faults.held.set()
    await stage.watcher.until("good", ready(2))


async def test_two_who_write_at_once_come_to_an_end_without_a_hot_loop(stage: WireStage) -> None:
    await started(stage, 1)
    writer = stage.scaler.workloads["good"].writer
    async with asyncio.timeout(20):
        while not writer.held:
            stage.cluster.scale("good", 4, "somebody")
            await asyncio.sleep(0.05)
    writes = stage.cluster.asked("patch", "deployments/scale")
    times = [write.at for write in writes]
    assert writer.held.startswith("somebody also writes the replicas of Deployment good")
    assert max(sum(start <= at < start + 1 for at in times) for start in times) <= 5
