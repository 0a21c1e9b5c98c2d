"""The API server is gone, frozen, slow or refuses, or its watches break: F16 to F22 of the fault table.

Each: a warm model under load, a cold one asked meanwhile. Warm requests are all answered; cold ones are answered at
the latest when the fault is over.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.fault_proxy import FaultProxy
    from tests.e2e.load import Answer
    from tests.e2e.tenant import Tenant

    Pair = tuple[Client, FaultProxy]

FAULT_SECONDS = 20
COLD = 10
SERVED_WITHIN = 10.0


async def test_f16_f17_the_api_server_freezes_and_then_is_gone(tenant: Tenant, one: Pair) -> None:
    client, proxy = one
    async with under_load(tenant, client, "gone") as cold:
        proxy.freeze()
        await asyncio.sleep(FAULT_SECONDS / 2)
        held = cold()
        await proxy.stop()
        await asyncio.sleep(FAULT_SECONDS / 2)
        assert not any(task.done() for task in held), "a cold request was not held"
        await proxy.start()
        await served(held)


async def test_f18_the_api_server_is_slow(tenant: Tenant, one: Pair) -> None:
    client, proxy = one
    async with under_load(tenant, client, "slow") as cold:
        proxy.delay = 5.0
        held = cold()
        await asyncio.sleep(FAULT_SECONDS)
        proxy.delay = 0.0
        await served(held)


async def test_f18_the_api_server_asks_to_come_later(tenant: Tenant, one: Pair) -> None:
    client, proxy = one
    async with under_load(tenant, client, "busy") as cold:
        proxy.status, proxy.retry_after = 429, "3"
        held = cold()
        before = proxy.calls
        await asyncio.sleep(FAULT_SECONDS)
        asked = proxy.calls - before
        proxy.status = 0
        await served(held)
    assert asked <= 3 * FAULT_SECONDS, "it was asked again and again"


async def test_f19_watches_are_cut_and_expire(tenant: Tenant, one: Pair) -> None:
    client, proxy = one
    async with under_load(tenant, client, "watched") as cold:
        for rest in (b'{"type":"MODIFIED","object":{"kind":"Pod","meta', b"\x00\xff not JSON\n", b"[]\n", b""):
            proxy.cut(rest)
            await asyncio.sleep(1)
        proxy.expire()
        await served(cold())


async def test_f21_the_account_loses_its_rights_for_a_while(tenant: Tenant, one: Pair) -> None:
    client, proxy = one
    for status in (401, 403):
        async with under_load(tenant, client, f"denied-{status}") as cold:
            proxy.status = status
            proxy.cut(b"")
            held = cold()
            await asyncio.sleep(FAULT_SECONDS / 2)
            proxy.status = 0
            await served(held, within=2 * SERVED_WITHIN)


async def test_f22_another_writer_of_replicas_is_not_fought_without_end(tenant: Tenant, one: Pair) -> None:
    client, _ = one
    async with under_load(tenant, client, "fought"):
        history: list[tuple[float, int]] = []
        watching = asyncio.create_task(tenant.history("fought-warm", history))
        for number in range(100):
            await tenant.scale("fought-warm", 2 + number % 2)
            await asyncio.sleep(0.05)
        await asyncio.sleep(3)
        watching.cancel()
        assert await tenant.replicas("fought-warm") >= 1
        ours = sum(1 for _, replicas in history[1:] if replicas < 2)  # the first is what was there
        assert ours <= 3, history


@asynccontextmanager
async def under_load(tenant: Tenant, client: Client, name: str) -> AsyncIterator[_Cold]:
    """Load on a warm model, which must not fail; yields what asks the cold one."""
    warm, cold = f"{name}-warm", f"{name}-cold"
    await tenant.deploy(Model(warm, least=1))
    await tenant.deploy(Model(cold, start=0.5))
    await tenant.ready_pods(warm, 1)

    async def answered() -> bool | None:
        return (await client.ask(warm)).good or None

    await eventually(answered)
    async with Load().running(client, warm, clients=4, target="/?seconds=0.05") as load:
        yield _Cold(client, cold)
    assert load.failures == []
    for model in (warm, cold):
        await tenant.remove(model)


class _Cold:
    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model

    def __call__(self) -> list[asyncio.Task[Answer]]:
        return [asyncio.create_task(self._client.ask(self._model)) for _ in range(COLD)]


async def served(held: list[asyncio.Task[Answer]], within: float = SERVED_WITHIN) -> None:
    """Assert that all are answered soon."""
    async with asyncio.timeout(within):
        answers = await asyncio.gather(*held)
    assert [str(answer) for answer in answers if not answer.good] == []
