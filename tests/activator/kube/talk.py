"""A client of the stand-in, objects to begin with, and waiting for what the world sends no event of."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import Configuration

from activator.kube.client import Client
from tests.models.cluster import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.models.cluster import Cluster


def client_of(cluster: Cluster, token: str = "secret") -> Client:
    configuration = Configuration(host=cluster.url)
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    return Client(configuration, NAMESPACE)


def kubeconfig(cluster: Cluster, directory: Path) -> Path:
    """Write a kubeconfig that leads to the stand-in, and return where it is."""
    parts = {
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
    }
    file = directory / "kubeconfig"
    file.write_text(json.dumps({"kind": "Config", "current-context": "x", **parts}))
    return file


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def until(holds: Callable[[], object], within: float = 60.0) -> None:
    """Wait until `holds`."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - the world sends no event
            await asyncio.sleep(0.005)
