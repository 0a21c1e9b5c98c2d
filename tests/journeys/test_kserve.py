"""InferenceServices that KServe runs: the whole edge against a stand-in for the API server, with pods that listen."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, TCPConnector

from activator.catalog.annotations import LABEL
from activator.catalog.manifests.annotations import SCALED_BY, STOP
from activator.kube.permissions import KSERVE_ROLE, ROLE
from tests.activator.catalog.kserve.objects import made, service
from tests.activator.kube.talk import until
from tests.journeys.edge import Edge
from tests.journeys.services import configuration
from tests.journeys.test_kubernetes import KEYS, ClusterDaemon
from tests.models.cluster import Cluster
from tests.models.pods import PodServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SERVICES = "inferenceservices"
HOST = "m.models"


class Stage:
    """An edge, a cluster where KServe is, and a client."""

    def __init__(self, edge: Edge, cluster: Cluster, pods: PodServers) -> None:
        self.edge = edge
        self.cluster = cluster
        self.pods = pods

    def deploy(self, name: str, of: str = "m", **options: Any) -> None:
        """Do what KServe does for a component: one replica is there."""
        self.cluster.put("deployments", labelled(made(name, of, port=self.pods.port, **options)))

    def replicas(self, name: str = "m-predictor") -> int:
        return int(self.cluster.get("deployments", name)["spec"]["replicas"])

    async def served(self, host: str = HOST, *, known: bool = True) -> None:
        """Wait until a host is known, or no longer."""
        async with asyncio.timeout(60):
            while ((await self.edge.request(host)).status != 404) != known:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.02)

    def told(self, name: str = "m") -> list[tuple[str, str]]:
        """Return reason and note of the Events of an InferenceService."""
        events = self.cluster.objects.get("events", {}).values()
        about = (each for each in events if each["regarding"]["kind"] == "InferenceService")
        return [(each["reason"], each["note"]) for each in about if each["regarding"]["name"] == name]


def labelled(item: dict[str, Any]) -> dict[str, Any]:
    """Label a Deployment's pods as the stand-in's kubelet expects."""
    labels = {"app": item["metadata"]["name"]}
    item["spec"]["selector"] = {"matchLabels": labels}
    item["spec"]["template"]["metadata"]["labels"] = labels
    return item


@asynccontextmanager
async def on_stage(tmp_path: Path, *, crd: bool = True) -> AsyncIterator[Stage]:
    cluster = Cluster()
    if not crd:
        cluster.faults.fail = lambda verb, resource: 404 if resource == SERVICES else None
    await cluster.start()
    pods = PodServers(cluster)
    config = configuration(scaler="kubernetes", kserve=True, autoscaling=KEYS, process={})
    daemon = ClusterDaemon(tmp_path, cluster.url)
    daemon.write(config)
    await asyncio.to_thread(daemon.start)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        try:
            yield Stage(Edge(daemon, session), cluster, pods)
        finally:
            await asyncio.to_thread(daemon.stop)
            await pods.stop()
            await cluster.stop()


async def test_an_inference_service_sleeps_and_a_request_wakes_it(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service(predictor={"minReplicas": 0}))
        stage.deploy("m-predictor")
        await until(lambda: stage.replicas() == 0 and not stage.pods.pods("m-predictor"))
        answer = await stage.edge.request(HOST)
        assert (answer.status, answer.headers["Pod"]) == (200, answer.body.decode())
        await until(lambda: stage.replicas() == 0)
        assert not stage.told()
        written = {call.resource for call in stage.cluster.calls if call.verb in {"patch", "update", "delete"}}
        assert "deployments" not in written
        assert SERVICES not in written
        granted = {(verb, grant.path) for grant in (*ROLE, *KSERVE_ROLE) for verb in grant.verbs}
        used = {(call.verb, call.resource) for call in stage.cluster.calls if call.resource != "nodes"}
        assert used <= granted
        assert {("list", SERVICES), ("watch", SERVICES)} <= used


async def test_one_that_kserve_scales_is_left_alone_and_told(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service(annotations={SCALED_BY: "hpa"}))
        stage.deploy("m-predictor")
        stage.cluster.put(SERVICES, service("n"))
        stage.deploy("n-predictor", "n")
        await until(lambda: stage.replicas("n-predictor") == 0)
        await until(stage.told)
        ((reason, note),) = stage.told()
        assert reason == "LeftAlone"
        assert f"{SCALED_BY}: external" in note
        assert stage.replicas() == 1
        assert (await stage.edge.request(HOST)).status == 404
        stage.cluster.put(SERVICES, service())
        await stage.served()


async def test_a_mistake_is_told_and_counted_and_touches_no_other(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service(annotations={"autoscaling.knative.dev/window": "soon"}))
        stage.cluster.put(SERVICES, service("n"))
        stage.deploy("m-predictor")
        stage.deploy("n-predictor", "n")
        await stage.served("n.models")
        await until(stage.told)
        assert stage.told()[0][0] == "ConfigurationRefused"
        assert await stage.edge.metric("activator_deployment_problems", deployment="inferenceservice/m") == 1
        stage.cluster.put(SERVICES, service())
        await stage.served()
        await until(lambda: len(stage.told()) > 1)
        assert stage.told()[1][0] == "ConfigurationAccepted"


async def test_one_that_is_stopped_is_absent_until_it_is_started_again(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service())
        stage.deploy("m-predictor")
        await stage.served()
        stage.cluster.put(SERVICES, service(annotations={STOP: "true"}))
        stage.cluster.remove("deployments", "m-predictor")
        await stage.served(known=False)
        stage.cluster.put(SERVICES, service())
        stage.deploy("m-predictor")
        await stage.served()


async def test_a_transformer_wakes_its_predictor_with_it(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service(transformer={"minReplicas": 0}, predictor={"minReplicas": 0}))
        stage.deploy("m-predictor")
        stage.deploy("m-transformer", args=["--predictor_host", "m-wake.models"])
        names = ("m-predictor", "m-transformer")
        await until(lambda: not any(map(stage.replicas, names)))
        before = len(stage.cluster.asked("patch", "deployments/scale"))
        answer = await stage.edge.request(HOST)
        assert answer.headers["Pod"].startswith("m-transformer")
        writes = stage.cluster.asked("patch", "deployments/scale")[before:][:2]
        assert {write.name for write in writes} == set(names)
        assert (await stage.edge.request("m-wake.models")).headers["Pod"].startswith("m-predictor")


async def test_a_version_that_sets_the_replicas_back_is_told_with_the_fix(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service())
        stage.deploy("m-predictor")

        def update(item: dict[str, Any]) -> None:
            entry = {"manager": "manager", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            item["spec"]["replicas"] = 1
            item["metadata"]["managedFields"] = [entry]

        def put_back(event: Any) -> None:
            if event.plural == "deployments" and event.item["spec"]["replicas"] == 0:
                asyncio.get_running_loop().call_later(0.05, stage.cluster.change, "deployments", "m-predictor", update)

        stage.cluster.on_change.append(put_back)

        def hindered() -> list[str]:
            events = stage.cluster.objects.get("events", {}).values()
            return [event["note"] for event in events if event["reason"] == "ScalingHindered"]

        await until(hindered, within=60)
        assert "manager also writes the replicas of Deployment m-predictor" in hindered()[0]
        assert "upgrade it to 0.15.1 or later" in hindered()[0]
        assert (await stage.edge.request(HOST)).status == 200


async def test_our_label_that_kserve_has_copied_is_no_reason_to_scale_what_is_left_alone(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.cluster.put(SERVICES, service(annotations={SCALED_BY: "hpa"}))
        item = labelled(made("m-predictor", port=stage.pods.port))
        item["metadata"]["labels"][LABEL] = "copied"
        stage.cluster.put("deployments", item)
        stage.deploy("own-predictor", of="own")
        stage.cluster.put(SERVICES, service("own"))
        await stage.served("own.models")
        await until(stage.told)
        assert [reason for reason, _ in stage.told()] == ["LeftAlone"]
        assert (await stage.edge.request("copied.models")).status == 404
        assert (await stage.edge.request("copied")).status == 404


async def test_without_the_crd_everything_else_goes_on(tmp_path: Path) -> None:
    async with on_stage(tmp_path, crd=False) as stage:
        item = labelled(made("own", port=stage.pods.port))
        del item["metadata"]["ownerReferences"]
        item["metadata"]["labels"] = {"gpu-activator/service": "own"}
        item["metadata"]["annotations"] = {"gpu-activator/hosts": "own.localhost"}
        stage.cluster.put("deployments", item)
        await stage.served("own.localhost")
        assert (await stage.edge.request("own.localhost")).status == 200
        assert await stage.edge.metric("activator_watch_up", resource=SERVICES) == 0
        stage.cluster.faults.fail = lambda verb, resource: None
        stage.cluster.put(SERVICES, service())
        stage.deploy("m-predictor")
        await stage.served()
