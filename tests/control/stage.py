"""Where a fault of the control plane takes place: edges that are peers, in front of a stand-in for the API server, with
a network between them that can be cut, and clients that keep a ledger.

Models are Deployments NAME-1 with the label; an edge's token is its name, so that the API server knows who writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, TCPConnector

from activator.catalog.annotations import KNATIVE, LABEL, OWN
from activator.kube.permissions import NAME
from tests.journeys.edge import Edge
from tests.journeys.services import configuration
from tests.journeys.test_peers import Pod, Way
from tests.ledger import invariants
from tests.ledger.client import ask
from tests.ledger.rows import Asked, Ledgers, Sample, Scaled, Served
from tests.ledger.stage import QUIET, Terms, Verdict, sample_of
from tests.models.cluster import Cluster
from tests.models.kubelet import Life, deployment
from tests.models.pods import PodServers
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from tests.models.cluster import Event, Object

AUTOSCALING = {"tick": "100ms", "stable-window": "6s", "scale-to-zero-grace-period": "30m"}
TAKEOVER = 20.0
PATIENCE = 60.0  # for starts and ends, of several edges at a time
PEERS_PORT = 9091
NOTHING: Mapping[str, str] = MappingProxyType({})
GRACE = 1.0  # of pods: what runs on one that is told to end may end before


class Stage:
    """One fault's world. `seconds` is how long its load lasts, `random` what chance there is in it."""

    def __init__(self, home: Path, seconds: float, seed: str) -> None:
        self.seconds = seconds
        self.random = Random(seed)
        self.terms = Terms()
        self.cluster = Cluster()
        self.pods = PodServers(self.cluster)
        self.edges: list[Edge] = []
        self.to_api: dict[str, Way] = {}  # by the edge's name
        self.between = Way()
        self.sent: list[str] = []
        self.asked: list[Asked] = []
        self.scaled: list[Scaled] = []
        self.command = Pod.command  # of the edges; {home} = the directory of each
        self.files = {"secret": "a secret of the edges\n"}  # in it
        self._home = home
        self._bounds: dict[str, tuple[int, int]] = {}
        self._limits: dict[str, int] = {}
        self._before: dict[str, Sample] = {}
        self._session: ClientSession | None = None

    # -- what is there

    async def start(self, edges: int = 2) -> None:
        """Start the API server and the edges; return once they know each other and one leads."""
        await self.cluster.start()
        self.cluster.on_change.append(self._saw)
        self._session = ClientSession(connector=TCPConnector(limit=0))
        addresses = [f"127.0.0.1:{port}" for port in free_ports(edges)]
        for number, address in enumerate(addresses):
            await self._add(f"edge-{number}", address, addresses)
        await asyncio.gather(*(asyncio.to_thread(edge.daemon.start) for edge in self.edges))
        await self.together()
        await self.leader()
        for edge in self.edges:
            self._before[self.name(edge)] = await sample_of(edge)

    async def _add(self, name: str, address: str, addresses: list[str]) -> None:
        host = (
            f"127.{secrets.randbelow(200) + 50}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"  # nobody else's
        )
        await self.between.lead(int(address.rpartition(":")[2]), PEERS_PORT, host)
        (to_api,) = free_ports(1)
        self.to_api[name] = Way()
        await self.to_api[name].lead(to_api, self.cluster.port)
        home = self._home / name
        home.mkdir()
        for file, text in self.files.items():
            (home / file).write_text(text)
        daemon = Pod(home, f"http://127.0.0.1:{to_api}", name)
        daemon.variables, daemon.patience = {"POD_NAME": name}, PATIENCE
        daemon.command = tuple(part.replace("{home}", str(home)) for part in self.command)
        config = configuration(scaler="kubernetes", autoscaling=AUTOSCALING, process={})
        peers = {"listen": f"{host}:{PEERS_PORT}", "advertise": address, "addresses": addresses}
        config["peers"] = {**peers, "secret-file": str(home / "secret")}
        daemon.write(config)
        assert self._session is not None
        self.edges.append(Edge(daemon, self._session))

    async def model(self, name: str, scale: tuple[int, int] = (0, 0), *, limit: int = 0, idle: str = "30m") -> None:
        """Deploy a model, and wait until all edges know it and the replicas that it always has."""
        grace = {f"{OWN}scale-to-zero-grace-period": idle}
        self.put(name, scale, limit=limit, annotations=grace)
        for edge in self.edges:
            await self.soon(partial(self._knows, edge, name))
            await self.holds(edge, lambda found: found >= scale[0], f"{name}-1")

    @staticmethod
    async def _knows(edge: Edge, name: str) -> bool | None:
        services = (await edge.admin("/v1/services"))["services"]
        return any(service["name"] == name for service in services) or None

    def put(
        self, name: str, scale: tuple[int, int] = (0, 0), *, limit: int = 0, annotations: Mapping[str, str] = NOTHING
    ) -> None:
        """Write a model's Deployment. `scale` = least and most replicas; `annotations` come over those of the rest."""
        revision = f"{name}-1"
        item = deployment(revision)
        container = item["spec"]["template"]["spec"]["containers"][0]
        container["ports"] = [{"containerPort": self.pods.port}]
        container["readinessProbe"]["httpGet"]["port"] = self.pods.port
        known = self.cluster.objects.get("deployments", {}).get(revision)
        item["spec"]["replicas"] = known["spec"]["replicas"] if known else scale[0]
        written = {f"{OWN}hosts": f"{name}.localhost", f"{OWN}container-concurrency": str(limit)}
        written |= {f"{KNATIVE}min-scale": str(scale[0]), f"{KNATIVE}max-scale": str(scale[1]), **annotations}
        item["metadata"] |= {"labels": {LABEL: name}, "annotations": written}
        self._bounds[revision], self._limits[revision] = scale, limit
        if known is None:
            self.pods.script(revision, [Life(ending=GRACE)])
        self.cluster.put("deployments", item)

    def replicas(self, name: str) -> int:
        return int(self.cluster.get("deployments", f"{name}-1")["spec"]["replicas"])

    def events(self, name: str) -> list[str]:
        """Return the reasons of a Deployment's Events."""
        events = self.cluster.objects.get("events", {}).values()
        return [event["reason"] for event in events if event["regarding"]["name"] == f"{name}-1"]

    # -- edges

    @staticmethod
    def name(edge: Edge) -> str:
        return edge.daemon.home.name

    async def leader(self, *among: Edge) -> Edge:
        """Wait until an edge leads."""
        found: Edge = await self.soon(lambda: self._leader(among or tuple(self.edges)), TAKEOVER)
        return found

    async def _leader(self, among: tuple[Edge, ...]) -> Edge | None:
        for edge in among:
            if await edge.metric("activator_leader") == 1:
                return edge
        return None

    def others(self, edge: Edge) -> list[Edge]:
        return [each for each in self.edges if each is not edge]

    async def together(self) -> None:
        """Wait until all edges see all others."""
        for edge in self.edges:
            others = len(self.edges) - 1
            await self.holds(edge, lambda found, others=others: found == others, metric="activator_peers", state="live")
            await self.holds(edge, lambda found: found == 1, metric="activator_peers_agree")

    async def holds(
        self, edge: Edge, condition: Callable[..., bool], revision: str = "", metric: str = "", **labels: str
    ) -> None:
        """Wait until a metric is so: the ready replicas of a revision, if it is not named."""
        labels |= {"revision": revision, "state": "ready"} if revision else {}

        async def look() -> bool | None:
            return condition(await edge.metric(metric or "activator_replicas", **labels)) or None

        await self.soon(look)

    async def soon(self, look: Callable[[], Awaitable[Any]], within: float = 30.0) -> Any:
        """Wait until `look` returns anything but None; return that."""
        async with asyncio.timeout(within):
            while (found := await look()) is None:  # noqa: ASYNC110 - the world sends no event
                await asyncio.sleep(0.05)
        return found

    # -- clients

    async def ask(self, edge: Edge, service: str, target: str = "/", patience: float = 30.0) -> Asked:
        """Make one request and return its row."""
        row = Asked(f"{self.random.getrandbits(64):016x}", "GET", service, 0.0, patience, target=target)
        row.sent = time.monotonic()
        self.sent.append(row.id)
        self.asked.append(row)
        host, _, port = edge.daemon.listen.rpartition(":")
        await ask(row, (host, int(port)), target)
        return row

    def crowd(self, count: int, service: str, target: str = "/") -> list[asyncio.Task[Asked]]:
        """Make `count` requests at once, of all edges in turn."""
        edges = self.edges
        return [asyncio.create_task(self.ask(edges[n % len(edges)], service, target)) for n in range(count)]

    async def served(self, held: list[asyncio.Task[Asked]], within: float) -> None:
        """Wait for what is held; it must be answered soon."""
        begun = time.monotonic()
        await asyncio.gather(*held)
        took = time.monotonic() - begun
        self.terms.facts["seconds until all held were answered"] = round(took, 2)
        self.expect(took <= within, f"what was held was answered {took:.1f} s later, {within:g} are allowed")

    @asynccontextmanager
    async def load(self, *edges: Edge, service: str = "warm", clients: int = 3) -> AsyncIterator[None]:
        """Ask a service at some edges (all, if none is named) all the while, each client by one request at a time."""
        stopping = asyncio.Event()

        async def work(edge: Edge) -> None:
            while not stopping.is_set():
                await self.ask(edge, service, "/?delay=0.02")
                await asyncio.sleep(0.05)

        tasks = [asyncio.create_task(work(edge)) for edge in (edges or self.edges) for _ in range(clients)]
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)

    async def wait(self, share: float = 1.0) -> None:
        """Let a share of the fault's time pass."""
        await asyncio.sleep(self.seconds * share)

    def expect(self, condition: object, words: str) -> None:
        """Note what the fault was to show."""
        if not condition:
            self.terms.broken.append(words)

    # -- the verdict

    def _saw(self, event: Event) -> None:
        if event.plural != "deployments" or event.old is None or not self.cluster.caller:
            return
        before, now = (int(item["spec"].get("replicas", 1)) for item in (event.old, event.item))
        if before != now:
            at, name = time.monotonic(), event.item["metadata"]["name"]
            self.scaled.append(Scaled(at, name, now, before, self.cluster.caller, holder(self.cluster)))

    async def judge(self) -> Verdict:
        """Wait until all is quiet, end the edges, and judge the run."""
        left = [f"{self.name(edge)}: {each}" for edge in self.edges for each in await self._left(edge)]
        await self._end()
        ledgers = Ledgers(self.asked, [_row(each) for each in self.pods.served if each.id], [], self.scaled)
        found: dict[str, list[str] | None] = {
            "I1": invariants.one_outcome_each(self.sent, self.asked),
            "I2": invariants.no_duplicates(ledgers),
            "I3": invariants.answers_are_the_models_own(ledgers),
            "I4": invariants.within_concurrency(ledgers, self._limits),
            "I5": invariants.within_bounds(ledgers, self._bounds),
            "I6": invariants.only_the_leader_shrinks(ledgers),
            "I7": left,
            "I9": invariants.within_budget(self.asked, self.terms.budget),
            "own": self.terms.broken,
        }
        found |= dict.fromkeys(self.terms.waived)
        return Verdict(Counter(row.kind for row in self.asked), found, self.terms.facts)

    async def _left(self, edge: Edge) -> list[str]:
        before = self._before.get(self.name(edge))
        if before is None or not edge.daemon.running:
            return []
        deadline = time.monotonic() + QUIET
        while found := invariants.nothing_left(before, await sample_of(edge)):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        return found

    async def _end(self) -> None:
        for edge in self.edges:
            try:
                if edge.daemon.running:
                    await asyncio.to_thread(edge.daemon.stop)
            except AssertionError as error:
                self.terms.broken.append(f"{self.name(edge)} did not end well: {str(error)[-2000:]}")

    async def close(self) -> None:
        """Leave nothing running, whatever happened."""
        for edge in self.edges:
            for pid in edge.daemon.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, signal.SIGKILL)
            with suppress(AssertionError):
                await asyncio.to_thread(edge.daemon.ended)
        for way in (*self.to_api.values(), self.between):
            await way.close()
        await self.pods.stop()
        await self.cluster.stop()
        if self._session is not None:
            await self._session.close()


def holder(cluster: Cluster) -> str:
    """Return the name of the edge that holds the Lease, "" for nobody."""
    lease: Object = cluster.objects.get("leases", {}).get(NAME) or {"spec": {}}
    return str(lease["spec"].get("holderIdentity") or "").rpartition("_")[0]


def _row(each: Any) -> Served:
    answer = hashlib.sha256(each.pod.encode()).hexdigest()
    return Served(each.id, each.pod, 0, each.at, "", "end" if each.until else "", each.until, answer)
