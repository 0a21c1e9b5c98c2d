"""What this scaler asks of the API server: four calls, so that a test can be the other side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from activator.kube.client import Address, Client
from activator.kube.errors import ApiError
from activator.kube.resources import DEPLOYMENTS, PODS, version_of
from activator.scalers.kubernetes.owners import owners
from activator.scalers.kubernetes.pods import COST

if TYPE_CHECKING:
    from activator.kube.resources import Object

BAD_REQUEST = 400
LINES = 20
WORDS_WITHIN = 2.0


class Count(NamedTuple):
    """A Deployment's spec.replicas at a resourceVersion; `owners` are the field managers that set it, if known."""

    replicas: int
    version: str
    owners: tuple[str, ...] = ()


class Api(Protocol):
    """The API server. All calls raise ApiError and UnreachableError."""

    async def count(self, deployment: str) -> Count:
        """Read how many replicas a Deployment is to have."""

    async def scale(self, deployment: str, replicas: int, version: str, within: float) -> Count:
        """Write it by the scale subresource; 409 when `version` is no longer the present one. It is given up after
        `within` seconds."""

    async def set_cost(self, pod: str, cost: int | None) -> None:
        """Set a pod's deletion cost, None = take it away."""

    async def last_output(self, pod: str, container: str) -> str:
        """Return the end of what a container wrote before it ended."""


def count_of(deployment: Object) -> Count:
    """Return what a Deployment's object says; replicas that are not written are 1."""
    replicas = (deployment.get("spec") or {}).get("replicas")
    return Count(1 if replicas is None else int(replicas), version_of(deployment), owners(deployment))


class ClientApi:
    """An Api over a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def count(self, deployment: str) -> Count:
        """See Api."""
        return count_of(await self._client.get(DEPLOYMENTS, deployment))

    async def scale(self, deployment: str, replicas: int, version: str, within: float) -> Count:
        """See Api."""
        patch = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        written = await self._client.patch(Address(DEPLOYMENTS, deployment, "scale"), patch, within)
        return Count(int((written.get("spec") or {}).get("replicas") or 0), version_of(written))

    async def set_cost(self, pod: str, cost: int | None) -> None:
        """See Api."""
        value = None if cost is None else str(cost)
        await self._client.patch(Address(PODS, pod), {"metadata": {"annotations": {COST: value}}})

    async def last_output(self, pod: str, container: str) -> str:
        """See Api."""
        query = {"container": container, "tailLines": str(LINES)}
        try:
            return await self._client.log(pod, {**query, "previous": "true"}, within=WORDS_WITHIN)
        except ApiError as error:
            if error.status != BAD_REQUEST:
                raise
        return await self._client.log(pod, query, within=WORDS_WITHIN)  # it has not been restarted yet
