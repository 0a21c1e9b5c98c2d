"""A mistake in one Deployment is told where its owner looks, and touches no other service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from tests.e2e.load import Client
    from tests.e2e.tenant import Tenant

KNATIVE = "autoscaling.knative.dev"
POISONS = {
    "nan": {f"{KNATIVE}/target": "NaN"},
    "huge": {f"{KNATIVE}/max-scale": "1e308"},
    "negative": {f"{KNATIVE}/min-scale": "-1"},
    "superscript": {f"{KNATIVE}/min-scale": "\N{SUPERSCRIPT TWO}"},
    "long": {f"{KNATIVE}/window": "9" * 100_000},
    "short": {f"{KNATIVE}/window": "1ns"},
    "crossed": {f"{KNATIVE}/min-scale": "5", f"{KNATIVE}/max-scale": "2"},
    "zero": {f"{KNATIVE}/target": "0"},
    "unknown": {f"{KNATIVE}/min-scal": "1"},
}


async def test_a_mistake_is_an_event_on_its_deployment_and_touches_no_other(tenant: Tenant, client: Client) -> None:
    await tenant.deploy(Model("sound"))
    for name, poison in POISONS.items():
        await tenant.deploy(Model(f"poison-{name}", annotations=poison))
    assert (await client.ask("sound")).good
    warned: set[str] = set()

    async def all_warned() -> bool | None:
        events = (await tenant.api.get(tenant.path("events")))["items"]
        warned.update(event["involvedObject"]["name"] for event in events if event["type"] == "Warning")
        return all(f"poison-{name}" in warned for name in POISONS) or None

    await eventually(all_warned, 20)
    assert "sound" not in warned
    for name in POISONS:
        assert await tenant.replicas(f"poison-{name}") == 0
        await tenant.remove(f"poison-{name}")
    await tenant.remove("sound")
