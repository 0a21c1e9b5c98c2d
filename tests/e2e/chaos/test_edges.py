"""Two edges, of which the leader is paused, or cut off from the API server: F24 and F25 of the fault table. The other
one takes over, nothing is scaled down meanwhile, and the old leader does no harm when it is back."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
from tests.e2e.test_leader import leader_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from tests.e2e.chaos.conftest import Reach
    from tests.e2e.edge_processes import EdgeProcess
    from tests.e2e.fault_proxy import FaultProxy
    from tests.e2e.tenant import Tenant

    Behind = tuple[EdgeProcess, FaultProxy]

AFTERMATH = 5
REPLICAS = 2


async def test_f24_a_leader_that_was_paused_orders_nothing_by_what_it_knew(
    tenant: Tenant, reach: Reach, session: ClientSession
) -> None:
    (leader, _), (follower, _) = await pair(tenant, reach, "edge-paused")
    async with two_replicas(tenant, Client(session, follower.listen), "paused"):
        leader.signal(signal.SIGSTOP)
        try:
            await leader_of(tenant, {follower.name: follower})
        finally:
            leader.signal(signal.SIGCONT)
        await asyncio.sleep(AFTERMATH)


async def test_f25_a_leader_that_is_cut_off_from_the_api_server_serves_and_gives_up_the_lead(
    tenant: Tenant, reach: Reach, session: ClientSession
) -> None:
    (leader, proxy), (follower, _) = await pair(tenant, reach, "edge-cut")
    async with (
        two_replicas(tenant, Client(session, follower.listen), "cut-off"),
        Load().running(Client(session, leader.listen), "cut-off", clients=2, target="/?seconds=0.05") as load,
    ):
        await proxy.stop()
        await leader_of(tenant, {follower.name: follower})
        await asyncio.sleep(AFTERMATH)
        await proxy.start()
        await asyncio.sleep(AFTERMATH)
    assert load.failures == []


async def pair(tenant: Tenant, reach: Reach, name: str) -> tuple[Behind, Behind]:
    """Return the leader and the follower of two edges."""
    edges = {}
    for number in range(2):
        edge, proxy = await reach(called=f"{name}-{number}")
        edges[edge.name] = edge, proxy
    leader = edges.pop(await leader_of(tenant, {name: edge for name, (edge, _) in edges.items()}))
    (follower,) = edges.values()
    return leader, follower


@asynccontextmanager
async def two_replicas(tenant: Tenant, client: Client, model: str) -> AsyncIterator[None]:
    """Load on two replicas, of which none may go, and whose requests are all answered."""
    await tenant.deploy(Model(model, replicas=REPLICAS, least=REPLICAS))
    await tenant.ready_pods(model, REPLICAS)
    history: list[tuple[float, int]] = []
    watching = asyncio.create_task(tenant.history(model, history))
    async with Load().running(client, model, clients=4, target="/?seconds=0.05") as load:
        await asyncio.sleep(1)
        yield
    watching.cancel()
    assert load.failures == []
    assert [replicas for _, replicas in history] == [REPLICAS]
    await tenant.remove(model)
