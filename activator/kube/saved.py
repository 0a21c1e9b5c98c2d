"""A ConfigMap as the file that a new leader reads: JSON documents by name, compressed, since one ends at 1 MiB."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import uuid
from typing import TYPE_CHECKING, Any

from activator.kube.errors import CONFLICT, NOT_FOUND, ApiError
from activator.kube.resources import CONFIG_MAPS, annotations_of, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.kube.client import Client
    from activator.kube.resources import Object

SUFFIX = ".gz"
DECIMALS = 6  # as averages have
WRITER = "gpu-activator/writer"
KEPT = ("name", "namespace", "labels", "annotations")
LABELS = {"app.kubernetes.io/name": "gpu-activator"}


class DamagedError(Exception):
    """What is in the ConfigMap cannot be read; the message says what and why."""


class ConfigMap:
    """The ConfigMap `name`. It is written at the version that was last read or written here: 409 when another edge has
    written it since. All calls raise ApiError and UnreachableError."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client
        self._identity = str(uuid.uuid4())
        self._metadata: Object | None = None

    async def read(self) -> dict[str, Any]:
        """Return the documents by name, {} when there is no such ConfigMap. DamagedError."""
        found = await self._find()
        self._metadata = found.get("metadata")
        data = found.get("binaryData") or {}
        return {key.removesuffix(SUFFIX): self._unpacked(key, text) for key, text in data.items()}

    async def write(self, documents: Mapping[str, Any], may: Callable[[], bool] = lambda: True) -> bool:
        """Replace all documents: also if somebody has labelled it meanwhile or deleted it, or if it was written by us
        before, and only the answer was lost. Tell whether that was done: `may` is asked before each call that writes,
        since packing and reading take their time."""
        data = await asyncio.to_thread(_all_packed, documents)
        try:
            return may() and await self._put(data)
        except ApiError as error:
            if error.status not in {CONFLICT, NOT_FOUND} or not await self._is_ours():
                raise
            return may() and await self._put(data)

    async def _is_ours(self) -> bool:
        """Tell whether what is there now was written here; so is nothing. The next write is for what is there now."""
        found = await self._find()
        if found and annotations_of(found).get(WRITER) != self._identity:
            return False
        self._metadata = found.get("metadata")
        return True

    async def _find(self) -> Object:
        try:
            return await self._client.get(CONFIG_MAPS, self.name)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            return {}

    async def _put(self, data: Mapping[str, str]) -> bool:
        known = self._metadata or {"name": self.name, "namespace": self._client.namespace, "labels": LABELS}
        annotations = {**(known.get("annotations") or {}), WRITER: self._identity}
        body: Object = {
            "apiVersion": CONFIG_MAPS.version,
            "kind": "ConfigMap",
            "metadata": {**known, "annotations": annotations},
            "binaryData": data,
        }
        if self._metadata is None:
            written = await self._client.create(CONFIG_MAPS, body)
        else:
            written = await self._client.replace(CONFIG_MAPS, self.name, body)
        metadata = written["metadata"]
        self._metadata = {key: metadata[key] for key in KEPT if key in metadata}
        self._metadata["resourceVersion"] = version_of(written)
        return True

    def _unpacked(self, key: str, text: object) -> Any:
        try:
            return json.loads(gzip.decompress(base64.b64decode(str(text), validate=True)))
        except (ValueError, OSError, EOFError, RecursionError) as error:
            raise DamagedError(f"configmap/{self.name}: {key} cannot be read ({error})") from error


def _all_packed(documents: Mapping[str, Any]) -> dict[str, str]:
    return {f"{name}{SUFFIX}": _packed(document) for name, document in documents.items()}


def _packed(document: Any) -> str:
    text = json.dumps(_rounded(document), separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _rounded(value: Any) -> Any:
    """Return a document with its numbers to the millionth: all of their digits would be most of it, and it ends at
    1 MiB."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
