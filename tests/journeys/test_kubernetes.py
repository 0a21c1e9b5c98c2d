"""Models as Deployments: the whole edge against a stand-in for the API server, with pods that listen."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, TCPConnector

from tests.activator.kube.talk import until
from tests.journeys.daemon import Daemon
from tests.journeys.edge import Edge
from tests.journeys.services import configuration
from tests.models.cluster import NAMESPACE, Cluster
from tests.models.kubelet import Life, deployment
from tests.models.pods import PodServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GPU = "nvidia.com/gpu"
KEYS = {"tick": "100ms", "stable-window": "6s", "scale-to-zero-grace-period": "300ms"}


class ClusterDaemon(Daemon):
    """`activator serve` with a kubeconfig of a stand-in cluster, where its token tells who calls."""

    def __init__(self, home: Path, url: str, token: str = "t") -> None:
        super().__init__(home)
        self.kubeconfig = home / "kubeconfig"
        parts = {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        }
        self.kubeconfig.write_text(json.dumps({"kind": "Config", "current-context": "x", **parts}))

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "KUBECONFIG": str(self.kubeconfig)}


class Stage:
    """An edge, the cluster where its models are, and a client."""

    def __init__(self, edge: Edge, cluster: Cluster, pods: PodServers) -> None:
        self.edge = edge
        self.cluster = cluster
        self.pods = pods

    def replicas(self, name: str = "m") -> int:
        return int(self.cluster.get("deployments", name)["spec"]["replicas"])

    async def zero(self, name: str = "m") -> None:
        await until(lambda: self.replicas(name) == 0 and not self.pods.pods(name))

    def writes(self) -> list[Any]:
        return self.cluster.asked("patch", "deployments/scale")


@asynccontextmanager
async def on_stage(
    tmp_path: Path, *names: str, nodes: dict[str, int] | None = None, **keys: Any
) -> AsyncIterator[Stage]:
    cluster = Cluster()
    await cluster.start()
    pods = PodServers(cluster, nodes=nodes)
    for name, count in (nodes or {}).items():
        cluster.put("nodes", {"metadata": {"name": name}, "status": {"allocatable": {GPU: str(count)}}})
    described = []
    for name in names or ("m",):
        item = deployment(name)
        container = item["spec"]["template"]["spec"]["containers"][0]
        container["ports"] = [{"containerPort": pods.port}]
        container["readinessProbe"]["httpGet"]["port"] = pods.port
        container["resources"] = {"limits": {GPU: 1}} if nodes else {}
        cluster.put("deployments", item)
        described.append({"name": name, "hosts": [f"{name}.localhost"], "revisions": [{"name": name}]})
    config = configuration(scaler="kubernetes", services=described, autoscaling=KEYS, process={})
    config["services"] = described
    daemon = ClusterDaemon(tmp_path, cluster.url)
    daemon.write(deep(config, keys))
    await asyncio.to_thread(daemon.start)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        try:
            yield Stage(Edge(daemon, session), cluster, pods)
        finally:
            await asyncio.to_thread(daemon.stop)
            await pods.stop()
            await cluster.stop()


def deep(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with the groups in `changes` laid over its own."""
    return {**config, **{key: {**config.get(key, {}), **value} for key, value in changes.items()}}


