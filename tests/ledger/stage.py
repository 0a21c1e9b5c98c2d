"""Where a fault takes place: a real edge, its models, its clients, and the verdict when all is quiet again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession

from tests.journeys.daemon import Daemon
from tests.journeys.edge import Edge
from tests.journeys.services import MODELS, configuration
from tests.ledger import invariants
from tests.ledger.client import ask
from tests.ledger.invariants import Budget
from tests.ledger.keeping import Visitor, talk
from tests.ledger.rows import Asked, Ledgers, Sample, Scaled, Started, descriptors, read, resident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.journeys.services import Keys
    from tests.ledger.client import Wire

WITNESS = [sys.executable, "-S", "-E", str(MODELS / "witness.py")]
QUIET = 10.0


@dataclass
class Verdict:
    """What a run has shown: the requests by kind, and by invariant the sentences of its violations (None = it does not
    apply to this fault)."""

    kinds: Counter[str]
    found: dict[str, list[str] | None]
    facts: dict[str, object]

    @property
    def good(self) -> bool:
        return not any(self.found.values())


@dataclass
class Terms:
    """What a fault may cost: the budget of I9, invariants that cannot hold, and what the fault itself expects."""

    budget: Budget = field(default_factory=Budget)
    waived: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    crashes: bool = False  # the edge is killed in it
    kills: bool = False  # one of its workers is
    anonymous: bool = False  # requests without an id are sent, too


async def sample_of(edge: Edge) -> Sample:
    """Measure an edge."""
    services = (await edge.admin("/v1/services"))["services"]
    revisions = [revision for service in services for revision in service["revisions"]]
    running = sum(replica["in_flight"] for revision in revisions for replica in revision["replicas"])
    pid = edge.daemon.pid
    return Sample(sum(each["held"] for each in revisions), running, descriptors(pid), resident(pid))


class Stage:
    """One fault's world. `seconds` is how long its load lasts, `random` what chance there is in it."""

    def __init__(self, home: Path, seconds: float, seed: str) -> None:
        self.seconds = seconds
        self.random = Random(seed)
        self.terms = Terms()
        self.daemon = Daemon(home)
        self.sent: list[str] = []
        self.asked: list[Asked] = []
        self.connections = 0  # that were kept
        self._file = home / "ledger.log"
        self._bounds: dict[str, tuple[int, int]] = {}
        self._limits: dict[str, int] = {}
        self._before: Sample | None = None
        self._session: ClientSession | None = None

    @property
    def edge(self) -> Edge:
        """The edge, as journeys look at it."""
        assert self._session is not None
        return Edge(self.daemon, self._session)

    def edge_of(self, daemon: Daemon) -> Edge:
        """Return another edge than the stage's own."""
        assert self._session is not None
        return Edge(daemon, self._session)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.daemon.listen.rpartition(":")
        return host, int(port)

    def model(self, name: str, scale: tuple[int, int] = (0, 0), env: dict[str, str] | None = None, **keys: Any) -> Keys:
        """Return a service NAME with one revision NAME-1 of the witness. `scale` = least and most replicas."""
        return {
            "name": name,
            "hosts": keys.pop("hosts", [f"{name}.localhost"]),
            "autoscaling": {"min-scale": scale[0], "max-scale": scale[1], **keys.pop("autoscaling", {})},
            "revisions": keys.pop("revisions", None) or [self.revision(f"{name}-1", env)],
            **keys,
        }

    def revision(self, name: str, env: dict[str, str] | None = None) -> Keys:
        return {"name": name, "command": WITNESS, "env": {"LEDGER": str(self._file), **(env or {})}}

    async def start(self, *services: Keys, **changes: Any) -> None:
        """Start the edge with these services, and wait for the replicas that they always have."""
        self._session = ClientSession()
        self.daemon.write(self.settings(*services, **changes))
        await asyncio.to_thread(self.daemon.start)
        await self.warm()
        self._before = await self.sample()

    def settings(self, *services: Keys, **changes: Any) -> Keys:
        """Return a configuration, and remember what it promises."""
        for service in services:
            scale = service["autoscaling"]
            for revision in service["revisions"]:
                self._bounds[revision["name"]] = (scale["min-scale"], scale["max-scale"])
                self._limits[revision["name"]] = service.get("requests", {}).get("container-concurrency", 0)
        return configuration(*services, **changes)

    async def warm(self) -> None:
        """Wait for min-scale, and ask enough that first times are over."""
        for service in self.daemon.config["services"]:
            if least := service["autoscaling"]["min-scale"]:
                with suppress(TimeoutError):
                    await self.edge.ready(service["name"], least)
                if "requests" not in service:
                    await asyncio.gather(*(self.ask(service["name"], f"/?size={4000 * n}") for n in range(30)))

    async def ask(
        self,
        service: str,
        target: str = "/",
        body: bytes | None = None,
        patience: float = 20.0,
        on_open: Callable[[Wire], None] | None = None,
    ) -> Asked:
        """Make one request (POST when there is a body) and return its row."""
        row = self._row("GET" if body is None else "POST", service, target, patience)
        await ask(row, self.address, target, body or b"", on_open)
        return row

    async def talk(self, service: str, seconds: float, patience: float = 20.0) -> Asked:
        """Open a WebSocket for so long and return its row."""
        row = self._row("GET", service, "/?stream=websocket", patience)
        await talk(row, self.address, seconds)
        return row

    def _row(self, method: str, service: str, target: str, patience: float) -> Asked:
        id_ = f"{self.random.getrandbits(64):016x}"
        row = Asked(id_, method, service, time.monotonic(), patience, target=target)
        self.sent.append(row.id)
        self.asked.append(row)
        return row

    async def crowd(self, count: int, service: str, target: str = "/", **options: Any) -> list[Asked]:
        """Make `count` equal requests at once."""
        return list(await asyncio.gather(*(self.ask(service, target, **options) for _ in range(count))))

    @asynccontextmanager
    async def load(self, service: str = "warm", rate: float = 60, streams: int = 5) -> AsyncIterator[None]:
        """Ask a service all the while, at `rate` per second whatever comes back, with some streams beside; then wait
        for all that was asked."""
        asking: set[asyncio.Task[Any]] = set()
        generator = asyncio.create_task(self._generate(service, rate, streams, asking))
        try:
            yield
        finally:
            generator.cancel()
            await asyncio.gather(generator, *asking, return_exceptions=True)

    @asynccontextmanager
    async def keeping(self, service: str = "warm", visitors: int = 10, sockets: int = 5) -> AsyncIterator[None]:
        """Have clients beside that keep their connections, and WebSockets of a second each, one after the other."""
        over = asyncio.Event()
        crowd = [asyncio.create_task(self._visit(service, over)) for _ in range(visitors)]
        crowd += [asyncio.create_task(self._talk_on(service, over)) for _ in range(sockets)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*crowd)

    async def _visit(self, service: str, over: asyncio.Event) -> None:
        visitor = Visitor(self.address)
        while not over.is_set():
            target = f"/?size={self.random.randrange(20_000)}"
            body = self.random.randbytes(self.random.randint(10, 20_000)) if self.random.random() < 0.4 else None
            row = self._row("GET" if body is None else "POST", service, target, 20.0)
            await visitor.ask(row, target, body or b"")
            await asyncio.sleep(self.random.uniform(0, 0.2))
        visitor.close()
        self.connections += visitor.connections

    async def _talk_on(self, service: str, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.talk(service, 1.0)
            await asyncio.sleep(0.05)

    async def _generate(self, service: str, rate: float, streams: int, asking: set[asyncio.Task[Any]]) -> None:
        begun, count = time.monotonic(), 0
        while True:
            while count < (time.monotonic() - begun) * rate:
                count += 1
                streaming = streams and count % max(round(rate / streams), 1) == 0
                target = "/?stream=1" if streaming else f"/?size={self.random.randrange(50_000)}"
                posting = not streaming and self.random.random() < 0.4
                body = self.random.randbytes(self.random.randint(1000, 50_000)) if posting else None
                asking.add(asyncio.create_task(self.ask(service, target, body)))
            await asyncio.sleep(1 / rate)

    async def wait(self, share: float = 1.0) -> None:
        """Let a share of the fault's time pass."""
        await asyncio.sleep(self.seconds * share)

    def expect(self, condition: object, words: str) -> None:
        """Note what the fault was to show."""
        if not condition:
            self.terms.broken.append(words)

    def allow(self, kind: str, most: float = 1e9) -> None:
        """Widen the budget: a status or an outcome, at most so many, or a share of all requests (below 1)."""
        self.terms.budget.allow(kind, most)

    def waive(self, *invariants: str) -> None:
        """Take out invariants that this fault cannot keep."""
        self.terms.waived.update(invariants)

    def pods(self, revision: str) -> list[Started]:
        """Return the living processes of a revision, the oldest first."""
        return [started for started in self.ledgers().started if started.revision == revision and started.alive]

    def starts(self, revision: str) -> list[Started]:
        """Return all starts of a revision so far."""
        return [started for started in self.ledgers().started if started.revision == revision]

    def scaled(self, revision: str) -> list[Scaled]:
        """Return what the edge has asked for, of the present run."""
        return [scaled for scaled in self._scaled() if scaled.revision == revision]

    def ledgers(self) -> Ledgers:
        """Return all ledgers as they are now."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        served, started = read(lines)
        return Ledgers(self.asked, served, started, self._scaled())

    async def reload(self, *services: Keys, **changes: Any) -> None:
        """Serve by other services from now on."""
        await self.edge.reload(self.settings(*services, **changes))

    async def rebase(self) -> None:
        """Measure I7 from now on: what came before has filled caches of the allocator that stay full."""
        self._before = await self.sample()

    async def sample(self) -> Sample:
        """Measure the edge."""
        return await sample_of(self.edge)

    async def judge(self) -> Verdict:
        """Wait until all is quiet, end the edge, and judge the run."""
        found: dict[str, list[str] | None] = {}
        found["I7"] = await self._left() if self.daemon.running else None
        ledgers = await asyncio.to_thread(self._end)
        if self.terms.anonymous:
            ledgers.served = [row for row in ledgers.served if row.id != "-"]
        found["I1"] = invariants.one_outcome_each(self.sent, self.asked)
        found["I2"] = invariants.no_duplicates(ledgers, killed=self.terms.kills)
        found["I3"] = invariants.answers_are_the_models_own(ledgers)
        found["I4"] = invariants.within_concurrency(ledgers, self._limits)
        found["I5"] = invariants.within_bounds(ledgers, self._bounds)
        found["I8"] = invariants.no_false_wholes(ledgers)
        found["I9"] = invariants.within_budget(self.asked, self.terms.budget)
        found["own"] = self.terms.broken
        for name in self.terms.waived:
            found[name] = None
        return Verdict(Counter(row.kind for row in self.asked), dict(sorted(found.items())), self.terms.facts)

    async def close(self) -> None:
        """Leave nothing running, whatever happened."""
        if self._session is not None:
            await self._session.close()
        for pid in self.daemon.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
        with suppress(AssertionError):
            await asyncio.to_thread(self.daemon.ended)

    async def _left(self) -> list[str]:
        """Return what is left: what is not gone within QUIET is there to stay."""
        assert self._before is not None
        deadline = time.monotonic() + QUIET
        while found := invariants.nothing_left(self._before, await self.sample()):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        return found

    def _end(self) -> Ledgers:
        """End the edge as an operator would; what it says must tell of no defect."""
        ledgers = self.ledgers()
        try:
            if self.terms.crashes:
                self.daemon.check_words()
            self.daemon.stop()
        except AssertionError as error:
            self.terms.broken.append(f"the edge did not end well: {str(error)[-2000:]}")
        return ledgers

    def _scaled(self) -> list[Scaled]:
        apart = time.time() - time.monotonic()
        found = []
        for output in sorted(self.daemon.home.glob("edge-*.log")):
            for line in output.read_text().splitlines():
                if '"event": "scale"' in line and line.endswith("}"):
                    told = json.loads(line)
                    at = datetime.fromisoformat(told["timestamp"]).timestamp() - apart
                    found.append(Scaled(at, told["revision"], told["replicas"], told["before"]))
        return found
