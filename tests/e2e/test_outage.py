"""The API server goes away under load, by the commands that E2E_STOP_API and E2E_START_API name."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.load import Load
from tests.e2e.manifests import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.load import Client
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

OUTAGE_SECONDS = 60
COLD = 10


async def test_an_outage_of_the_api_server_touches_no_warm_request_and_loses_no_cold_one(
    tenant: Tenant, client: Client, figure: Figure
) -> None:
    stop, start = tenant.options.stop_api, tenant.options.start_api
    if not stop or not start:
        pytest.skip("E2E_STOP_API and E2E_START_API name no commands")
    await tenant.deploy(Model("warm"))
    await tenant.deploy(Model("cold", start=1))
    assert (await client.ask("warm")).good
    async with Load().running(client, "warm", clients=4, target="/?seconds=0.05") as load:
        await run(stop)
        try:
            await asyncio.sleep(OUTAGE_SECONDS / 2)
            held = [asyncio.create_task(client.ask("cold", patience=180)) for _ in range(COLD)]
            await asyncio.sleep(OUTAGE_SECONDS / 2)
        finally:
            await run(start)
        back = asyncio.get_running_loop().time()
        assert not any(task.done() for task in held), "a cold request was not held"
        answers = await asyncio.gather(*held)
        seconds = asyncio.get_running_loop().time() - back
    assert [str(answer) for answer in answers if not answer.good] == []
    assert load.failures == []
    figure(f"an outage of {OUTAGE_SECONDS} s: {len(load.answers)} warm requests, all answered")
    figure(f"an outage of {OUTAGE_SECONDS} s: {COLD} cold requests, all answered {seconds:.1f} s after it")


async def run(command: list[str]) -> None:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
