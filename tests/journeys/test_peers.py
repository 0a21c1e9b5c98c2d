"""Several edges in front of the same replicas: limits hold over all, and one that dies takes nothing else with it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from contextlib import asynccontextmanager
from itertools import pairwise
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, TCPConnector

from activator.peers.views import owner
from tests.activator.kube.talk import until
from tests.journeys.edge import Edge
from tests.journeys.services import configuration
from tests.journeys.test_kubernetes import KEYS, ClusterDaemon
from tests.models.cluster import Cluster
from tests.models.kubelet import deployment
from tests.models.pods import PodServers
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping
    from pathlib import Path

BUSY_SECONDS = 0.1
TAKEOVER = 20.0
IDLE_PERIOD = 10


class Stage:
    """Edges with a static list of peers, a stand-in cluster, and a client."""

    def __init__(self, edges: list[Edge], cluster: Cluster, pods: PodServers) -> None:
        self.edges = edges
        self.cluster = cluster
        self.pods = pods

    def replicas(self, name: str = "m") -> int:
        return int(self.cluster.get("deployments", name)["spec"]["replicas"])

    async def warm(self, count: int, name: str = "m") -> None:
        """Have so many replicas, known to all edges."""
        self.cluster.scale(name, count)
        for edge in self.edges:
            await eventually(edge, lambda found: found == count, "activator_replicas", revision=name, state="ready")

    async def joined(self) -> None:
        """Wait until all edges see all others."""
        for edge in self.edges:
            others = len(self.edges) - 1
            await eventually(edge, lambda found, others=others: found == others, "activator_peers", state="live")
            await eventually(edge, lambda found: found == 1, "activator_peers_agree")

    async def leader(self, *edges: Edge) -> Edge:
        async with asyncio.timeout(TAKEOVER):
            while True:
                for edge in edges or self.edges:
                    if await edge.metric("activator_leader") == 1:
                        return edge
                await asyncio.sleep(0.1)

    def running(self) -> dict[str, int]:
        """Return the most requests that each pod had at any time."""
        now = asyncio.get_running_loop().time()
        most: Counter[str] = Counter()
        for pod in {each.pod for each in self.pods.served}:
            spans = [(each.at, each.until or now) for each in self.pods.served if each.pod == pod]
            events = sorted([(at, 1) for at, _ in spans] + [(end, -1) for _, end in spans])
            running = 0
            for _, step in events:
                running += step
                most[pod] = max(most[pod], running)
        return most

    def gaps(self) -> list[float]:
        """Return for how long pods had nothing to do between two requests."""
        found = []
        for pod in {each.pod for each in self.pods.served}:
            spans = sorted((each.at, each.until or each.at) for each in self.pods.served if each.pod == pod)
            found += [later[0] - sooner[1] for sooner, later in pairwise(spans)]
        return found


async def eventually(edge: Edge, holds: Any, metric: str, **labels: str) -> None:
    async with asyncio.timeout(60):
        while not holds(await edge.metric(metric, **labels)):  # noqa: ASYNC110 - the edge sends no event
            await asyncio.sleep(0.05)


class Way:
    """A network between edges, of which any may be cut off: what is sent to it, or by it, is lost in silence."""

    def __init__(self) -> None:
        self.cut = False
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def lead(self, port: int, to: int, host: str = "127.0.0.1") -> None:
        """Have what connects to `port` be connected with `to` at `host`."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while self.cut:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.02)
            try:
                there_reader, there_writer = await asyncio.open_connection(host, to)
            except OSError:
                writer.transport.abort()
                return
            self._spawn(self._carry(reader, there_writer))
            self._spawn(self._carry(there_reader, writer))

        self._servers.append(await asyncio.start_server(connected, "127.0.0.1", port))

    async def close(self) -> None:
        self.cut = False
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                while self.cut:  # noqa: ASYNC110 - the simplest
                    await asyncio.sleep(0.02)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Pod(ClusterDaemon):
    """An edge in a pod, as far as its environment tells."""

    variables: Mapping[str, str] = MappingProxyType({})

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **self.variables}


