"""The API server as one user sees it: paths and JSON, with nothing in between that could retry."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import load_kube_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MERGE = "application/merge-patch+json"
PATIENCE = 30.0
Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


class Api:
    """One user's calls. Close it, or use it as a context."""

    def __init__(self, configuration: Configuration, token: str | None = None) -> None:
        self.server = str(configuration.host)
        self.authority: str | None = configuration.ssl_ca_cert
        self._client = ApiClient(configuration)
        bearer = f"Bearer {token}" if token else configuration.api_key.get("BearerToken")
        self._headers = {"Authorization": bearer} if bearer else {}

    @classmethod
    async def of_kubeconfig(cls) -> Self:
        """The user of KUBECONFIG."""
        configuration = Configuration()
        await load_kube_config(client_configuration=configuration)
        return cls(configuration)

    def as_account(self, token: str) -> Api:
        """The same server, as the ServiceAccount whose token this is."""
        configuration = Configuration(host=self.server)
        configuration.ssl_ca_cert = self.authority
        return Api(configuration, token)

    @property
    def cluster(self) -> dict[str, str]:
        """What a kubeconfig says of the server."""
        return {"server": self.server, **({"certificate-authority": self.authority} if self.authority else {})}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str) -> Any:
        return await self.call("GET", path)

    async def post(self, path: str, body: Object) -> Any:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: Object) -> Any:
        """A merge patch."""
        return await self.call("PATCH", path, body, MERGE)

    async def delete(self, path: str, **options: Any) -> Any:
        return await self.call("DELETE", path, options or None)

    async def call(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Any:
        """Make one call. ApiError unless it is answered 2xx."""
        headers = {**self._headers, "Content-Type": kind}
        async with asyncio.timeout(PATIENCE):
            response = await self._client.request(
                method, self.server + path, headers=headers, body=body, _preload_content=False
            )
            async with response:
                text = await response.text()
        if response.status >= 300:
            raise ApiError(response.status, text)
        return json.loads(text)

    async def status(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> int:
        """Make one call and return its status."""
        try:
            await self.call(method, path, body, kind)
        except ApiError as error:
            return error.status
        return 200

    async def watch(self, path: str, version: str) -> AsyncIterator[Object]:
        """Yield the events after `version`, until the server ends the watch."""
        url = f"{self.server}{path}{'&' if '?' in path else '?'}watch=1&resourceVersion={version}"
        response = await self._client.request("GET", url, headers=self._headers.copy(), _preload_content=False)
        async with response:
            async for line in response.content:
                yield json.loads(line)
