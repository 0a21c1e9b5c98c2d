"""Two edges that are peers. The leader is paused, or cut off from the API server (F24 and F25 of the fault table): the
other one takes over, nothing is scaled down meanwhile, and the old leader does no harm when it is back. They cannot see
each other (F26): each serves, and nothing is scaled down. Their clocks are set (F27): nothing changes at all.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.e2e.edge_processes import RUN
from tests.e2e.edges import peers
from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
from tests.e2e.test_leader import leader_of
from tests.journeys.test_peers import Way
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.e2e.chaos.conftest import Reach
    from tests.e2e.edge_processes import EdgeProcess
    from tests.e2e.fault_proxy import FaultProxy
    from tests.e2e.tenant import Tenant

    Behind = tuple[EdgeProcess, FaultProxy]

AFTERMATH = 5
SET_CLOCK = f"""
import pathlib, time
real, told = time.time, pathlib.Path("clock")
time.time = lambda: real() + (float(told.read_text() or 0) if told.exists() else 0)
{RUN}
"""
REPLICAS = 2


@pytest_asyncio.fixture(loop_scope="session")
async def way() -> AsyncIterator[Way]:
    """What leads from edge to edge."""
    way = Way()
    yield way
    await way.close()


async def apart(known: list[dict[str, Any]], way: Way) -> list[dict[str, Any]]:
    """Have edges with these `peers` settings reach each other by `way`."""
    for settings, port in zip(known, free_ports(len(known)), strict=True):
        settings["advertise"], settings["listen"] = settings["listen"], f"127.0.0.1:{port}"
        await way.lead(int(settings["advertise"].rpartition(":")[2]), port)
    return known


async def test_f24_a_leader_that_was_paused_orders_nothing_by_what_it_knew(
    tenant: Tenant, reach: Reach, session: ClientSession, tmp_path: Path
) -> None:
    (leader, _), (follower, _) = await pair(tenant, reach, "edge-paused", peers(2, tmp_path))
    async with two_replicas(tenant, Client(session, follower.listen), "paused"):
        leader.signal(signal.SIGSTOP)
        try:
            await leader_of(tenant, {follower.name: follower})
        finally:
            leader.signal(signal.SIGCONT)
        await asyncio.sleep(AFTERMATH)


async def test_f25_a_leader_that_is_cut_off_from_the_api_server_serves_and_gives_up_the_lead(
    tenant: Tenant, reach: Reach, session: ClientSession, tmp_path: Path
) -> None:
    (leader, proxy), (follower, _) = await pair(tenant, reach, "edge-cut", peers(2, tmp_path))
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


async def test_f26_edges_that_cannot_see_each_other_serve_and_scale_nothing_down(
    tenant: Tenant, reach: Reach, session: ClientSession, tmp_path: Path, way: Way
) -> None:
    (leader, _), (follower, _) = await pair(tenant, reach, "edge-apart", await apart(peers(2, tmp_path), way))
    async with (
        two_replicas(tenant, Client(session, follower.listen), "apart"),
        Load().running(Client(session, leader.listen), "apart", clients=2, target="/?seconds=0.05") as load,
    ):
        await tenant.deploy(Model("apart-cold", start=0.5))
        way.cut = True
        for edge in (leader, follower):
            await edge.said_that("peer lost")
        answers = [await Client(session, edge.listen).ask("apart-cold") for edge in (follower, leader)]
        await asyncio.sleep(2 * AFTERMATH)
        assert await tenant.replicas("apart-cold") == 1, "who cannot count all puts nothing to sleep"
        way.cut = False
        await tenant.at_zero("apart-cold")
    assert load.failures == []
    assert [str(answer) for answer in answers if not answer.good] == []


@pytest.mark.parametrize("hours", [1, -3])
async def test_f27_a_clock_that_is_set_changes_neither_the_lead_nor_replicas(
    tenant: Tenant, reach: Reach, session: ClientSession, tmp_path: Path, hours: int
) -> None:
    (leader, _), (follower, _) = await pair(
        tenant, reach, f"edge-set-{abs(hours)}", peers(2, tmp_path), program=SET_CLOCK
    )
    async with two_replicas(tenant, Client(session, follower.listen), f"set-{abs(hours)}"):
        for edge in (leader, follower):
            (edge.home / "clock").write_text(str(3600 * hours))
            await asyncio.sleep(2 * AFTERMATH)
            assert await leader_of(tenant, {leader.name: leader, follower.name: follower}) == leader.name


async def pair(
    tenant: Tenant, reach: Reach, name: str, known: list[dict[str, Any]] | None = None, **how: str
) -> tuple[Behind, Behind]:
    """Return the leader and the follower of two edges, with the `peers` settings `known`, or without any."""
    edges = {}
    for number in range(2):
        settings = {"peers": known[number]} if known else {}
        edge, proxy = await reach(called=f"{name}-{number}", **how, **settings)
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
