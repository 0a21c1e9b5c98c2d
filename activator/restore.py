"""Before the edge is taken away: every model gets at least one replica, so that whoever then asks it finds it awake.

Without the edge nobody wakes what sleeps. Nothing is scaled down, and one Deployment that fails keeps none of the
others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from activator.catalog.deployments import is_ours
from activator.catalog.file import build
from activator.catalog.kserve.adopt import InferenceServices
from activator.catalog.merge import Deployments
from activator.kube.client import Address
from activator.kube.errors import NOT_FOUND, ApiError, UnreachableError
from activator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, name_of

if TYPE_CHECKING:
    from activator.kube.client import Client
    from activator.kube.resources import Object
    from activator.settings.schema import Settings


class Restored(NamedTuple):
    """What became of a Deployment: its replicas `before` and `after`, or the `problem`."""

    deployment: str
    before: int
    after: int
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.deployment}: {self.problem}"
        done = f"{self.before} -> {self.after}" if self.after != self.before else f"has {self.before}"
        return f"{self.deployment}: {done}"


async def restore(client: Client, settings: Settings) -> list[Restored]:
    """Scale every Deployment that is a revision, by its label, its InferenceService or in `settings`, to at least
    max(min-scale, 1). ApiError, UnreachableError when Deployments cannot be listed."""
    found = await client.list(DEPLOYMENTS)
    items: dict[str, Object] = {name_of(item): item for item in found.get("items") or []}
    services, lost = await _services(client) if settings.kserve else ([], [])
    adopted = InferenceServices().adopt(services, items.values(), settings.manifests)
    plans = build(Deployments().merge(settings, [*items.values(), *adopted.deployments]).settings).plans
    ours = {name for name, item in items.items() if is_ours(item)} | adopted.owners.keys()
    woken = [
        await _restored(client, name, items.get(name), plans[name].bounds.min_scale if name in plans else 0)
        for name in sorted(ours | plans.keys())
    ]
    return [*woken, *lost]


async def _services(client: Client) -> tuple[list[Object], list[Restored]]:
    """Return the InferenceServices, none where there is no such kind, and what is to be told if they may not be read:
    the others can be woken all the same."""
    try:
        found = await client.list(INFERENCE_SERVICES)
    except ApiError as error:
        known = error.status == NOT_FOUND
        return [], [] if known else [Restored(INFERENCE_SERVICES.plural, 0, 0, f"none of theirs is woken: {error}")]
    return found.get("items") or [], []


async def _restored(client: Client, name: str, item: Object | None, min_scale: int) -> Restored:
    if item is None:
        return Restored(name, 0, 0, "there is no such Deployment")
    written = (item.get("spec") or {}).get("replicas")
    before = 1 if written is None else int(written)
    after = max(before, min_scale, 1)
    if after == before:
        return Restored(name, before, after)
    try:
        await client.patch(Address(DEPLOYMENTS, name, "scale"), {"spec": {"replicas": after}})
    except (ApiError, UnreachableError) as error:
        return Restored(name, before, before, str(error))
    return Restored(name, before, after)
