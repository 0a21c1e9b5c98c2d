"""A configuration that cannot be used, in the edge's ConfigMap: F36 of the fault table. What was in force stays, the
ConfigMap is told why, nobody fails; and the next good one is taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.conftest import EDGE
from tests.e2e.edges import configuration
from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.e2e.chaos.conftest import Reach
    from tests.e2e.edge_processes import EdgeProcess
    from tests.e2e.tenant import Tenant

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TWICE = [{"name": name, "hosts": ["twice.e2e.test"], "revisions": [{"name": name}]} for name in ("one", "two")]
POISONS: dict[str, str | dict[str, Any]] = {
    "no YAML": "listen: [",
    "a list": "- listen",
    "nothing": "",
    "an unknown key": {"autoscaling": {"windw": "6s"}},
    "not a number": {"autoscaling": {"container-concurrency-target-default": ".nan"}},
    "infinite": {"autoscaling": {"max-scale": 1e308}},
    "negative": {"autoscaling": {"min-scale": -1}},
    "too short": {"autoscaling": {"stable-window": "1ns"}},
    "another type": {"services": "all"},
    "a host twice": {"services": TWICE},
    "a bomb": BOMB,
}


async def test_f36_a_poisoned_configuration_is_refused_with_an_event_and_touches_nobody(
    tenant: Tenant, reach: Reach, session: ClientSession
) -> None:
    await configure(tenant, {})
    edge, _ = await reach(config=f"configmap/{EDGE}")
    client = Client(session, edge.listen)
    await tenant.deploy(Model("sober", replicas=1, least=1))
    await tenant.ready_pods("sober", 1)
    async with Load().running(client, "sober", clients=4, target="/?seconds=0.05") as load:
        for poison in POISONS.values():
            await told(edge, "configuration refused", tenant, poison)
        assert await eventually(lambda: warned(tenant))
        await told(edge, "configuration taken over", tenant, {"drain-timeout": "9s"})
    assert load.failures == []
    await tenant.remove("sober")


async def told(edge: EdgeProcess, event: str, tenant: Tenant, changes: str | dict[str, Any]) -> None:
    """Change the configuration, and wait until the log tells once more of `event`."""
    before = len(edge.logs(event))
    await configure(tenant, changes)

    async def more() -> bool | None:
        return len(edge.logs(event)) > before or None

    await eventually(more, 10)


async def configure(tenant: Tenant, changes: str | dict[str, Any]) -> None:
    """Write a text, or a configuration with changes, into the ConfigMap."""
    if isinstance(changes, dict):
        data = configuration("127.0.0.1:0", "127.0.0.1:0", {})
        changes = yaml.safe_dump(data | changes)
    await tenant.api.patch(tenant.path("configmaps", EDGE), {"data": {"config.yaml": changes}})


async def warned(tenant: Tenant) -> str | None:
    """Return what a Warning on the ConfigMap says."""
    for event in (await tenant.api.get(tenant.path("events")))["items"]:
        if event["involvedObject"]["kind"] == "ConfigMap" and event["reason"] == "ConfigurationRefused":
            return json.dumps(event["message"])
    return None
