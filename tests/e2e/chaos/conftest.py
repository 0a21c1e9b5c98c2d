"""Edges that reach the API server through a proxy, which fails when it is told to. They are processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest_asyncio

from tests.e2e.conftest import ACCOUNT
from tests.e2e.edge_processes import ProcessFleet, write_kubeconfig
from tests.e2e.fault_proxy import FaultProxy
from tests.e2e.load import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.e2e.edge_processes import EdgeProcess
    from tests.e2e.tenant import Tenant

    Reach = Callable[..., Awaitable[tuple[EdgeProcess, FaultProxy]]]


@pytest_asyncio.fixture(loop_scope="session")
async def reach(tenant: Tenant, base: str, tmp_path: Path) -> AsyncIterator[Reach]:
    """Starts an edge behind a proxy of its own; `called` begins its name, `changes` are settings, and `program`
    and `config` may be others than an edge process has."""
    proxies: list[FaultProxy] = []
    fleets: list[ProcessFleet] = []

    async def start(
        called: str = "edge", *, program: str = "", config: str = "", **changes: Any
    ) -> tuple[EdgeProcess, FaultProxy]:
        proxy = FaultProxy(tenant.api)
        await proxy.start()
        proxies.append(proxy)
        home = tmp_path / f"behind-{len(proxies)}"
        home.mkdir()
        kubeconfig = home / "kubeconfig"
        write_kubeconfig(kubeconfig, {"server": proxy.url}, tenant.namespace, await tenant.token(ACCOUNT))
        fleet = ProcessFleet(home, kubeconfig, called)
        fleets.append(fleet)
        edge = fleet.prepare(changes)
        edge.program, edge.config = program or edge.program, config or edge.config
        await edge.start()
        return edge, proxy

    yield start
    for fleet in fleets:
        await fleet.stop()
    for proxy in proxies:
        await proxy.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def one(reach: Reach, session: ClientSession) -> tuple[Client, FaultProxy]:
    """A client of one edge, and what is between that and the API server."""
    edge, proxy = await reach()
    return Client(session, edge.listen), proxy
