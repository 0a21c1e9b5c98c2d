"""The API server, or its etcd (F20), goes away under load, by commands that the environment names."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.e2e.load import Load
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.load import Client
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

OUTAGE_SECONDS = 60
COLD = 10


@pytest.mark.parametrize("part", ["api", "etcd"])
async def test_an_outage_of_the_api_server_or_etcd_touches_no_warm_request_and_loses_no_cold_one(
    tenant: Tenant, client: Client, figure: Figure, part: str
) -> None:
    options = tenant.options
    stop, start = (options.stop_api, options.start_api) if part == "api" else (options.stop_etcd, options.start_etcd)
    if not stop or not start:
        pytest.skip(f"E2E_STOP_{part.upper()} and E2E_START_{part.upper()} name no commands")
    warm, cold = f"warm-{part}", f"cold-{part}"
    await tenant.deploy(Model(warm))
    await tenant.deploy(Model(cold, start=1))
    assert (await client.ask(warm)).good
    async with Load().running(client, warm, clients=4, target="/?seconds=0.05") as load:
        await run(stop)
        try:
            await asyncio.sleep(OUTAGE_SECONDS / 2)
            held = [asyncio.create_task(client.ask(cold, patience=180)) for _ in range(COLD)]
            await asyncio.sleep(OUTAGE_SECONDS / 2)
            assert not any(task.done() for task in held), "a cold request was not held"
        finally:
            await run(start)
        ordered = await seconds_until_ordered(tenant, cold)
        answers = await asyncio.gather(*held)
    assert [str(answer) for answer in answers if not answer.good] == []
    assert load.failures == []
    figure(f"an outage of {OUTAGE_SECONDS} s ({part}): {len(load.answers)} warm requests, all answered")
    tail = max(answer.ended - answer.facts["ready"] for answer in answers)
    figure(
        f"{COLD} cold requests held through it: a replica was ordered {ordered:.1f} s after all was back, "
        f"and the last was answered {1000 * tail:.0f} ms after the pod was"
    )


async def seconds_until_ordered(tenant: Tenant, cold: str) -> float:
    """Wait until the cold model has a replica ordered. How long its pod then takes is up to Kubernetes' controllers,
    which have to find back to the API server, too."""
    begun = asyncio.get_running_loop().time()

    async def ordered() -> bool | None:
        with suppress(TimeoutError):  # an API server that has just got its etcd back may leave a question unanswered
            return bool(await tenant.replicas(cold)) or None
        return None

    await eventually(ordered)
    return asyncio.get_running_loop().time() - begun


async def run(command: list[str]) -> None:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
