"""A Kubernetes scaler with its surroundings in virtual time: the stand-in cluster without its socket."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kubernetes_asyncio.client import Configuration

from activator.kube.client import Client
from activator.kube.errors import ApiError, UnreachableError
from activator.kube.views import Views
from activator.scalers.base import ReplicaSpec
from activator.scalers.kubernetes.api import Count, count_of
from activator.scalers.kubernetes.scaler import KubernetesScaler
from router.tasks import Tasks
from tests.activator.scalers.fakes import FakeRouting, Watcher
from tests.models.cluster import COST, NAMESPACE, Cluster
from tests.models.kubelet import Kubelet, Life, deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from router.ports import UpstreamTls
    from tests.models.cluster import Event

MANAGER = "gpu-activator"
LAG = 0.002


class MemoryApi:
    """An Api of a cluster without a socket. A call takes `LAG`; `refusals` are the errors of the next ones."""

    def __init__(self, cluster: Cluster) -> None:
        self.refusals: list[Exception] = []
        self.away = False
        self.may_patch_pods = True
        self.refuse_costs: Callable[[str], Exception | None] = lambda pod: None
        self.cost_lag = 0.0
        self.scale_lag = 0.0
        self.answer_lag = 0.0
        self.writes: list[tuple[float, str, int]] = []
        self.reads = 0
        self._cluster = cluster

    async def count(self, deployment: str) -> Count:
        await self._reach()
        self.reads += 1
        if deployment not in self._cluster.objects.get("deployments", {}):
            raise ApiError(404, "NotFound", f"{deployment} not found")
        return count_of(self._cluster.get("deployments", deployment))

    async def scale(self, deployment: str, replicas: int, version: str, within: float) -> Count:
        self.writes.append((asyncio.get_running_loop().time(), deployment, replicas))
        await self._reach()
        await asyncio.sleep(min(self.scale_lag, within))
        if self.scale_lag > within:
            raise UnreachableError("no answer in time")
        item = self._cluster.get("deployments", deployment)
        if version != item["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has been modified")
        written = count_of(self._cluster.scale(deployment, replicas, MANAGER))._replace(owners=())
        await asyncio.sleep(self.answer_lag)
        return written

    async def set_cost(self, pod: str, cost: int | None) -> None:
        await self._reach()
        await asyncio.sleep(self.cost_lag)
        if not self.may_patch_pods:
            raise ApiError(403, "Forbidden", "pods is forbidden")
        if (refusal := self.refuse_costs(pod)) is not None:
            raise refusal
        if pod not in self._cluster.objects["pods"]:
            raise ApiError(404, "NotFound", pod)
        value = {} if cost is None else {COST: str(cost)}
        self._cluster.change("pods", pod, lambda item: item["metadata"].update(annotations=value))

    async def last_output(self, pod: str, container: str) -> str:
        await self._reach()
        return self._cluster.logs[pod]

    async def _reach(self) -> None:
        await asyncio.sleep(LAG)
        if self.away:
            raise UnreachableError("connection refused")
        if self.refusals:
            raise self.refusals.pop(0)


class KubernetesStage:
    """The scaler between a router of plain Python and a cluster of timers. What it sees comes `LAG` late.

    `away` = no event reaches the stores.
    """

    def __init__(self, *, leads: Callable[[], bool] = lambda: True, nodes: Mapping[str, int] | None = None) -> None:
        self.clock = asyncio.get_running_loop().time
        self.routing = FakeRouting()
        self.cluster = Cluster()
        self.kubelet = Kubelet(self.cluster, nodes=nodes)
        self.api = MemoryApi(self.cluster)
        self.views = Views(Client(Configuration(host="http://nowhere"), NAMESPACE))
        self.deployments, self.pods = self.views.deployments, self.views.pods
        self.failures: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.asked: list[tuple[float, str]] = []
        self.scaler = KubernetesScaler(
            self.views, self.routing, self.tasks, clock=self.clock, api=self.api, ask=self._ask
        )
        self.scaler.leads = leads
        self.hindrances: list[tuple[str, str]] = []
        self.scaler.on_hindrance = lambda revision, sentence: self.hindrances.append((revision, sentence))
        self.watcher = Watcher(self.scaler, self.clock, patience=1000)
        self.cluster.on_change.append(self._saw)
        self.specs = {name: ReplicaSpec(command=(name,), readiness_path="") for name in ("good", "slow", "doomed")}
        self.away = False
        self._broken = False

    async def start(self) -> None:
        for name in self.specs:
            self.cluster.put("deployments", deployment(name))
        self.kubelet.script("good", self._lives())
        self.kubelet.script("slow", [Life(delay=3600)])
        self.kubelet.script("doomed", [Life(image="InvalidImageName")])
        await asyncio.sleep(1)
        self.deployments.state(synced=True)
        self.pods.state(synced=True)
        self.scaler.declare(self.specs)
        self.watcher.seen.clear()

    async def close(self) -> None:
        await self.scaler.close(drain=0)
        await self.tasks.close()
        self.kubelet.close()
        assert self.failures == []

    def _lives(self) -> Iterator[Life]:
        while True:
            yield Life(failure="out of memory" if self._broken else "")

    def break_starts(self) -> None:
        self._broken = True

    def mend_starts(self) -> None:
        self._broken = False

    def crash(self, replica: str) -> None:
        self.kubelet.crash(replica)

    def replicas(self, name: str = "good") -> int:
        return int(self.cluster.get("deployments", name)["spec"]["replicas"])

    def _saw(self, event: Event) -> None:
        views = self.views
        store = {"deployments": views.deployments, "pods": views.pods, "nodes": views.nodes}.get(event.plural)
        if store is not None and not self.away:
            take = store.remove if event.kind == "DELETED" else store.put
            asyncio.get_running_loop().call_later(LAG, take, event.item)

    async def _ask(
        self,
        host: str,
        port: int,
        path: str,
        *,
        within: float,
        tls: UpstreamTls | None = None,
        connect: float | None = None,
    ) -> str:
        self.asked.append((self.clock(), host))
        pods = self.cluster.objects["pods"].values()
        name = next((pod["metadata"]["name"] for pod in pods if pod["status"].get("podIP") == host), "")
        actor = self.kubelet.actors.get(name)
        return "" if actor is not None and actor.answers else "connection refused"


@asynccontextmanager
async def on_stage(
    *, leads: Callable[[], bool] = lambda: True, nodes: Mapping[str, int] | None = None
) -> AsyncIterator[KubernetesStage]:
    stage = KubernetesStage(leads=leads, nodes=nodes)
    await stage.start()
    try:
        yield stage
    finally:
        await stage.close()
