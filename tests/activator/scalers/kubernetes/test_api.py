from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from activator.kube.errors import ApiError, UnreachableError
from activator.kube.permissions import check
from activator.scalers.kubernetes.api import ClientApi, Count, count_of
from activator.scalers.kubernetes.pods import COST
from tests.activator.kube.talk import client_of
from tests.models.cluster import Cluster
from tests.models.kubelet import deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    cluster.put("deployments", deployment("m", 2))
    cluster.put("pods", {"metadata": {"name": "m-1"}, "spec": {}})
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[ClientApi]:
    client = client_of(cluster)
    client.guard = check
    yield ClientApi(client)
    await client.close()


async def test_a_number_is_read_with_its_version_and_owners(cluster: Cluster, api: ClientApi) -> None:
    cluster.scale("m", 3, "kubectl")
    item = cluster.get("deployments", "m")
    assert await api.count("m") == Count(3, item["metadata"]["resourceVersion"], ("kubectl",)) == count_of(item)


def test_a_number_that_is_not_written_is_one() -> None:
    assert count_of({"metadata": {"resourceVersion": "7"}, "spec": {}}) == Count(1, "7")


async def test_a_number_is_written_by_the_scale_subresource_alone(cluster: Cluster, api: ClientApi) -> None:
    before = await api.count("m")
    written = await api.scale("m", 0, before.version, 5.0)
    assert written.replicas == 0
    (call,) = cluster.asked("patch", "deployments/scale")
    assert call.body == {"metadata": {"resourceVersion": before.version}, "spec": {"replicas": 0}}
    assert (await api.count("m")).version == written.version
    assert cluster.get("deployments", "m")["spec"]["template"] == deployment("m")["spec"]["template"]


async def test_a_number_of_an_old_version_is_not_written(cluster: Cluster, api: ClientApi) -> None:
    before = await api.count("m")
    cluster.scale("m", 5)
    with pytest.raises(ApiError) as caught:
        await api.scale("m", 0, before.version, 5.0)
    assert (caught.value.status, cluster.get("deployments", "m")["spec"]["replicas"]) == (409, 5)


async def test_a_cost_is_set_and_taken_away_and_nothing_else_is_touched(cluster: Cluster, api: ClientApi) -> None:
    cluster.change("pods", "m-1", lambda pod: pod["metadata"].update(annotations={"a": "b"}))
    await api.set_cost("m-1", -1000)
    assert cluster.get("pods", "m-1")["metadata"]["annotations"] == {"a": "b", COST: "-1000"}
    await api.set_cost("m-1", None)
    assert cluster.get("pods", "m-1")["metadata"]["annotations"] == {"a": "b"}


async def test_the_output_is_that_of_the_run_before_or_of_this_one_if_there_was_none(
    cluster: Cluster, api: ClientApi
) -> None:
    cluster.logs["m-1"] = "out of memory"
    assert await api.last_output("m-1", "model") == "out of memory"
    answers = iter([400, None])
    cluster.faults.fail = lambda verb, resource: next(answers)
    assert await api.last_output("m-1", "model") == "out of memory"


async def test_an_output_that_may_not_be_read_is_an_error(cluster: Cluster, api: ClientApi) -> None:
    cluster.faults.denied.add(("get", "pods/log"))
    with pytest.raises(ApiError, match="403"):
        await api.last_output("m-1", "model")


async def test_an_api_server_that_is_away_is_unreachable(cluster: Cluster, api: ClientApi) -> None:
    await cluster.stop()
    with pytest.raises(UnreachableError):
        await api.count("m")
