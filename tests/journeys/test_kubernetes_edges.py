"""Edges in a namespace: models by label, a configuration in a ConfigMap, one of several that leads, and who is told."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from aiohttp import ClientSession, TCPConnector

from activator.catalog.annotations import KNATIVE, LABEL, OWN
from activator.kube.permissions import NAME, NODES_ROLE, ROLE, STATE
from activator.origin import KEY, VARIABLE
from tests.activator.kube.talk import until
from tests.journeys.edge import Edge
from tests.journeys.test_kubernetes import KEYS, ClusterDaemon
from tests.models.cluster import Cluster
from tests.models.kubelet import Life, deployment
from tests.models.pods import PodServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.journeys.edge import Answer

T = TypeVar("T")
TAKEOVER = 20.0


class Namespace:
    """A stand-in cluster with models by label and a configuration; edges come and go."""

    def __init__(self, home: Path, cluster: Cluster, pods: PodServers, session: ClientSession) -> None:
        self.cluster = cluster
        self.pods = pods
        self._home = home
        self._session = session
        self._daemons: list[ClusterDaemon] = []

    def model(self, name: str, service: str = "", /, **ours: str) -> None:
        """Deploy a model, or change its annotations."""
        item = deployment(name)
        container = item["spec"]["template"]["spec"]["containers"][0]
        container["ports"] = [{"containerPort": self.pods.port}]
        container["readinessProbe"]["httpGet"]["port"] = self.pods.port
        known = self.cluster.objects.get("deployments", {}).get(name)
        item["spec"]["replicas"] = known["spec"]["replicas"] if known else 0
        annotations = {f"{OWN}hosts": f"{service or name}.localhost"}
        annotations |= {key if "/" in key else OWN + key.replace("_", "-"): value for key, value in ours.items()}
        item["metadata"] |= {"labels": {LABEL: service or name}, "annotations": annotations}
        self.cluster.put("deployments", item)

    def configure(self, **changes: Any) -> None:
        """Write the ConfigMap."""
        config = {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "scaler": "kubernetes",
            "drain-timeout": "5s",
            "autoscaling": {**KEYS, "scale-to-zero-grace-period": "30m"},
            "services": [],
            **changes,
        }
        text = yaml.safe_dump(config)
        self.cluster.put("configmaps", {"metadata": {"name": NAME}, "data": {KEY: text}})

    async def edge(self, *arguments: str, environment: dict[str, str] | None = None) -> Edge:
        """Start an edge."""
        home = self._home / f"edge-{len(self._daemons)}"
        home.mkdir()
        daemon = Environed(home, self.cluster.url, environment or {})
        daemon.arguments = arguments if environment else (*arguments, "--config", f"configmap/{NAME}")
        self._daemons.append(daemon)
        await asyncio.to_thread(daemon.start)
        return Edge(daemon, self._session)

    async def readyz(self, edge: Edge) -> int:
        async with self._session.get(f"http://{edge.daemon.admin}/readyz") as response:
            return response.status

    def replicas(self, name: str) -> int:
        return int(self.cluster.get("deployments", name)["spec"]["replicas"])

    def events(self, name: str) -> list[str]:
        events = self.cluster.objects.get("events", {}).values()
        return [event["reason"] for event in events if event["regarding"]["name"] == name]

    async def close(self) -> None:
        for daemon in self._daemons:
            await asyncio.to_thread(daemon.stop)


class Environed(ClusterDaemon):
    """One with variables of its own."""

    def __init__(self, home: Path, url: str, variables: dict[str, str]) -> None:
        super().__init__(home, url)
        self._variables = variables

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **self._variables}


@asynccontextmanager
async def a_namespace(home: Path) -> AsyncIterator[Namespace]:
    cluster = Cluster()
    await cluster.start()
    pods = PodServers(cluster)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        namespace = Namespace(home, cluster, pods, session)
        namespace.configure()
        try:
            yield namespace
        finally:
            await namespace.close()
            await pods.stop()
            await cluster.stop()


async def leads(edge: Edge) -> bool:
    return await edge.metric("activator_leader") == 1


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], within: float = 60.0) -> None:
    """Ask again and again until what is answered `holds`."""
    async with asyncio.timeout(within):
        while not holds(await ask()):  # noqa: ASYNC110 - the edge sends no event
            await asyncio.sleep(0.05)


async def test_models_come_change_and_go_by_their_label(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        edge = await namespace.edge()

        async def answer() -> Answer:
            return await edge.request("m")

        assert (await answer()).reason == "unknown_host"
        namespace.model("m")
        await eventually(answer, lambda found: found.status == 200)
        namespace.model("next", "m", percent="100")
        namespace.model("m", percent="0")
        await eventually(answer, lambda found: found.body.startswith(b"next"))
        namespace.cluster.remove("deployments", "next")
        namespace.cluster.remove("deployments", "m")
        await eventually(answer, lambda found: found.reason == "unknown_host")


async def test_an_edge_of_several_processes_wakes_serves_and_puts_to_sleep(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.configure(workers=2, autoscaling={**KEYS, "scale-to-zero-grace-period": "300ms"})
        namespace.model("m", container_concurrency="1")
        edge = await namespace.edge()
        assert [answer.status for answer in await edge.requests("m", *["/?delay=0.2"] * 4)] == [200] * 4
        await until(lambda: namespace.replicas("m") == 0, within=20)
        assert (await edge.request("m")).status == 200


async def test_a_mistake_is_told_and_touches_nothing(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m")
        namespace.model("n")
        edge = await namespace.edge()
        assert (await edge.request("m")).status == 200
        namespace.model("m", **{f"{KNATIVE}maxScale": "none"})
        await until(lambda: namespace.events("m")[-1:] == ["ConfigurationRefused"])
        assert [(await edge.request(name)).status for name in ("m", "n")] == [200, 200]
        assert namespace.events("n") == ["ScaledUp"]


async def test_a_changed_config_map_is_in_force_soon_and_a_bad_one_never(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m")
        edge = await namespace.edge()
        namespace.configure(**{"request-ids": "perhaps"})
        await until(lambda: namespace.events(NAME) == ["ConfigurationRefused"])
        (event,) = namespace.cluster.objects["events"].values()
        assert (event["regarding"]["kind"], event["regarding"]["apiVersion"]) == ("ConfigMap", "v1")
        assert "X-Request-Id" not in (await edge.request("m")).headers
        namespace.configure(autoscaling={**KEYS, "max-scale": 7})
        await until(lambda: edge.daemon.logs("configuration taken over"))
        assert (await edge.request("m")).status == 200


async def test_an_edge_that_starts_without_the_api_server_is_ready_once_it_is_there(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        config = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "scaler": "kubernetes", "services": []}
        await namespace.cluster.stop()
        edge = await namespace.edge(environment={VARIABLE: json.dumps(config)})
        assert (await namespace.readyz(edge), await leads(edge)) == (503, False)
        await namespace.cluster.start()
        await eventually(lambda: namespace.readyz(edge), lambda status: status == 200)
        await eventually(lambda: leads(edge), bool)


async def test_an_edge_whose_configuration_is_in_the_cluster_waits_for_it(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m")
        await namespace.cluster.stop()
        starting = asyncio.create_task(namespace.edge())
        await asyncio.sleep(3)
        assert not starting.done()
        await namespace.cluster.start()
        assert (await (await starting).request("m")).status == 200


async def test_a_configuration_can_be_in_the_environment(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m")
        config = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "scaler": "kubernetes", "services": []}
        edge = await namespace.edge(environment={VARIABLE: json.dumps(config)})
        assert (await edge.request("m")).status == 200


async def test_when_the_leader_is_killed_nothing_is_scaled_down_and_another_goes_on(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m", scale_to_zero_grace_period="25s")
        namespace.model("n")
        first = await namespace.edge()
        assert (await first.request("m")).status == 200
        await until(lambda: STATE in namespace.cluster.objects["configmaps"], within=15)
        second = await namespace.edge()
        assert (await leads(first), await leads(second)) == (True, False)
        first.daemon.signal(signal.SIGKILL)
        await asyncio.to_thread(first.daemon.ended)
        assert (await second.request("n")).status == 200, "who does not lead wakes, too"

        async def led_meanwhile() -> bool:
            assert namespace.replicas("m") == namespace.replicas("n") == 1
            return await leads(second)

        await eventually(led_meanwhile, bool, within=TAKEOVER)
        (restored,) = second.daemon.logs("leading")
        assert restored["seconds_ago"] < 30
        await until(lambda: namespace.replicas("m") == 0, within=25)
        assert namespace.replicas("n") == 1


async def test_a_leader_that_is_asked_to_end_hands_over_at_once(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m")
        first, second = await namespace.edge(), await namespace.edge()
        await asyncio.to_thread(first.daemon.stop)
        await eventually(lambda: leads(second), bool)


async def test_the_idle_clock_goes_on_through_a_restart_of_all_edges(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m", scale_to_zero_grace_period="14s")
        edge = await namespace.edge()
        assert (await edge.request("m")).status == 200
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(5)
        await asyncio.to_thread(edge.daemon.stop)
        await asyncio.to_thread(edge.daemon.start)
        again = asyncio.get_running_loop().time()
        await until(lambda: namespace.replicas("m") == 0, within=25)
        assert asyncio.get_running_loop().time() - ended > 13
        assert asyncio.get_running_loop().time() - again < 11, "a clock that began anew would go on for 14 s"


async def test_all_that_the_role_grants_is_used(tmp_path: Path) -> None:
    async with a_namespace(tmp_path) as namespace:
        namespace.model("m", container_concurrency="1", max_scale_down_rate="10")
        namespace.model("bad", start_attempts="1")
        namespace.pods.script("bad", [Life(failure=" ")])  # its words are in its log, not in its status
        conflicts = [409]
        namespace.cluster.faults.fail = lambda verb, what: (
            conflicts.pop() if conflicts and (verb, what) == ("patch", "deployments/scale") else None
        )
        edge = await namespace.edge()
        assert (await edge.request("bad")).status == 503
        long = asyncio.create_task(edge.request("m", "/?stream=9"))
        await until(lambda: namespace.pods.served)
        await edge.requests("m", *["/?delay=2"] * 3)
        await until(lambda: namespace.replicas("m") == 1, within=20)
        assert (await long).status == 200
        await until(lambda: namespace.cluster.asked("update", "configmaps"), within=25)
        used = {(call.verb, call.resource) for call in namespace.cluster.calls}
        granted = {(verb, grant.path) for grant in (*ROLE, *NODES_ROLE) for verb in grant.verbs}
        assert used == granted
