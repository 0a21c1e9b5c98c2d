"""A ConfigMap as the file that a new leader reads: JSON documents by name, compressed, since one ends at 1 MiB."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

from activator.kube.errors import NOT_FOUND, ApiError
from activator.kube.resources import CONFIG_MAPS, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.kube.client import Client
    from activator.kube.resources import Object

SUFFIX = ".gz"
LABELS = {"app.kubernetes.io/name": "gpu-activator"}


class DamagedError(Exception):
    """What is in the ConfigMap cannot be read; the message says what and why."""


class ConfigMap:
    """The ConfigMap `name`. It is written at the version that was last read or written here: 409 when somebody else has
    written it since. All calls raise ApiError and UnreachableError."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client
        self._metadata: Object | None = None

    async def read(self) -> dict[str, Any]:
        """Return the documents by name, {} when there is no such ConfigMap. DamagedError."""
        try:
            found = await self._client.get(CONFIG_MAPS, self.name)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            self._metadata = None
            return {}
        self._metadata = found["metadata"]
        data = found.get("binaryData") or {}
        return {key.removesuffix(SUFFIX): self._unpacked(key, text) for key, text in data.items()}

    async def write(self, documents: Mapping[str, Any]) -> None:
        """Replace all documents."""
        body: Object = {
            "apiVersion": CONFIG_MAPS.version,
            "kind": "ConfigMap",
            "metadata": self._metadata or {"name": self.name, "namespace": self._client.namespace, "labels": LABELS},
            "binaryData": await asyncio.to_thread(_all_packed, documents),
        }
        if self._metadata is None:
            written = await self._client.create(CONFIG_MAPS, body)
        else:
            written = await self._client.replace(CONFIG_MAPS, self.name, body)
        metadata = written["metadata"]
        self._metadata = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
        self._metadata["resourceVersion"] = version_of(written)

    def _unpacked(self, key: str, text: object) -> Any:
        try:
            return json.loads(gzip.decompress(base64.b64decode(str(text), validate=True)))
        except (ValueError, OSError, EOFError, RecursionError) as error:
            raise DamagedError(f"configmap/{self.name}: {key} cannot be read ({error})") from error


def _all_packed(documents: Mapping[str, Any]) -> dict[str, str]:
    return {f"{name}{SUFFIX}": _packed(document) for name, document in documents.items()}


def _packed(document: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)).decode()
