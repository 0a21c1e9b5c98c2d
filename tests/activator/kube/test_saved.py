from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from activator.kube.errors import ApiError
from activator.kube.saved import ConfigMap, DamagedError

if TYPE_CHECKING:
    from activator.kube.client import Client
    from tests.models.cluster import Cluster

NAME = "gpu-activator-state"
DOCUMENTS = {"a.json": {"x": [1, 2.5, None]}, "b.json": ["ü"]}


async def test_what_was_written_is_read_by_another(cluster: Cluster, client: Client) -> None:
    assert await ConfigMap(client, NAME).read() == {}
    await ConfigMap(client, NAME).write(DOCUMENTS)
    assert await ConfigMap(client, NAME).read() == DOCUMENTS


async def test_it_is_written_again_and_again_by_whoever_read_it(cluster: Cluster, client: Client) -> None:
    first = ConfigMap(client, NAME)
    await first.write({"n": 1})
    await first.write({"n": 2})
    second = ConfigMap(client, NAME)
    await second.read()
    await second.write({"n": 3})
    with pytest.raises(ApiError) as conflict:
        await first.write({"n": 4})
    assert conflict.value.status == 409
    assert await first.read() == {"n": 3}
    await first.write({"n": 4})
    assert cluster.get("configmaps", NAME)["metadata"]["labels"] == {"app.kubernetes.io/name": "gpu-activator"}


async def test_one_that_was_deleted_is_created_again_after_it_was_read(cluster: Cluster, client: Client) -> None:
    saved = ConfigMap(client, NAME)
    await saved.write({"n": 1})
    cluster.remove("configmaps", NAME)
    with pytest.raises(ApiError):
        await saved.write({"n": 2})
    assert await saved.read() == {}
    await saved.write({"n": 3})
    assert await ConfigMap(client, NAME).read() == {"n": 3}


@pytest.mark.parametrize("text", ["", "!", base64.b64encode(b"plain").decode(), base64.b64encode(b"\x1f\x8b").decode()])
async def test_what_cannot_be_read_says_where_it_is(cluster: Cluster, client: Client, text: str) -> None:
    cluster.put("configmaps", {"metadata": {"name": NAME}, "binaryData": {"a.json.gz": text}})
    with pytest.raises(DamagedError, match=rf"configmap/{NAME}: a\.json\.gz cannot be read"):
        await ConfigMap(client, NAME).read()


async def test_hundreds_of_revisions_fit(cluster: Cluster, client: Client) -> None:
    row: dict[str, Any] = {"collector": {"buckets": [[n, n * 0.137] for n in range(120)]}, "idle_age": 12.25}
    await ConfigMap(client, NAME).write({"revisions.json": {f"model-{n}": row for n in range(300)}})
    size = sum(map(len, cluster.get("configmaps", NAME)["binaryData"].values()))
    assert size < 1 << 20
