"""An edge among others in a namespace: who leads, what the models are, and what their owners are told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from activator import logs
from activator.catalog.annotations import KNATIVE, OWN
from activator.catalog.file import build
from activator.cluster import Cluster
from activator.kube import permissions
from activator.kube.permissions import NAME, STATE
from activator.kube.resources import DEPLOYMENTS
from activator.kube.store import Store
from activator.kube.watch import Reflector
from activator.loop import Loop
from activator.scalers.memory import MemoryScaler, Start
from activator.usage import Ledger
from router.tasks import Tasks
from tests.activator.catalog.deployed import SETTINGS, annotated, deployment
from tests.activator.kube.talk import client_of, until
from tests.activator.stage import FakeTraffic, no_rollouts
from tests.models.cluster import Cluster as ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Edge:
    """An edge's control plane with a scaler in memory, on a stand-in for the API server."""

    def __init__(self, server: ApiServer) -> None:
        clock = asyncio.get_running_loop().time
        self.client = client_of(server)
        self.client.guard = permissions.check
        self.store = Store()
        self.traffic = FakeTraffic(clock)
        self.scaler = MemoryScaler(self.traffic, clock=clock)
        self.loop = Loop(self.traffic, self.scaler, clock)
        parts = (self.loop, Ledger(), no_rollouts(self.loop, self.traffic, self.scaler))
        self.cluster = Cluster(self.client, self.store, parts, logs.logger("edge"))
        self.loop.leads = self.cluster.leads
        self.loop.on_change = self.cluster.changed
        self.traffic.wake = self.loop.wake
        self.tasks = Tasks(lambda name, error: None)

    async def start(self) -> None:
        self.tasks.spawn(Reflector(self.client, DEPLOYMENTS, self.store).run(), "watch")
        await until(lambda: self.store.synced)
        self.cluster.start(self.tasks)
        await self.follow()

    async def follow(self) -> None:
        """Serve the Deployments as they are now."""
        settings = await self.cluster.merge(SETTINGS)
        self.loop.configure(build(settings).plans)

    async def close(self) -> None:
        await self.tasks.close()
        await self.scaler.close(drain=0)
        await self.client.close()


@asynccontextmanager
async def edges(count: int, *deployments: dict[str, Any]) -> AsyncIterator[tuple[ApiServer, list[Edge]]]:
    server = ApiServer()
    await server.start()
    for each in deployments:
        server.put("deployments", each)
    running = [Edge(server) for _ in range(count)]
    try:
        for edge in running:
            await edge.start()
        yield server, running
    finally:
        for edge in running:
            await edge.close()
        await server.stop()


def events(server: ApiServer) -> list[tuple[str, str, str]]:
    return [
        (event["regarding"]["name"], event["reason"], event["note"])
        for event in server.objects.get("events", {}).values()
    ]


async def test_one_of_two_edges_leads_and_the_other_takes_over_at_once_when_it_goes() -> None:
    async with edges(2, deployment("m-1", "m", hosts="m.example")) as (server, (first, second)):
        await until(lambda: first.cluster.leads() or second.cluster.leads())
        leader, other = (first, second) if first.cluster.leads() else (second, first)
        assert not other.cluster.leads()
        await leader.cluster.hand_over()
        assert not leader.cluster.leads()
        assert STATE in server.objects["configmaps"]
        await until(other.cluster.leads)
        assert server.get("leases", NAME)["spec"]["leaseTransitions"] == 1


async def test_one_that_loses_the_lead_takes_over_again_before_it_decides() -> None:
    async with edges(1) as (_, (edge,)):
        await until(edge.cluster.leads)
        assert edge.cluster.election.on_change is not None
        edge.cluster.election.on_change(False)
        assert not edge.cluster.leads()


