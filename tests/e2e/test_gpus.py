"""Three models that need a GPU each, on two nodes that have one each: the third waits, or an idle one gives way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.e2e.api import ApiError
from tests.e2e.conftest import ACCOUNT
from tests.e2e.load import Client
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientSession

    from tests.e2e.conftest import Serve
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

NODES = 2
MODELS = ("gpu-a", "gpu-b", "gpu-c")
GIVES_WAY = {
    "gpu-activator/evictable": "true",
    "gpu-activator/min-residency": "1s",
    "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "5m",
}
RBAC = "/apis/rbac.authorization.k8s.io/v1"
AT_ONCE = 10  # seconds, in which a pod ends and another one starts


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
    await clear(tenant)
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
    for model in MODELS:
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


@pytest_asyncio.fixture(loop_scope="session", params=["nodes unknown", "nodes known"])
async def known(tenant: Tenant, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Whether edges may read nodes."""
    if request.param == "nodes known":
        await let_nodes_be_read(tenant)
    yield request.param
    if request.param == "nodes known":
        await tenant.api.delete(f"{RBAC}/clusterrolebindings/{tenant.namespace}-nodes")


async def test_with_eviction_the_third_gets_the_gpu_of_the_one_that_is_idle_for_longest_at_once(
    tenant: Tenant, serve: Serve, session: ClientSession, nodes: list[str], known: str, figure: Figure
) -> None:
    (edge,) = await serve()
    client = Client(session, edge.listen)
    for model in MODELS:
        await tenant.deploy(Model(model, gpus=1, annotations=GIVES_WAY))
    for model in MODELS[:2]:
        assert (answer := await client.ask(model)).good, answer
        await asyncio.sleep(2)
    third = await client.ask(MODELS[2], patience=30)
    assert third.good, third
    assert third.ended - third.begun < AT_ONCE
    assert [await tenant.replicas(model) for model in MODELS] == [0, 1, 1]
    figure(f"eviction, {known}: the third model was answered after {third.ended - third.begun:.1f} s")


async def let_nodes_be_read(tenant: Tenant) -> None:
    """Give the edge the rights of the overlay gpu-nodes; at the latest they go with the namespace."""
    name = f"{tenant.namespace}-nodes"
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}]
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": tenant.namespace}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    space = await tenant.api.get(f"/api/v1/namespaces/{tenant.namespace}")
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": tenant.namespace, "uid": space["metadata"]["uid"]}
    metadata = {"name": name, "ownerReferences": [owner]}
    await tenant.api.post(f"{RBAC}/clusterroles", {"metadata": metadata, "rules": rules})
    binding = {"metadata": metadata, "roleRef": role, "subjects": subjects}
    await tenant.api.post(f"{RBAC}/clusterrolebindings", binding)


async def clear(tenant: Tenant) -> None:
    """Remove the models, and wait until their GPUs are free."""
    for model in MODELS:
        with suppress(ApiError):  # of a test that came to an early end
            await tenant.remove(model)

    async def gone() -> bool | None:
        return not [pod for model in MODELS for pod in await tenant.pods(model)] or None

    await eventually(gone)


async def look(session: ClientSession, admin: str, service: str) -> Any:
    """Return the admin view of a service."""
    async with session.get(f"http://{admin}/v1/services/{service}") as response:
        assert response.status == 200, await response.text()
        return await response.json()
