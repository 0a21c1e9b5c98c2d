from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.activator.kube.talk import client_of
from tests.models.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.kube.client import Client


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    client = client_of(cluster)
    yield client
    await client.close()