async def test_the_log_tells_why_nobody_leads_by_the_word_that_the_alert_names() -> None:
    async with edges(1) as (_, (edge,)):
        await until(edge.cluster.leads)
        assert edge.cluster.election.on_change is not None
        assert edge.cluster.election.on_trouble is not None
        with capture_logs() as lines:
            edge.cluster.election.on_trouble("403 Forbidden")
            edge.cluster.election.on_change(False)
        told = [(line["event"], line["lease"], line.get("problem")) for line in lines if "lease" in line]
        assert told == [("lease cannot be held", NAME, "403 Forbidden"), ("leading no more", NAME, None)]


async def test_a_mistake_is_one_event_whoever_sees_it_and_that_it_is_gone_another() -> None:
    good = deployment("n-1", "n", hosts="n.example")
    async with edges(2, annotated("m-1", "m", {f"{KNATIVE}minScale": "x"}), good) as (server, both):
        await until(lambda: sum(edge.cluster.recorder.written for edge in both) == 2)
        message = f"{KNATIVE}minScale: must be a whole number (got 'x'; allowed: 0 or more)"
        assert events(server) == [("m-1", "ConfigurationRefused", message)]
        assert both[0].cluster.facts().problems == {"m-1": 1}
        assert list(both[0].loop.revisions) == ["filed-1", "n-1"]
        asked = len(server.asked("create", "events"))
        await both[0].follow()
        await asyncio.sleep(0.05)
        assert len(server.asked("create", "events")) == asked
        server.put("deployments", annotated("m-1", "m", {f"{KNATIVE}minScale": "0"}))
        await both[0].cluster.changes.wait()
        await both[0].follow()
        await until(lambda: len(events(server)) == 2)
        assert events(server)[-1][:2] == ("m-1", "ConfigurationAccepted")
        assert list(both[0].loop.revisions) == ["filed-1", "m-1", "n-1"]


async def test_what_was_good_is_saved_soon_and_served_by_whoever_takes_over() -> None:
    async with edges(1, deployment("m-1", "m", hosts="m.example")) as (server, (leader,)):
        await until(leader.cluster.leads)
        server.put("deployments", annotated("m-1", "m", {f"{KNATIVE}minScale": "x"}))
        await leader.cluster.changes.wait()
        await leader.follow()
        async with asyncio.timeout(4):  # it is every 8 s that all is saved
            await until(lambda: STATE in server.objects.get("configmaps", {}))
        other = Edge(server)
        await other.start()
        assert "m-1" not in other.loop.revisions
        await leader.cluster.hand_over()
        async with asyncio.timeout(10):
            await other.cluster.changes.wait()
        await other.follow()
        assert "m-1" in other.loop.revisions
        await other.close()


async def test_what_is_only_doubtful_is_told_as_that() -> None:
    async with edges(1, deployment("m-1", "m", hosts="m.example", percent="50")) as (server, (edge,)):
        await until(lambda: events(server))
        (told,) = events(server)
        assert told[:2] == ("m-1", "ConfigurationDoubtful")
        assert told[2].startswith(f"{OWN}percent: the percentages of this service sum to 50")
        assert "m-1" in edge.loop.revisions


async def test_a_change_of_the_number_is_told_with_its_sentence() -> None:
    async with edges(1, deployment("m-1", "m", hosts="m.example")) as (server, (edge,)):
        await until(edge.cluster.leads)
        edge.traffic.arrive("m-1")
        await until(lambda: events(server))
        (told,) = events(server)
        assert told[:2] == ("m-1", "ScaledUp")
        assert told[2].startswith("0 -> 1: Wants 1 because")


async def test_starts_that_are_given_up_are_a_warning_with_what_the_last_one_died_of() -> None:
    async with edges(1, deployment("m-1", "m", hosts="m.example")) as (server, (edge,)):
        await until(edge.cluster.leads)
        edge.scaler.script("m-1", [Start(failure="CUDA is missing", doomed=True)])
        edge.traffic.arrive("m-1")
        await until(lambda: edge.scaler.replicas("m-1").doomed)
        edge.loop.step("m-1")
        await until(lambda: len(events(server)) == 2)
        assert [(reason, "(CUDA is missing)" in note) for _, reason, note in events(server)] == [
            ("ScaledUp", False),
            ("ScaledToZero", True),
        ]
        assert [event["type"] for event in server.objects["events"].values()] == ["Normal", "Warning"]


