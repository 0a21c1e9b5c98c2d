"""Someone sets a Deployment to 0 again and again: that is corrected three times, then let be, and an Event says how to
end it. Requests that come meanwhile still get their replica."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from tests.e2e.load import Client
    from tests.e2e.tenant import Tenant

CORRECTIONS = 3
RESETS = 6
SETTLED = 4.0  # seconds in which a correction would have been written


@pytest.mark.parametrize("sub", ["scale", ""], ids=["kubectl-scale", "kubectl-edit"])
async def test_a_reset_to_zero_is_corrected_three_times_and_then_let_be_with_a_remedy(
    tenant: Tenant, client: Client, sub: str
) -> None:
    name = f"reset-{sub or 'edit'}"
    await tenant.deploy(Model(name, least=1))
    await tenant.ready_pods(name, 1)
    history: list[tuple[float, int]] = []
    watching = asyncio.create_task(tenant.history(name, history))
    for _ in range(RESETS):
        await tenant.api.patch(
            f"{tenant.path('deployments', name, sub)}?fieldManager=kubectl", {"spec": {"replicas": 0}}
        )
        await corrected(tenant, name)
    watching.cancel()
    assert sum(1 for _, replicas in history[1:] if replicas) == CORRECTIONS, history
    assert not await tenant.replicas(name)
    remedy = await eventually(lambda: hindrance(tenant, name))
    assert "also writes the replicas" in remedy
    assert f"{CORRECTIONS} times" in remedy
    assert (answer := await client.ask(name, patience=15)).good, str(answer)
    await tenant.remove(name)


async def corrected(tenant: Tenant, name: str) -> bool:
    """Return whether a replica is ordered again soon."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLED
    while loop.time() < until:
        if await tenant.replicas(name):
            return True
        await asyncio.sleep(0.1)
    return False


async def hindrance(tenant: Tenant, name: str) -> str | None:
    """Return what a Warning on this Deployment says of a hindered scaling."""
    for event in (await tenant.api.get(tenant.path("events")))["items"]:
        if event["involvedObject"]["name"] == name and event["reason"] == "ScalingHindered":
            return str(event["message"])
    return None
