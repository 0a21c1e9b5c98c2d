from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from activator.scalers.base import Phase
from activator.scalers.kubernetes.bookkeeper import Owners
from tests.activator.scalers.contract import ready
from tests.activator.scalers.kubernetes.stage import on_stage
from tests.models.kubelet import deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.activator.scalers.kubernetes.stage import KubernetesStage

pytestmark = pytest.mark.looptime

GPU = "nvidia.com/gpu"
NODES = {"one": 1, "two": 2}


@asynccontextmanager
async def on_gpus() -> AsyncIterator[KubernetesStage]:
    async with on_stage(nodes=NODES) as stage:
        for name in ("m", "n"):
            stage.cluster.put("deployments", needing(name))
        for name, count in NODES.items():
            stage.cluster.put("nodes", node(name, count))
        stage.scaler.declare(dict.fromkeys(("m", "n"), stage.specs["good"]))
        await asyncio.sleep(1)
        yield stage


def needing(name: str, count: int = 1, **spec: Any) -> dict[str, Any]:
    item = deployment(name, **spec)
    item["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {GPU: count}}
    return item


def node(name: str, count: int, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {GPU: str(count)}}}


async def test_there_is_room_for_the_gpus_that_others_do_not_hold() -> None:
    async with on_gpus() as stage:
        assert stage.scaler.replicas("m").room == 3
        stage.scaler.scale("n", 2)
        await stage.watcher.until("n", ready(2))
        await asyncio.sleep(1)
        assert (stage.scaler.replicas("m").room, stage.scaler.replicas("n").room) == (1, 3)


async def test_nodes_that_come_and_go_and_change_count_at_once() -> None:
    async with on_gpus() as stage:
        stage.cluster.put("nodes", node("three", 4))
        await asyncio.sleep(0.5)
        assert stage.scaler.replicas("m").room == 7
        stage.cluster.change("nodes", "three", lambda item: item.update(spec={"unschedulable": True}))
        await asyncio.sleep(0.5)
        assert stage.scaler.replicas("m").room == 3
        for name in ("one", "two", "three"):
            stage.cluster.remove("nodes", name)
        await asyncio.sleep(0.5)
        assert stage.scaler.replicas("m").room is None


async def test_another_template_is_counted_by_what_it_needs() -> None:
    async with on_gpus() as stage:
        stage.cluster.put("deployments", needing("m", 2, nodeSelector={"class": "a100"}))
        await asyncio.sleep(0.5)
        assert stage.scaler.replicas("m").room is None
        stage.cluster.put("nodes", node("three", 4, **{"class": "a100"}))
        await asyncio.sleep(0.5)
        assert stage.scaler.replicas("m").room == 2


async def test_who_holds_what_a_pending_replica_needs_is_told_while_it_waits() -> None:
    async with on_gpus() as stage:
        stage.scaler.scale("n", 3)
        await stage.watcher.until("n", ready(3))
        assert stage.scaler.replicas("m").rivals == frozenset()
        stage.scaler.scale("m", 1)
        snapshot = await stage.watcher.until("m", lambda seen: bool(seen.rivals))
        assert (snapshot.count(Phase.PENDING), sorted(snapshot.rivals)) == (1, ["n"])
        stage.scaler.scale("n", 0)
        await stage.watcher.until("m", lambda seen: seen.count(Phase.READY) == 1 and not seen.rivals)


async def test_many_changes_are_counted_a_few_times_only() -> None:
    async with on_gpus() as stage:
        counted = 0
        allow = stage.scaler.workloads["m"].allow

        def count(room: int | None, rivals: frozenset[str]) -> None:
            nonlocal counted
            counted += 1
            allow(room, rivals)

        stage.scaler.workloads["m"].allow = count  # type: ignore[method-assign]
        for number in range(200):
            stage.cluster.put("nodes", node("busy", number))
            await asyncio.sleep(0.005)
        assert 2 <= counted <= 6


def test_a_pod_is_the_first_ones_whose_selector_selects_it() -> None:
    expression = {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gpu"]}]}
    owners = Owners({"a": {"matchLabels": {"app": "a", "x": "1"}}, "b": {"matchLabels": {"app": "b"}}, "c": expression})
    assert owners.of({"app": "a", "x": "1"}) == "a"
    assert owners.of({"app": "a"}) == ""
    assert owners.of({"other": "1", "app": "b", "tier": "gpu"}) == "b"
    assert owners.of({"tier": "gpu"}) == "c"
    assert owners.of({}) == ""


async def test_a_nodes_heartbeat_is_no_reason_to_count() -> None:
    async with on_gpus() as stage:
        keeper = stage.scaler._bookkeeper
        await asyncio.sleep(1)
        stage.cluster.change("nodes", "one", lambda item: item["status"].update(conditions=[{"heartbeat": 1}]))
        await asyncio.sleep(0.01)
        assert keeper._timer is None


async def test_nothing_is_kept_of_what_a_deployment_wished_for_that_has_left() -> None:
    async with on_gpus() as stage:
        assert set(stage.scaler._bookkeeper._wishes) == {"m", "n"}
        stage.scaler.declare({"n": stage.specs["good"]})
        await asyncio.sleep(1)
        assert set(stage.scaler._bookkeeper._wishes) == {"n"}