async def test_an_edge_that_does_not_lead_wakes_and_tells() -> None:
    async with edges(2, deployment("m-1", "m", hosts="m.example")) as (server, both):
        await until(lambda: any(edge.cluster.leads() for edge in both))
        (follower,) = (edge for edge in both if not edge.cluster.leads())
        follower.traffic.arrive("m-1")
        assert follower.scaler.replicas("m-1").desired == 1
        await until(lambda: events(server))


async def test_a_revision_of_the_file_without_a_deployment_is_told_to_nobody() -> None:
    async with edges(1) as (server, (edge,)):
        await until(edge.cluster.leads)
        edge.traffic.arrive("filed-1")
        await asyncio.sleep(0.05)
        assert events(server) == []


async def test_a_wake_by_several_edges_is_one_event_and_the_next_one_another() -> None:
    async with edges(2, deployment("m-1", "m", hosts="m.example")) as (server, both):
        await until(lambda: any(edge.cluster.leads() for edge in both))
        for edge in both:
            edge.traffic.arrive("m-1")
        await until(lambda: sum(edge.cluster.recorder.written for edge in both) == 2)
        assert [reason for _, reason, _ in events(server)] == ["ScaledUp"]
        version = server.change("deployments", "m-1", lambda item: item["spec"].update(replicas=0))["metadata"]
        for edge in both:
            await until(lambda edge=edge: edge.store.objects["m-1"]["metadata"] == version)  # type: ignore[misc]
            edge.scaler.scale("m-1", 0)
            edge.traffic.arrive("m-1")
        await until(lambda: sum(edge.cluster.recorder.written for edge in both) == 4)
        assert [reason for _, reason, _ in events(server)] == ["ScaledUp", "ScaledUp"]


async def test_a_configuration_that_is_refused_is_told_to_its_config_map() -> None:
    async with edges(1) as (server, (edge,)):
        about = server.put("configmaps", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME}})
        for _ in range(2):
            edge.cluster.refused(about, ["listen: is no address"])
        await until(lambda: edge.cluster.recorder.written == 2)
        assert events(server) == [(NAME, "ConfigurationRefused", "listen: is no address")]
        assert next(iter(server.objects["events"].values()))["regarding"]["kind"] == "ConfigMap"


async def test_calls_are_counted_as_rbac_sees_them() -> None:
    async with edges(1) as (_, (edge,)):
        await until(edge.cluster.leads)
        calls = edge.cluster.facts().calls
        assert calls["create", "leases", 201] == 1
        assert calls["list", "deployments", 200] == 1
        assert edge.cluster.facts().leads


async def test_what_keeps_replicas_from_being_scaled_is_one_event_on_their_deployment() -> None:
    async with edges(1, deployment("m-1", "m", hosts="m.example")) as (server, (edge,)):
        await until(lambda: edge.store.objects)
        for _ in range(3):
            edge.cluster.hindered("m-1", "keda also writes the replicas")
        edge.cluster.hindered("filed-1", "no Deployment to tell it to")
        await until(lambda: edge.cluster.recorder.written == 3)
        assert events(server) == [("m-1", "ScalingHindered", "keda also writes the replicas")]


async def test_facts_of_others_are_told_with_its_own() -> None:
    async with edges(1) as (_, (edge,)):
        edge.cluster.others = {"corrections": lambda: {"m-1": 2}}
        facts = edge.cluster.facts()
        assert (facts.corrections, facts.contested, facts.withheld) == ({"m-1": 2}, {}, 0)
