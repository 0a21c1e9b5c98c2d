"""Others who write replicas when Kubernetes has forgotten who set them: it does so when 0 is written by `scale`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.activator.scalers.kubernetes.stage import on_stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.activator.scalers.kubernetes.stage import KubernetesStage

pytestmark = pytest.mark.looptime
OTHER = "kubectl"


@asynccontextmanager
async def forgetful() -> AsyncIterator[KubernetesStage]:
    """A stage whose Deployment was at 1 and is at 0 again."""
    async with on_stage() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        stage.scaler.scale("good", 0)
        await asyncio.sleep(1)
        assert stage.replicas() == 0
        assert stage.cluster.get("deployments", "good")["metadata"]["managedFields"] == []
        stage.api.writes.clear()
        yield stage


def numbers(stage: KubernetesStage) -> list[int]:
    return [number for _, _, number in stage.api.writes]


async def insist(stage: KubernetesStage, number: int, times: int) -> None:
    for _ in range(times):
        stage.cluster.scale("good", number, OTHER)
        await asyncio.sleep(10)


async def test_someone_whose_name_is_forgotten_is_corrected_three_times_too() -> None:
    async with forgetful() as stage:
        stage.scaler.scale("good", 2)
        await asyncio.sleep(1)
        await insist(stage, 5, times=6)
        writer = stage.scaler.workloads["good"].writer
        assert (stage.replicas(), writer.conflicts) == (5, 3)
        assert writer.held.startswith("someone also writes the replicas of Deployment good; it was corrected 3 times")


async def test_another_edge_that_wakes_it_is_no_other_writer() -> None:
    async with forgetful() as stage:
        for _ in range(6):
            stage.cluster.scale("good", 1, OTHER)
            await asyncio.sleep(10)
            assert stage.replicas() == 1
            stage.scaler.scale("good", 0)
            await asyncio.sleep(10)
            assert stage.replicas() == 0
        writer = stage.scaler.workloads["good"].writer
        assert (writer.held, writer.conflicts) == ("", 0)


async def test_while_it_holds_requests_at_zero_get_their_replica() -> None:
    async with forgetful() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        await insist(stage, 0, times=4)
        assert stage.replicas() == 0
        before = len(numbers(stage))
        stage.routing.held["good"] = 3
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1.1)
        assert stage.replicas() == 1
        assert numbers(stage)[before:] == [1]


async def test_while_it_holds_a_request_gets_its_replica_though_no_other_number_is_decided() -> None:
    async with forgetful() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        await insist(stage, 0, times=4)
        stage.scaler.scale("good", 1)
        await asyncio.sleep(5)
        assert stage.replicas() == 0
        stage.routing.held["good"] = 1
        await asyncio.sleep(2)
        assert stage.replicas() == 1


async def test_while_it_holds_it_writes_once_a_second_at_most() -> None:
    async with forgetful() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        await insist(stage, 0, times=4)
        stage.routing.held["good"] = 3
        begun = stage.clock()
        for _ in range(100):
            stage.scaler.scale("good", 1)
            stage.cluster.scale("good", 0, OTHER)
            await asyncio.sleep(0.1)
        written = [at for at, _, _ in stage.api.writes if at >= begun]
        assert 5 <= len(written) <= 11
        stage.routing.held["good"] = 0
        await asyncio.sleep(5)
        before = len(numbers(stage))
        stage.cluster.scale("good", 0, OTHER)
        await asyncio.sleep(20)
        assert len(numbers(stage)) == before