@asynccontextmanager
async def on_stage(
    home: Path,
    edges: int = 2,
    *,
    way: Way | None = None,
    discovered: bool = False,
    addresses: list[str] | None = None,
    **keys: Any,
) -> AsyncIterator[Stage]:
    cluster = Cluster()
    await cluster.start()
    pods = PodServers(cluster)
    item = deployment("m")
    container = item["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"containerPort": pods.port}]
    container["readinessProbe"]["httpGet"]["port"] = pods.port
    cluster.put("deployments", item)
    described = [{"name": "m", "hosts": ["m.localhost"], "revisions": [{"name": "m"}]}]
    (port,) = free_ports(1)
    addresses = addresses or [f"127.0.0.1:{port}" for port in free_ports(edges)]
    daemons = []
    for number, address in enumerate(addresses):
        (home / f"edge-{number}").mkdir()
        daemon = Pod(home / f"edge-{number}", cluster.url)
        secret = daemon.home / "secret"
        secret.write_text("a secret of the edges\n")
        config = configuration(scaler="kubernetes", services=described, process={}, **keys)
        config["autoscaling"] = {**KEYS, "scale-to-zero-grace-period": "30m", **keys.get("autoscaling", {})}
        config["services"] = described
        config["peers"] = {"listen": address, "addresses": addresses, "secret-file": str(secret)}
        if way is not None:
            (real,) = free_ports(1)
            await way.lead(int(address.rpartition(":")[2]), real)
            config["peers"] |= {"listen": f"127.0.0.1:{real}", "advertise": address}
        if discovered:
            host = f"127.0.1.{number + 1}"
            daemon.variables = {"POD_NAME": f"edge-{number}", "POD_IP": host}
            config["peers"] = {"listen": f"{host}:{port}", "secret-file": str(secret)}
            cluster.put("pods", edge_pod(number, host))
        daemon.write(config)
        daemons.append(daemon)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        try:
            await asyncio.gather(*(asyncio.to_thread(daemon.start) for daemon in daemons))
            stage = Stage([Edge(daemon, session) for daemon in daemons], cluster, pods)
            await stage.joined()
            yield stage
        finally:
            await asyncio.gather(*(asyncio.to_thread(daemon.stop) for daemon in daemons))
            if way is not None:
                await way.close()
            await pods.stop()
            await cluster.stop()


def edge_pod(number: int, ip: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "gpu-activator", "pod-template-hash": f"hash{number}"}
    return {
        "kind": "Pod",
        "metadata": {"name": f"edge-{number}", "labels": labels},
        "spec": {"containers": [{"name": "edge", "image": "edge"}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }


ONE = {"container-concurrency": 1}
FIXED = {"min-scale": 4, "max-scale": 4}


async def test_two_edges_never_send_a_replica_more_than_it_may_have_and_leave_none_idle(tmp_path: Path) -> None:
    async with on_stage(tmp_path, requests=ONE, autoscaling=FIXED) as stage:
        await stage.warm(4)
        answers = await asyncio.gather(
            *(stage.edges[number % 2].request("m", f"/?delay={BUSY_SECONDS}") for number in range(80)),
        )
        assert {answer.status for answer in answers} == {200}
        assert stage.running() == {pod["metadata"]["name"]: 1 for pod in stage.pods.pods("m")}
        assert min(Counter(each.pod for each in stage.pods.served).values()) >= 10
        assert median(stage.gaps()) < BUSY_SECONDS  # what stops the machine, does so now and then


async def test_an_edge_that_is_killed_takes_only_its_own_connections_with_it(tmp_path: Path) -> None:
    async with on_stage(tmp_path, 3, requests=ONE, autoscaling=FIXED) as stage:
        await stage.warm(4)
        for _ in range(2):
            dead, *others = stage.edges
            dying = [asyncio.create_task(dead.request("m", "/?delay=0.3")) for _ in range(6)]
            living = [asyncio.create_task(others[n % len(others)].request("m", "/?delay=0.1")) for n in range(30)]
            await until(lambda: len(stage.pods.served) >= 4)
            dead.daemon.signal(signal.SIGKILL)
            answers = await asyncio.gather(*living)
            await asyncio.gather(*dying, return_exceptions=True)
            assert {answer.status for answer in answers} == {200}
            stage.edges = others
        assert stage.replicas() == 4


async def test_the_last_replica_goes_only_when_no_edge_has_a_request(tmp_path: Path) -> None:
    async with on_stage(tmp_path, autoscaling={"scale-to-zero-grace-period": "300ms"}) as stage:
        leader = await stage.leader()
        (follower,) = [edge for edge in stage.edges if edge is not leader]
        answer = await follower.request("m", "/?stream=8")
        assert (answer.status, answer.cut, stage.pods.cut) == (200, False, [])
        await until(lambda: stage.replicas() == 0)
        assert (await follower.request("m")).status == 200


async def test_a_killed_leader_is_followed_and_nothing_scales_down(tmp_path: Path) -> None:
    async with on_stage(tmp_path, requests=ONE, autoscaling={"scale-to-zero-grace-period": "30m"}) as stage:
        leader = await stage.leader()
        (other,) = [edge for edge in stage.edges if edge is not leader]
        running = asyncio.create_task(other.request("m", "/?delay=3"))
        await until(lambda: stage.pods.served)
        scale = stage.replicas()
        leader.daemon.signal(signal.SIGKILL)
        answers = await asyncio.gather(*(other.request("m", "/?delay=0.05") for _ in range(5)))
        assert {answer.status for answer in (*answers, await running)} == {200}
        assert await stage.leader(other) is other
        assert stage.replicas() >= scale
        writes = [write.body["spec"]["replicas"] for write in stage.cluster.asked("patch", "deployments/scale")]
        assert writes == sorted(writes), json.dumps(writes)


async def test_edges_that_are_all_restarted_go_on_with_the_idle_clocks(tmp_path: Path) -> None:
    async with on_stage(tmp_path, autoscaling={"scale-to-zero-grace-period": f"{IDLE_PERIOD}s"}) as stage:
        leader = await stage.leader()
        (follower,) = [edge for edge in stage.edges if edge is not leader]
        assert (await follower.request("m")).status == 200
        await asyncio.sleep(IDLE_PERIOD / 2)
        daemons = [edge.daemon for edge in stage.edges]
        await asyncio.gather(*(asyncio.to_thread(daemon.stop) for daemon in daemons))
        await asyncio.gather(*(asyncio.to_thread(daemon.start) for daemon in daemons))
        started = asyncio.get_running_loop().time()
        await until(lambda: stage.replicas() == 0, 2 * IDLE_PERIOD)
        assert asyncio.get_running_loop().time() - started < IDLE_PERIOD - 2
        assert (await follower.request("m")).status == 200


async def test_edges_that_are_restarted_one_after_the_other_go_on_with_the_idle_clocks(tmp_path: Path) -> None:
    async with on_stage(tmp_path, autoscaling={"scale-to-zero-grace-period": f"{IDLE_PERIOD}s"}) as stage:
        assert (await stage.edges[0].request("m")).status == 200
        await asyncio.sleep(IDLE_PERIOD / 2)
        for edge in stage.edges:
            await asyncio.to_thread(edge.daemon.stop)
            await asyncio.to_thread(edge.daemon.start)
        begun = asyncio.get_running_loop().time()
        await until(lambda: stage.replicas() == 0, 2 * IDLE_PERIOD)
        assert asyncio.get_running_loop().time() - begun < IDLE_PERIOD - 0.5


async def test_edges_that_cannot_see_each_other_exceed_no_limit_and_lose_nothing(tmp_path: Path) -> None:
    way = Way()
    async with on_stage(tmp_path, way=way, requests=ONE, autoscaling=FIXED) as stage:
        await stage.warm(4)
        way.cut = True
        for edge in stage.edges:
            await eventually(edge, lambda found: found == 1, "activator_peers", state="lost")
        requests = [asyncio.create_task(stage.edges[n % 2].request("m", f"/?delay=0.1&id={n}")) for n in range(40)]
        await until(lambda: len(stage.pods.served) == 20)
        await asyncio.sleep(0.3)
        assert len(stage.pods.served) == 20  # who owns the revision serves its own clients, and the other one waits
        way.cut = False
        answers = await asyncio.gather(*requests)
        assert {answer.status for answer in answers} == {200}
        assert set(stage.running().values()) == {1}


async def test_an_edge_that_is_stopped_and_goes_on_exceeds_no_limit(tmp_path: Path) -> None:
    async with on_stage(tmp_path, 3, requests=ONE, autoscaling=FIXED) as stage:
        await stage.warm(4)
        stopped, *others = stage.edges
        stopped.daemon.signal(signal.SIGSTOP)
        for edge in others:
            await eventually(edge, lambda found: found == 1, "activator_peers", state="lost")
        requests = [asyncio.create_task(others[n % 2].request("m", "/?delay=0.1")) for n in range(20)]
        await asyncio.sleep(0.5)
        stopped.daemon.signal(signal.SIGCONT)
        requests += [asyncio.create_task(edge.request("m", "/?delay=0.1")) for edge in stage.edges * 3]
        answers = await asyncio.gather(*requests)
        assert {answer.status for answer in answers} == {200}
        assert set(stage.running().values()) == {1}
        await stage.joined()
        assert stage.replicas() == 4


async def test_edges_find_each_other_by_the_pods_of_their_deployment(tmp_path: Path) -> None:
    async with on_stage(tmp_path, discovered=True, requests=ONE) as stage:
        owners = [await edge.metric("activator_owner", revision="m") for edge in stage.edges]
        assert owners == [1, 1]
        answers = await asyncio.gather(*(edge.request("m", "/?delay=0.05") for edge in stage.edges * 5))
        assert {answer.status for answer in answers} == {200}
        assert set(stage.running().values()) == {1}


def owned_by_who_is_dialled() -> list[str]:
    """Return two addresses, of which the higher one, which waits for the other to dial, owns the model."""
    while True:
        addresses = sorted(f"127.0.0.1:{port}" for port in free_ports(2))
        if owner("m", frozenset(addresses)) == addresses[1]:
            return addresses


async def test_an_owner_that_starts_anew_grants_nothing_before_it_knows_what_others_run(tmp_path: Path) -> None:
    async with on_stage(tmp_path, addresses=owned_by_who_is_dialled(), requests=ONE, autoscaling=FIXED) as stage:
        await stage.warm(4)
        other, anew = stage.edges
        await asyncio.to_thread(anew.daemon.stop)
        running = [asyncio.create_task(other.request("m", "/?delay=4")) for _ in range(4)]
        await until(lambda: len(stage.pods.served) == 4)
        await asyncio.to_thread(anew.daemon.start)
        answers = await asyncio.gather(*running, *(anew.request("m") for _ in range(4)))
        assert {answer.status for answer in answers} == {200}
        assert set(stage.running().values()) == {1}
