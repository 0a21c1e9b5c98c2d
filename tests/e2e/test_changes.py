"""Deployments are rolled, scaled and have their pods deleted while clients ask: nobody fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.e2e.load import Load
from tests.e2e.manifests import MIN_SCALE, Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.load import Client
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

CLIENTS = 8
STREAM_SECONDS = 60


async def test_a_rolling_update_under_load_fails_nobody(tenant: Tenant, client: Client, figure: Figure) -> None:
    await tenant.deploy(Model("rolling", replicas=2, least=2))
    before = await tenant.ready_pods("rolling", 2)
    async with Load().running(client, "rolling", clients=CLIENTS, target="/?seconds=0.05") as load:
        await asyncio.sleep(1)
        await roll(tenant, "rolling")
        await asyncio.sleep(1)
    assert load.failures == []
    assert not set(before) & set(await tenant.ready_pods("rolling", 2))
    figure(f"a rolling update: {len(load.answers)} requests, all answered")
    await tenant.remove("rolling")


async def test_from_four_to_one_with_a_long_stream_fails_nobody(tenant: Tenant, client: Client) -> None:
    await tenant.deploy(Model("shrinking", replicas=4, least=4))
    before = await tenant.ready_pods("shrinking", 4)
    stream = asyncio.create_task(client.ask("shrinking", f"/?stream={STREAM_SECONDS}"))
    async with Load().running(client, "shrinking", clients=2, target="/?seconds=0.05") as load:
        await asyncio.sleep(2)
        await annotate(tenant, "shrinking", "1")
        left = await tenant.ready_pods("shrinking", 1)
    assert load.failures == []
    assert not stream.done(), "the stream was to outlive the change"
    answer = await stream
    assert answer.good, answer
    assert len(before) == 4
    assert left == [answer.facts["pod"]]
    await tenant.remove("shrinking")


async def test_pods_deleted_with_grace_fail_nobody(tenant: Tenant, client: Client, figure: Figure) -> None:
    await tenant.deploy(Model("deleted", replicas=2, least=2))
    await tenant.ready_pods("deleted", 2)
    async with Load().running(client, "deleted", clients=CLIENTS, target="/?seconds=0.05") as load:
        for _ in range(4):
            first = (await tenant.ready_pods("deleted", 2))[0]
            await tenant.api.delete(tenant.path("pods", first))
            await asyncio.sleep(1)
    assert load.failures == []
    figure(f"four pods deleted with grace: {len(load.answers)} requests, all answered")
    await tenant.remove("deleted")


async def roll(tenant: Tenant, model: str) -> None:
    """Change the pods' template and wait until all pods are of the new one."""
    path = tenant.path("deployments", model)
    stamp = {"spec": {"template": {"metadata": {"annotations": {"e2e.test/rolled": "yes"}}}}}
    generation = (await tenant.api.patch(path, stamp))["metadata"]["generation"]

    async def rolled() -> bool | None:
        found = await tenant.deployment(model)
        status, wanted = found["status"], found["spec"]["replicas"]
        counts = {status.get(f"{kind}eplicas") for kind in ("r", "updatedR", "availableR")}
        return (status.get("observedGeneration", 0) >= generation and counts == {wanted}) or None

    await eventually(rolled, 120)


async def annotate(tenant: Tenant, model: str, least: str) -> None:
    await tenant.api.patch(tenant.path("deployments", model), {"metadata": {"annotations": {MIN_SCALE: least}}})
