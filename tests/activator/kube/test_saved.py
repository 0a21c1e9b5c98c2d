from __future__ import annotations

import base64
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio.client import Configuration

from activator.kube.client import Client
from activator.kube.errors import ApiError, UnreachableError
from activator.kube.saved import ConfigMap, DamagedError
from tests.models.cluster import NAMESPACE

if TYPE_CHECKING:
    from tests.models.cluster import Cluster


class Deaf(Client):
    """A client that does not hear the answers `to` its next writes."""

    to = 0

    async def _write(self, *call: Any) -> Any:
        answer = await super()._write(*call)
        if self.to:
            self.to -= 1
            raise UnreachableError("no answer in time")
        return answer


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


async def test_one_that_was_deleted_is_created_again(cluster: Cluster, client: Client) -> None:
    saved = ConfigMap(client, NAME)
    await saved.write({"n": 1})
    cluster.remove("configmaps", NAME)
    await saved.write({"n": 2})
    assert await ConfigMap(client, NAME).read() == {"n": 2}
    cluster.remove("configmaps", NAME)
    assert await saved.read() == {}


async def test_labels_of_others_keep_nobody_from_writing_and_stay(cluster: Cluster, client: Client) -> None:
    saved = ConfigMap(client, NAME)
    for number in range(3):
        await saved.write({"n": number})
        label = {f"others/{number}": "x"}
        cluster.change("configmaps", NAME, lambda item, label=label: item["metadata"]["labels"].update(label))  # type: ignore[misc]
    await saved.write({"n": 9})
    assert await saved.read() == {"n": 9}
    assert len(cluster.get("configmaps", NAME)["metadata"]["labels"]) == 4


@pytest.mark.parametrize("before", [0, 1])
async def test_a_write_whose_answer_was_lost_is_no_conflict(cluster: Cluster, client: Client, before: int) -> None:
    deaf = Deaf(Configuration(host=cluster.url), NAMESPACE)
    saved = ConfigMap(deaf, NAME)
    for number in range(before):
        await saved.write({"n": number})
    deaf.to = 1
    with pytest.raises(UnreachableError):
        await saved.write({"n": 2})
    await saved.write({"n": 3})
    await deaf.close()
    assert await ConfigMap(client, NAME).read() == {"n": 3}


@pytest.mark.parametrize("turns", [(False,), (True, False)])
async def test_who_may_not_write_any_more_when_it_comes_to_it_writes_nothing(
    cluster: Cluster, client: Client, turns: tuple[bool, ...]
) -> None:
    saved, may = ConfigMap(client, NAME), iter(turns)
    await saved.write({"n": 1})
    cluster.change("configmaps", NAME, lambda item: item["metadata"]["labels"].update(others="x"))
    assert not await saved.write({"n": 2}, lambda: next(may))
    assert await saved.read() == {"n": 1}


@pytest.mark.parametrize("text", ["", "!", base64.b64encode(b"plain").decode(), base64.b64encode(b"\x1f\x8b").decode()])
async def test_what_cannot_be_read_says_where_it_is(cluster: Cluster, client: Client, text: str) -> None:
    cluster.put("configmaps", {"metadata": {"name": NAME}, "binaryData": {"a.json.gz": text}})
    with pytest.raises(DamagedError, match=rf"configmap/{NAME}: a\.json\.gz cannot be read"):
        await ConfigMap(client, NAME).read()


async def test_hundreds_of_revisions_fit(cluster: Cluster, client: Client) -> None:
    chance = Random(1)
    rows = {f"model-{n}": {"values": [chance.random() * 5 for _ in range(150)]} for n in range(400)}
    saved = ConfigMap(client, NAME)
    await saved.write({"revisions.json": rows})
    size = sum(map(len, cluster.get("configmaps", NAME)["binaryData"].values()))
    assert size < 1 << 19
    restored = (await saved.read())["revisions.json"]["model-7"]["values"]
    assert restored == pytest.approx(rows["model-7"]["values"], abs=1e-6)
