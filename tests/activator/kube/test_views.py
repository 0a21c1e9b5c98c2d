from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from activator.kube.views import Views
from router.tasks import Tasks
from tests.activator.kube.talk import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.kube.client import Client
    from tests.models.cluster import Cluster


@asynccontextmanager
async def running(views: Views) -> AsyncIterator[Views]:
    failures: list[BaseException] = []
    tasks = Tasks(lambda name, error: failures.append(error))
    views.start(tasks)
    try:
        yield views
    finally:
        await tasks.close()
    assert failures == []


async def test_deployments_pods_and_nodes_are_watched(cluster: Cluster, client: Client) -> None:
    cluster.put("deployments", {"metadata": {"name": "m"}, "spec": {"replicas": 0}})
    cluster.put("nodes", {"metadata": {"name": "n"}})
    async with running(Views(client)) as views:
        assert await views.synced(within=60)
        await until(lambda: list(views.nodes.objects) == ["n"])
        assert list(views.deployments.objects) == ["m"]
        assert views.up() == {"deployments": True, "pods": True, "nodes": True}
        assert views.trouble == ""


async def test_nodes_that_may_not_be_read_are_no_trouble(cluster: Cluster, client: Client) -> None:
    cluster.faults.denied.add(("list", "nodes"))
    async with running(Views(client)) as views:
        assert await views.synced(within=60)
        await until(lambda: views.nodes.trouble)
        assert not views.up()["nodes"]
        assert views.trouble == ""


async def test_nodes_are_not_asked_for_when_they_are_not_wanted(cluster: Cluster, client: Client) -> None:
    async with running(Views(client, nodes=False)) as views:
        assert await views.synced(within=60)
    assert not cluster.asked("list", "nodes")


async def test_inference_services_are_watched_only_when_they_are_wanted(cluster: Cluster, client: Client) -> None:
    cluster.put("inferenceservices", {"metadata": {"name": "m"}})
    async with running(Views(client)) as views:
        assert await views.synced(within=60)
        assert views.services is None
    assert not cluster.asked("list", "inferenceservices")
    async with running(Views(client, services=True)) as views:
        assert await views.synced(within=60)
        assert views.services is not None
        assert list(views.services.objects) == ["m"]


async def test_inference_services_that_cannot_be_read_hold_nothing_up(cluster: Cluster, client: Client) -> None:
    cluster.faults.denied.add(("list", "inferenceservices"))
    async with running(Views(client, services=True)) as views:
        assert not views.known
        assert await views.synced(within=60)
        assert (views.known, views.trouble) == (True, "")
        assert not views.up()["inferenceservices"]


async def test_waiting_for_an_api_server_that_is_away_has_an_end(cluster: Cluster, client: Client) -> None:
    await cluster.stop()
    async with running(Views(client)) as views:
        assert not await views.synced(within=0.1)
        assert views.trouble
