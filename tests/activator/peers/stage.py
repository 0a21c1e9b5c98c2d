"""An owner and its claimers in virtual time: everything is real but the connections to replicas and the way between."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, cast

import msgspec

from activator.peers import messages as m
from activator.peers.account import Account
from activator.peers.claimer import Claimer
from activator.peers.owner import Owner
from activator.peers.reporter import Reporter
from activator.terms import Terms
from router.admission import Admission
from router.body import Body
from router.counters import Counters
from router.errors import EdgeError
from router.exchange import ClientGone, Exchange
from router.queues import Queues
from router.table import Limits, Revision, Service, Share, Table
from tests.router.fakes import Client, Connections, Wakes, replicas, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.ports import Clock

NAME = "a-1"
TURNS = 12
_encode = msgspec.msgpack.Encoder().encode
_to_owner: msgspec.msgpack.Decoder[m.ToOwner] = msgspec.msgpack.Decoder(m.ToOwner)
_to_claimer: msgspec.msgpack.Decoder[m.ToClaimer] = msgspec.msgpack.Decoder(m.ToClaimer)


class Way:
    """Messages of one direction, as bytes, in order; they arrive when `deliver` is called. After `cut` none does."""

    def __init__(self, hear: Callable[..., None], sent: Callable[[m.Message], None] = lambda _: None) -> None:
        self._hear = hear
        self._on_sent = sent
        self._under_way: deque[bytes] = deque()
        self.sent: Counter[str] = Counter()

    def send(self, message: m.Message) -> None:
        self.sent[type(message).__name__] += 1
        self._on_sent(message)
        self._under_way.append(_encode(message))

    def take_back(self, message: m.Message) -> bool:
        """Let what is under way not arrive: nothing has left the sender until it is delivered."""
        taken = (data := _encode(message)) in self._under_way
        if taken:
            self._under_way.remove(data)
        return taken

    def deliver(self) -> bool:
        """Let all arrive together that is under way; tell whether there was anything."""
        arriving = tuple(self._under_way)
        self._under_way.clear()
        if arriving:
            self._hear(*arriving)
        return bool(arriving)

    def deliver_one(self) -> None:
        """Let the next message arrive, if there is one."""
        if self._under_way:
            self._hear(self._under_way.popleft())

    def cut(self) -> None:
        self._under_way.clear()
        self._hear = lambda *_: None


class Caller:
    """A request and its client at one claimer. `state` tells how far it has come; `replica` is where it ran."""

    def __init__(self, name: str, node: Node, exchange: Exchange) -> None:
        self.name = name
        self.node = node
        self.exchange = exchange
        self.state = "waiting"
        self.replica = ""
        self.error: EdgeError | None = None

    def __repr__(self) -> str:
        return f"{self.name} ({self.state})"

    def finish(self) -> None:
        assert self.state == "running"
        self.exchange.wake()

    def leave(self) -> None:
        self.exchange.fail(ClientGone())

    async def run(self) -> None:  # like Proxy.serve
        node, exchange = self.node, self.exchange
        node.counters.enter(exchange, exchange.arrived)
        try:
            with await node.admission.admit(exchange) as upstream:
                exchange.dispatched = node.stage.clock()
                self.state, self.replica = "running", upstream.slots.endpoint.replica
                await exchange.wait()
            self.state, exchange.status = "done", 200
        except ClientGone:
            self.state, exchange.reason = "gone", "client_left"
        except EdgeError as error:
            self.state, self.error = "refused", error
            exchange.status, exchange.reason = error.status, error.reason
        node.counters.leave(exchange, node.stage.clock())


class Node:
    """One claimer, as a worker has it. Once it is `dead` nothing of it counts any more."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage = stage
        self.dead = False
        self.there = Way(self._to_owner, self._asked)
        self.back = Way(self._to_claimer, self._sent)
        self.callers: list[Caller] = []
        self.claims: dict[int, str] = {}  # names of callers
        self.account = Account(self.back, number)
        self.claimer = Claimer(self.there.send, stage.clock)
        self.claimer.take_back = self.there.take_back
        self.counters = Counters(stage.clock)
        self.connections = Connections(stage.clock)
        self.queues = Queues(self.claimer, stage.clock, self.claimer.make_queue)
        self.admission = Admission(self.connections, self.queues, stage.resolve, stage.clock)
        self.reporter = Reporter(self.counters, self.queues, self.there.send, stage.clock)
        self.claimer.report = self.reporter.report
        self.claimer.bar = self.admission.bar

    def configure(self, table: Table) -> None:
        shares = [share for each in table.services for share in each.shares]
        revisions = {share.revision.name: share.revision for share in shares}
        self.counters.replace(revisions.values())
        self.queues.replace(revisions, shares)

    def beat(self) -> None:
        self.admission.sweep(self.stage.clock())
        self.claimer.sweep()
        self.reporter.report_all()

    def kill(self) -> None:
        self.dead = True
        self.there.cut()
        self.back.cut()
        self.stage.owner.leave(self.account)

    def _asked(self, message: m.Message) -> None:
        if isinstance(message, m.Claim):
            self.claims[message.claim] = next(
                caller.name for caller in self.callers if caller.exchange.arrived == message.arrived
            )

    def _sent(self, message: m.Message) -> None:
        if isinstance(message, m.Grant):
            self.stage.granted.append(self.claims[message.claim])

    def _to_owner(self, *frame: bytes) -> None:
        self.stage.owner.hear(self.account, *map(_to_owner.decode, frame))

    def _to_claimer(self, *frame: bytes) -> None:
        for message in map(_to_claimer.decode, frame):
            if isinstance(message, m.Configure):
                self.configure(message.terms.table)
            else:
                self.claimer.hear(cast("m.OfAdmission", message))


