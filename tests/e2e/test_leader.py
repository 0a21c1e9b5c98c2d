"""Two edges: one leads, both route. The leader is killed under load, and both are started again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

    from tests.e2e.conftest import Serve
    from tests.e2e.edges import Edge
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

TAKEOVER_SECONDS = 20


async def test_killing_the_leader_fails_only_its_own_requests_and_scales_nothing_down(
    tenant: Tenant, serve: Serve, session: ClientSession, figure: Figure
) -> None:
    edges = {edge.name: edge for edge in await serve(2)}
    leader = edges.pop(await leader_of(tenant, edges))
    (follower,) = edges.values()
    await tenant.deploy(Model("led", replicas=2, least=2))
    await tenant.deploy(Model("asleep", start=1))
    await tenant.ready_pods("led", 2)
    history: list[tuple[float, int]] = []
    watching = asyncio.create_task(tenant.history("led", history))
    client = Client(session, follower.listen)
    loop = asyncio.get_running_loop()
    async with Load().running(client, "led", clients=4, target="/?seconds=0.05") as load:
        await asyncio.sleep(2)
        await leader.kill()
        killed = loop.time()
        woken = await client.ask("asleep")
        await leader_of(tenant, {follower.name: follower})
        seconds = loop.time() - killed
        await asyncio.sleep(5)
    watching.cancel()
    assert load.failures == []
    assert woken.good, woken
    assert [replicas for _, replicas in history] == [2]
    assert seconds < TAKEOVER_SECONDS
    figure(f"the leader was killed: {len(load.answers)} requests by the other edge, which led {seconds:.1f} s later")


async def leader_of(tenant: Tenant, edges: dict[str, Edge]) -> str:
    """Wait until the Lease is held by one of `edges`; return its name."""

    async def look() -> str | None:
        leases = (await tenant.api.get(tenant.path("leases")))["items"]
        holders = [lease["spec"].get("holderIdentity", "") for lease in leases]
        return next((name for name in edges if any(name in holder for holder in holders)), None)

    return str(await eventually(look, TAKEOVER_SECONDS * 2))
