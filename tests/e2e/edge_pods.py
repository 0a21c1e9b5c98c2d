"""Edges as they are shipped: the pods of the base's Deployment, with its ConfigMap, ServiceAccount and probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.edges import configuration
from tests.e2e.tenant import eventually, is_ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.edges import Edge
    from tests.e2e.tenant import Tenant

LISTEN, ADMIN, PEERS = 8080, 9090, 9091
SELECTOR = "app.kubernetes.io/name"


@dataclass
class EdgePod:
    """A pod of the Deployment."""

    name: str
    listen: str
    admin: str
    tenant: Tenant

    async def kill(self) -> None:
        """Delete it without grace: its processes get SIGKILL."""
        await self.tenant.api.delete(self.tenant.path("pods", self.name), gracePeriodSeconds=0)

    async def restart(self) -> None:
        """See Edge: the Deployment sees to it."""
        await self.kill()


class PodFleet:
    """The Deployment of the base."""

    def __init__(self, tenant: Tenant, deployment: str) -> None:
        self._tenant = tenant
        self._deployment = deployment

    async def start(self, count: int, changes: Mapping[str, Any]) -> list[Edge]:
        peers = {"listen": f"0.0.0.0:{PEERS}"}
        data = configuration(f"0.0.0.0:{LISTEN}", f"0.0.0.0:{ADMIN}", {"peers": peers, **changes})
        await self._tenant.api.patch(
            self._tenant.path("configmaps", self._deployment), {"data": {"config.yaml": yaml.safe_dump(data)}}
        )
        await self._tenant.scale(self._deployment, count)

        async def look() -> list[Edge] | None:
            pods = [pod for pod in await self._tenant.pods(self._deployment, SELECTOR) if is_ready(pod)]
            edges: list[Edge] = []
            for pod in pods:
                address = pod["status"]["podIP"]
                name = pod["metadata"]["name"]
                edges.append(EdgePod(name, f"{address}:{LISTEN}", f"{address}:{ADMIN}", self._tenant))
            return edges if len(edges) == count else None

        return list(await eventually(look))

    async def stop(self) -> None:
        await self._tenant.scale(self._deployment, 0)

        async def gone() -> bool | None:
            return not await self._tenant.pods(self._deployment, SELECTOR) or None

        await eventually(gone)