async def test_a_request_wakes_a_deployment_and_it_sleeps_again(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        for _ in range(2):
            answer = await stage.edge.request("m")
            assert (answer.status, answer.headers["Pod"]) == (200, answer.body.decode())
            await stage.zero()
        done = [write.body["spec"]["replicas"] for write in stage.writes() if write.status == 200]
        assert done == [1, 0] * 2
        assert len({served.pod for served in stage.pods.served}) == 2


async def test_a_held_request_does_not_wait_for_the_kubelet(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.pods.script("m", [Life(delay=0.3, lag=60)])
        async with asyncio.timeout(30):  # half of what the kubelet takes
            assert (await stage.edge.request("m")).status == 200
        (pod,) = stage.pods.pods("m")
        assert pod["status"]["containerStatuses"][0]["ready"] is False


async def test_who_waits_for_a_gpu_is_told_so(tmp_path: Path) -> None:
    async with on_stage(tmp_path, requests={"hold-timeout": "1s"}) as stage:
        stage.pods.script("m", [Life(unschedulable=60)])
        answer = await stage.edge.request("m")
        assert answer.status == 503
        assert "Insufficient nvidia.com/gpu" in answer.body.decode()
        assert "Insufficient nvidia.com/gpu" in json.dumps(await stage.edge.admin("/v1/services/m"))


async def test_who_waits_for_a_model_that_crashes_is_told_its_last_words(tmp_path: Path) -> None:
    async with on_stage(tmp_path, autoscaling={"start-attempts": 2}) as stage:
        stage.pods.script("m", [Life(failure="CUDA out of memory")])
        async with asyncio.timeout(15):  # less than a request may be held
            answer = await stage.edge.request("m")
        assert answer.status == 503
        assert "CUDA out of memory" in answer.body.decode()
        await stage.zero()


async def test_while_the_api_server_is_away_warm_models_answer_and_cold_ones_do_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with on_stage(tmp_path, "m", "n", autoscaling={"scale-to-zero-grace-period": "1m"}) as stage:
        assert (await stage.edge.request("m")).status == 200
        await stage.cluster.stop()
        cold = asyncio.create_task(stage.edge.request("n"))
        for _ in range(10):
            assert (await stage.edge.request("m")).status == 200
            await asyncio.sleep(0.1)
        await until(lambda: not cold.done())
        assert "cannot be reached" in json.dumps(await stage.edge.admin("/v1/services/n"))
        await stage.cluster.start()
        assert (await cold).status == 200


async def test_a_restarted_edge_finds_its_replicas_where_they_were(tmp_path: Path) -> None:
    async with on_stage(tmp_path, autoscaling={"scale-to-zero-grace-period": "1m"}) as stage:
        first = await stage.edge.request("m")
        await asyncio.to_thread(stage.edge.daemon.stop)
        assert stage.replicas() == 1
        await asyncio.to_thread(stage.edge.daemon.start)
        second = await stage.edge.request("m")
        assert first.headers["Pod"] == second.headers["Pod"]
        assert len(stage.writes()) == 1


async def test_scaling_down_ends_no_request(tmp_path: Path) -> None:
    limits = {"container-concurrency": 1}
    async with on_stage(tmp_path, requests=limits, autoscaling={"max-scale-down-rate": 10}) as stage:
        long = asyncio.create_task(stage.edge.request("m", "/?stream=9"))
        await until(lambda: stage.pods.served)
        await stage.edge.requests("m", *["/?delay=2"] * 3)
        assert len({served.pod for served in stage.pods.served}) >= 2
        await until(lambda: stage.replicas() == 1)
        answer = await long
        assert (answer.status, answer.cut, stage.pods.cut) == (200, False, [])


async def test_the_third_of_three_models_on_two_gpus_waits_for_one_to_sleep(tmp_path: Path) -> None:
    keys = {"scale-to-zero-grace-period": "1s"}
    async with on_stage(tmp_path, "a", "b", "c", nodes={"one": 1, "two": 1}, autoscaling=keys) as stage:
        assert (await stage.edge.request("a")).status == 200
        assert (await stage.edge.request("b")).status == 200
        third = asyncio.create_task(stage.edge.request("c"))
        await until(lambda: stage.replicas("c") == 1)
        await asyncio.sleep(0.5)
        assert "Insufficient nvidia.com/gpu" in json.dumps(await stage.edge.admin("/v1/services/c"))
        async with asyncio.timeout(15):
            assert (await third).status == 200
        assert 0 in {stage.replicas("a"), stage.replicas("b")}


async def test_an_idle_model_gives_way_to_a_request_when_it_may(tmp_path: Path) -> None:
    keys = {"scale-to-zero-grace-period": "1h", "evictable": "true", "min-residency": "100ms"}
    async with on_stage(tmp_path, "a", "b", "c", nodes={"one": 1, "two": 1}, autoscaling=keys) as stage:
        assert (await stage.edge.request("a")).status == 200
        busy = asyncio.create_task(stage.edge.request("b", "/?stream=4"))
        await until(lambda: len(stage.pods.served) == 2)
        await asyncio.sleep(0.5)
        assert (await stage.edge.request("c")).status == 200
        assert (stage.replicas("a"), stage.replicas("b"), stage.replicas("c")) == (0, 1, 1)
        assert not (await busy).cut
        decisions = await stage.edge.admin("/v1/services/a/decisions?limit=50")
        assert "given its GPU" in json.dumps(decisions)


async def test_no_more_replicas_are_ordered_than_there_are_gpus(tmp_path: Path) -> None:
    limits = {"container-concurrency": 1}
    async with on_stage(tmp_path, nodes={"one": 2}, requests=limits) as stage:
        await stage.edge.requests("m", *["/?delay=0.5"] * 12)
        assert max(write.body["spec"]["replicas"] for write in stage.writes()) == 2
