"""Three models that need a GPU each, on two nodes that have one each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.e2e.load import Client
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from tests.e2e.conftest import Serve
    from tests.e2e.tenant import Tenant

NODES = 2


@pytest_asyncio.fixture(loop_scope="session")
async def nodes(tenant: Tenant) -> AsyncIterator[list[str]]:
    """Two nodes that are said to have a GPU each: an extended resource, as the cluster's admin may declare it."""
    gpu = tenant.options.gpu
    found = (await tenant.api.get("/api/v1/nodes"))["items"]
    if any(gpu in node["status"].get("capacity", {}) for node in found):
        pytest.skip(f"there are nodes with {gpu} already; name another resource in E2E_GPU_RESOURCE")
    usable = [node["metadata"]["name"] for node in found if not node["spec"].get("taints")][:NODES]
    if len(usable) < NODES:
        pytest.skip(f"this needs {NODES} nodes without taints")
    for node in usable:
        await declare(tenant, node, "1")
    yield usable
    for node in usable:
        await declare(tenant, node, None)


async def declare(tenant: Tenant, node: str, count: str | None) -> None:
    resources = {tenant.options.gpu: count}
    body = {"status": {"capacity": resources, "allocatable": resources}}
    await tenant.api.patch(f"/api/v1/nodes/{node}/status", body)


async def test_the_third_waits_with_the_schedulers_reason_and_is_served_when_a_gpu_is_free(
    tenant: Tenant, serve: Serve, session: ClientSession, nodes: list[str]
) -> None:
    (edge,) = await serve()
    client = Client(session, edge.listen)
    for model in ("gpu-a", "gpu-b", "gpu-c"):
        await tenant.deploy(Model(model, gpus=1))
    first = await asyncio.gather(client.ask("gpu-a"), client.ask("gpu-b"))
    assert all(answer.good for answer in first), [str(answer) for answer in first]
    third = asyncio.create_task(client.ask("gpu-c"))

    async def waits() -> str | None:
        view = await look(session, edge.admin, "gpu-c")
        return str(view) if f"Insufficient {tenant.options.gpu}" in str(view) else None

    await eventually(waits, 10)
    assert not third.done()
    answer = await third
    assert answer.good, answer
    for model in ("gpu-a", "gpu-b", "gpu-c"):
        await tenant.remove(model)


async def look(session: ClientSession, admin: str, service: str) -> Any:
    """Return the admin view of a service."""
    async with session.get(f"http://{admin}/v1/services/{service}") as response:
        assert response.status == 200, await response.text()
        return await response.json()