class Stage:
    """Admission to revision `a-1` for the clients of several claimers."""

    def __init__(self, nodes: int = 2, **limits: object) -> None:
        time = asyncio.get_running_loop().time
        self.clock: Clock = lambda: 1000.0 + time()
        self.wakes = Wakes()
        self.owner = Owner(self.wakes, self.clock)
        self.nodes: list[Node] = []
        self.callers: list[Caller] = []
        self.granted: list[str] = []  # in the owner's order
        self.revision = Revision(NAME, "a", Limits(**limits))  # type: ignore[arg-type]
        self._shares: tuple[Share, ...] = ()
        for _ in range(nodes):
            self.join()
        self.take(self.revision)

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes if not node.dead]

    def join(self) -> Node:
        """Let another claimer come."""
        node = Node(self, len(self.nodes))
        self.nodes.append(node)
        node.configure(self.table)
        self.owner.join(node.account)
        return node

    @property
    def table(self) -> Table:
        return Table((Service("a", ("a.example",), self._shares or (Share(self.revision, 100),)),))

    def pass_over(self, other: Revision, percent: int = 0) -> None:
        """Give the share of the revision to another, or leave it so many percent while it has a replica."""
        stays = Share(self.revision, percent, fallback=other if percent else None)
        self._shares = (stays, Share(other, 100 - percent))
        self.take(other)

    def take(self, revision: Revision) -> None:
        """Serve by another revision from now on; claimers are told in their turn."""
        self.revision = revision
        for node in self.living:
            node.back.send(m.Configure(Terms(self.table)))
        self.owner.replace_table(self.table)

    def resolve(self, exchange: Exchange) -> None:
        exchange.revision = self.revision

    def grow(self, count: int, phase: str = "ready", **start: object) -> None:
        """Tell that exactly `count` replicas are ready."""
        self.owner.update(replicas(count, self.revision.name, phase, **start))

    def arrive(self, node: int = 0, body: int = 0, *, uploading: bool = False) -> Caller:
        """Begin a request at one of the living claimers, of whose body only the first half may be there."""
        made = request("POST / HTTP/1.1", *((f"Content-Length: {body}",) if body else ()))
        made.body = None
        if body:
            made.body = Body(Client())
            made.body.feed(b"x" * (body // 2 if uploading else body))
            if not uploading:
                made.body.finish()
        at = self.living[node % len(self.living)]
        later = 1e-9 * len(self.callers)  # no two arrive at the very same time
        exchange = Exchange(made, Client(), self.clock() + later)
        exchange.revision = self.revision
        caller = Caller(f"c{len(self.callers) + 1}", at, exchange)
        self.callers.append(caller)
        at.callers.append(caller)
        exchange.run(caller.run())
        return caller

    async def spin(self) -> None:
        """Let everything happen that needs no message."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def turn(self) -> None:
        """Let everything happen that can happen without time passing."""
        calm = 0
        while calm < 2:
            await self.spin()
            moved = [way.deliver() for node in self.living for way in (node.there, node.back)]
            calm = 0 if any(moved) else calm + 1

    async def arrived(self, *nodes: int) -> list[Caller]:
        """Begin a request at each of these claimers, and let them come as far as they can."""
        callers = [self.arrive(node) for node in nodes]
        await self.turn()
        return callers

    async def later(self, seconds: float) -> None:
        """Let time pass, with everyone's beats."""
        await asyncio.sleep(seconds)
        for node in self.living:
            node.beat()
        await self.turn()
        self.owner.sweep()
        await self.turn()

    @property
    def present(self) -> list[Caller]:
        """Those at claimers that live."""
        return [caller for caller in self.callers if not caller.node.dead]

    def running(self) -> Counter[str]:
        """Return what really runs on each replica."""
        return Counter(caller.replica for caller in self.present if caller.state == "running")

    def answered(self) -> dict[int, int]:
        """Return how many requests the owner knows to have ended, by status."""
        durations = self.owner.counters.revisions[NAME].durations
        return {status: each.count for status, each in durations.items()}

    async def clear(self) -> None:
        """Let everyone leave, and check that nothing is left of them."""
        for caller in self.callers:
            caller.leave()
        for _ in range(8):
            await self.later(0.3)
        assert {caller.state for caller in self.present} <= {"done", "gone", "refused"}
        for queue in self.owner.queues.values():
            assert (queue.held, queue.held_bytes, queue.in_flight()) == (0, 0, {})
        for node in self.living:
            assert not node.claimer.waiting
            assert not node.account.waiting
        assert self.owner.look(self.revision.name).open == 0
