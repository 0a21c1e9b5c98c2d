"""A namespace of the suite's own, with the models that a test asks for: what a tenant has, and nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.e2e.api import Api, ApiError, Object
from tests.e2e.manifests import Model, deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.e2e.options import Options

PATIENCE = 60.0
NOT_FOUND = 404


class Tenant:
    """The namespace, as its admin sees it."""

    def __init__(self, api: Api, options: Options) -> None:
        self.api = api
        self.options = options
        self.namespace = f"e2e-{uuid4().hex[:8]}"

    async def open(self) -> None:
        await self.api.post("/api/v1/namespaces", {"metadata": {"name": self.namespace}})

    async def close(self) -> None:
        """Delete it with all that is in it, and wait for that."""
        path = f"/api/v1/namespaces/{self.namespace}"
        await self.api.delete(path)
        await eventually(lambda: self._gone(path), 2 * PATIENCE)

    def path(self, plural: str, name: str = "", sub: str = "") -> str:
        """Return where the namespace has its Deployments, Pods and so on."""
        version = _VERSIONS.get(plural, "/api/v1")
        return "/".join(part for part in (f"{version}/namespaces/{self.namespace}/{plural}", name, sub) if part)

    async def deploy(self, model: Model) -> None:
        await self.api.post(self.path("deployments"), deployment(model, self.options))

    async def remove(self, model: str) -> None:
        await self.api.delete(self.path("deployments", model), propagationPolicy="Foreground")

    async def deployment(self, name: str) -> Object:
        return dict(await self.api.get(self.path("deployments", name)))

    async def replicas(self, model: str) -> int:
        """Return how many replicas are ordered."""
        return int((await self.deployment(model))["spec"]["replicas"])

    async def scale(self, model: str, replicas: int) -> None:
        await self.api.patch(self.path("deployments", model, "scale"), {"spec": {"replicas": replicas}})

    async def pods(self, name: str, label: str = "app") -> list[Object]:
        """Return the pods of a model or of what else has this label, those that are going included."""
        found = await self.api.get(f"{self.path('pods')}?labelSelector={label}%3D{name}")
        return list(found["items"])

    async def ready_pods(self, model: str, count: int) -> list[str]:
        """Wait until exactly `count` pods are there and ready; return their names."""

        async def look() -> list[str] | None:
            pods = await self.pods(model)
            names = [pod["metadata"]["name"] for pod in pods if is_ready(pod)]
            return names if len(names) == len(pods) == count else None

        return list(await eventually(look))

    async def at_zero(self, model: str) -> None:
        """Wait until nothing of a model is ordered or left."""

        async def look() -> bool | None:
            return (not await self.replicas(model) and not await self.pods(model)) or None

        await eventually(look)

    async def history(self, model: str, seen: list[tuple[float, int]]) -> None:
        """Until cancelled, add (when, replicas) to `seen`: as it is, and whenever another number is ordered."""
        found = await self.deployment(model)
        seen.append((time.time(), found["spec"]["replicas"]))
        selector = f"{self.path('deployments')}?fieldSelector=metadata.name%3D{model}"
        events: AsyncIterator[Object] = self.api.watch(selector, found["metadata"]["resourceVersion"])
        async for event in events:
            replicas = event["object"].get("spec", {}).get("replicas")
            if replicas != seen[-1][1]:
                seen.append((time.time(), replicas))

    async def token(self, account: str) -> str:
        """Return a token of a ServiceAccount."""
        asked = {"spec": {"expirationSeconds": 3600}}
        answer = await self.api.post(self.path("serviceaccounts", account, "token"), asked)
        return str(answer["status"]["token"])

    async def _gone(self, path: str) -> bool | None:
        try:
            await self.api.get(path)
        except ApiError as error:
            return error.status == NOT_FOUND or None
        return None


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    going = "deletionTimestamp" in pod["metadata"]
    return not going and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def eventually(look: Callable[[], Awaitable[Any]], patience: float = PATIENCE) -> Any:
    """Wait until `look` returns anything but None; return that."""
    async with asyncio.timeout(patience):
        while (found := await look()) is None:  # noqa: ASYNC110 - what is looked at sends no event
            await asyncio.sleep(0.1)
    return found


_VERSIONS = {
    "deployments": "/apis/apps/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
