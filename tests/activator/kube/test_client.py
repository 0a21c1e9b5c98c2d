from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from kubernetes_asyncio.client import Configuration

from activator.kube.client import Address, Call, Client, connect, follow_token
from activator.kube.errors import ApiError, UnreachableError
from activator.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS
from tests.activator.kube.talk import config_map
from tests.models.cluster import NAMESPACE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.models.cluster import Cluster

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: tenant}}]
clusters: [{name: c, cluster: {server: %s}}]
users: [{name: u, user: {token: abc}}]
"""


async def test_an_object_is_created_read_and_changed(cluster: Cluster, client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("state", a="1"))
    await client.patch(Address(CONFIG_MAPS, "state"), {"data": {"b": "2"}})
    found = await client.get(CONFIG_MAPS, "state")
    assert found["data"] == {"a": "1", "b": "2"}
    assert [item["metadata"]["name"] for item in (await client.list(CONFIG_MAPS))["items"]] == ["state"]


async def test_a_write_of_an_old_version_is_a_conflict(cluster: Cluster, client: Client) -> None:
    old = await client.create(CONFIG_MAPS, config_map("state"))
    await client.replace(CONFIG_MAPS, "state", {**old, "data": {"by": "another"}})
    with pytest.raises(ApiError) as caught:
        await client.replace(CONFIG_MAPS, "state", {**old, "data": {"by": "us"}})
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")


async def test_a_refusal_says_what_the_api_server_said(cluster: Cluster, client: Client) -> None:
    cluster.faults.denied.add(("list", "nodes"))
    with pytest.raises(ApiError, match=r"403 Forbidden: nodes is forbidden: cannot list"):
        await client.list(NODES)


async def test_a_refusal_tells_how_long_to_wait(cluster: Cluster, client: Client) -> None:
    cluster.faults.fail = lambda verb, resource: 429
    cluster.faults.retry_after = 7
    with pytest.raises(ApiError) as caught:
        await client.list(PODS)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(("said", "seconds"), [("²", 0.0), ("soon", 0.0), ("-1", 0.0), ("9" * 400, 3600.0)])
def test_a_time_to_wait_that_is_none_is_passed_over_and_a_long_one_is_cut(said: str, seconds: float) -> None:
    assert ApiError.of_response(429, {"Retry-After": said}, b"").retry_after == seconds


async def test_an_api_server_that_is_not_there_is_unreachable(cluster: Cluster, client: Client) -> None:
    await client.ping()
    await cluster.stop()
    with pytest.raises(UnreachableError):
        await client.ping()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        await client.get(PODS, "a")


async def test_an_api_server_that_does_not_answer_in_time_is_unreachable(cluster: Cluster, client: Client) -> None:
    cluster.faults.delay = 5
    with pytest.raises(UnreachableError, match="GET /api/v1/namespaces/models/pods/a in time"):
        await client.get(PODS, "a", within=0.05)


async def test_an_answer_that_is_no_json_is_unreachable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = Client(Configuration(host=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), "x")
        with pytest.raises(UnreachableError, match="no JSON"):
            await client.list(PODS)
        await client.close()


async def test_every_call_is_counted_as_rbac_sees_it(cluster: Cluster, client: Client) -> None:
    cluster.put("deployments", {"metadata": {"name": "m"}, "spec": {"replicas": 0}})
    await client.patch(Address(DEPLOYMENTS, "m", "scale"), {"spec": {"replicas": 1}})
    with pytest.raises(ApiError):
        await client.get(PODS, "nobody")
    async with client.watch(PODS, {"resourceVersion": str(cluster.version)}, 60):
        pass
    assert client.calls == {
        Call("patch", "apps", "deployments/scale", 200): 1,
        Call("get", "", "pods", 404): 1,
        Call("watch", "", "pods", 200): 1,
    }


async def test_writes_carry_our_name_as_field_manager(cluster: Cluster, client: Client) -> None:
    cluster.put("deployments", {"metadata": {"name": "m"}, "spec": {"replicas": 0}})
    await client.patch(Address(DEPLOYMENTS, "m", "scale"), {"spec": {"replicas": 1}})
    (entry,) = cluster.get("deployments", "m")["metadata"]["managedFields"]
    assert (entry["manager"], entry["subresource"]) == ("gpu-activator", "scale")


async def test_calls_one_after_the_other_use_one_connection(cluster: Cluster, client: Client) -> None:
    ports = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername"))
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = Client(Configuration(host=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), "x")
        await client.ping()
        await client.list(PODS)
        await client.ping()
        await client.close()
    assert len(ports) == 1


async def test_the_log_of_a_container_is_read(cluster: Cluster, client: Client) -> None:
    cluster.put("pods", {"metadata": {"name": "m-1"}, "spec": {}})
    cluster.logs["m-1"] = "out of memory\n"
    assert await client.log("m-1", {"container": "model", "tailLines": "5"}) == "out of memory\n"
    assert cluster.asked("get", "pods/log")[0].status == 200


async def test_a_token_is_read_before_each_call_and_kept_while_it_cannot_be_read(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    configuration = Configuration(host=cluster.url)
    configuration.api_key["BearerToken"] = "Bearer first"
    follow_token(configuration, file)
    client = Client(configuration, NAMESPACE)
    callers: list[str] = []
    cluster.on_change.append(lambda _: callers.append(cluster.caller))
    await client.create(CONFIG_MAPS, config_map("a"))
    for number, token in enumerate((b"second\n", b"third", b"", b"\xff")):
        file.write_bytes(token)
        await client.create(CONFIG_MAPS, config_map(f"b{number}"))
    file.unlink()
    await client.create(CONFIG_MAPS, config_map("c"))
    await client.close()
    assert callers == ["first", "second", "third", "third", "third", "third"]


async def test_credentials_that_cannot_be_had_are_an_api_server_that_cannot_be_reached(cluster: Cluster) -> None:
    def refresh(configuration: Configuration) -> None:
        raise PermissionError("token")

    configuration = Configuration(host=cluster.url)
    configuration.api_key["BearerToken"] = "Bearer first"
    configuration.refresh_api_key_hook = refresh
    client = Client(configuration, NAMESPACE)
    with pytest.raises(UnreachableError, match="token"):
        await client.list(PODS)
    await client.close()


NAMES = {"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}
NO_CLUSTER = {**NAMES, "clusters": [{"name": "c", "cluster": {}}], "users": [{"name": "u", "user": {}}]}
NO_USER = {
    **NAMES,
    "clusters": [{"name": "c", "cluster": {"server": "https://a"}}],
    "users": [{"name": "u", "user": {"auth-provider": 1}}],
}


@pytest.mark.parametrize("text", [": [", "[1]", "x", "\0", json.dumps(NO_CLUSTER), json.dumps(NO_USER)])
async def test_what_is_no_kubeconfig_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(OSError, match=r"kubeconfig is no kubeconfig: .+\. Try kubectl --kubeconfig with it\."):
        await connect(kubeconfig=str(file))


async def test_a_kubeconfig_that_does_not_exist_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"/none does not exist. Set KUBECONFIG to a file that does"):
        await connect(kubeconfig=f"{tmp_path}/none")


async def test_a_kubeconfig_without_a_context_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("{current-context: a, contexts: [], clusters: [], users: []}")
    with pytest.raises(OSError, match=rf"{file}: Invalid kube-config file. .*list. Set KUBECONFIG, or run in a pod"):
        await connect(kubeconfig=str(file))


async def test_a_kubeconfig_says_where_and_as_whom(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG % cluster.url)
    client = await connect(kubeconfig=str(file))
    assert client.namespace == "tenant"
    await client.list(PODS)
    await client.close()
    named = await connect("other", str(file))
    assert named.namespace == "other"


async def test_without_a_cluster_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Set KUBECONFIG"):
        await connect(kubeconfig=str(tmp_path / "missing"))


async def test_calls_that_get_no_answer_keep_no_other_call_from_being_made(cluster: Cluster, client: Client) -> None:
    cluster.put("configmaps", config_map("a"))
    cluster.faults.held = held = asyncio.Event()
    hanging = [asyncio.create_task(client.get(CONFIG_MAPS, "a")) for _ in range(150)]
    await asyncio.sleep(1.0)
    cluster.faults.held = None
    try:
        assert await client.get(CONFIG_MAPS, "a", within=2.0)
    finally:
        held.set()
        await asyncio.gather(*hanging)
