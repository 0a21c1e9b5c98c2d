"""Several edges that share admission, in virtual time: everything is real but the connections to replicas, and the ways
between the edges, which deliver when a test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from activator.peers.council import Council
from activator.peers.pacts import ToPeer
from activator.peers.tenure import Tenure
from router.admission import Admission
from router.body import Body
from router.exchange import Exchange
from router.proxy import Proxy
from router.table import Limits, Revision, Share
from tests.activator.peers.stage import TURNS, Caller, Way
from tests.router.fakes import Client, Connections, Wakes, replicas, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.ports import Clock

NAME = "a-1"
_decode = msgspec.msgpack.Decoder(ToPeer).decode


class PeerWay(Way):
    """A way to a peer, with what that says of itself: a Link, as far as the council sees it."""

    def __init__(self, peer: str, hear: Callable[..., None]) -> None:
        super().__init__(hear)
        self.peer = peer
        self.leads = False


class Node:
    """One edge. Once it is `dead` nothing of it counts any more."""

    def __init__(self, stage: Edges, name: str) -> None:
        self.stage = stage
        self.name = name
        self.dead = False
        self.ways: dict[str, PeerWay] = {}  # to each peer
        self.callers: list[Caller] = []
        self.wakes = Wakes()
        self.connections = Connections(stage.clock)
        self.tenure = Tenure(name, stage.clock)
        proxy = Proxy(self, stage.clock, make_queue=self.tenure.make_queue)
        self.queues = self.tenure.queues = proxy.queues
        self.counters = proxy.counters
        self.admission = Admission(self.connections, self.queues, stage.resolve, stage.clock)
        self.council = Council(proxy, self.tenure, self.wakes.wake, stage.clock)

    def configure(self) -> None:
        self.serve(self.stage.revision)
        self.council.update(self.stage.capacity)

    def serve(self, *revisions: Revision) -> None:
        """Take a table with only these revisions."""
        self.counters.replace(revisions)
        self.queues.replace({each.name: each for each in revisions}, tuple(Share(each, 100) for each in revisions))
        self.tenure.table_replaced()

    def wake(self, revision: str) -> None:
        self.council.wake(revision)

    def hear(self, peer: str, *frame: bytes) -> None:  # like League.heard
        for message in map(_decode, frame):
            self.council.recognise(self.ways[peer])
            self.tenure.hear(peer, message)
            if peer in self.tenure.ledgers:
                self.council.hear(peer, self.tenure.ledgers[peer], message)

    def joined(self, peer: str) -> None:
        former = self.tenure.ledgers.get(peer)
        self.tenure.join(peer, self.ways[peer])
        self.council.joined(former, self.tenure.ledgers[peer], peer)

    def lost(self, peer: str) -> None:
        self.tenure.lose(peer)
        self.council.follower.lost(peer)

    def gone(self, peer: str) -> None:
        former = self.tenure.ledgers.get(peer)
        self.tenure.forget(peer)
        self.council.gone(former, peer)

    def sweep(self) -> None:
        self.admission.sweep(self.stage.clock())
        self.council.sweep(elected=self.council.elected())
        self.council.follower.sweep()

    @property
    def owns(self) -> bool:
        return self.tenure.views.owner(NAME) == self.name


class Edges:
    """Admission to revision `a-1` for the clients of several edges."""

    def __init__(self, count: int = 2, **limits: object) -> None:
        time = asyncio.get_running_loop().time
        self.clock: Clock = lambda: 1000.0 + time()
        self.revision = Revision(NAME, "a", Limits(**limits))  # type: ignore[arg-type]
        self.capacity = replicas(0)
        self.nodes: list[Node] = []
        self.callers: list[Caller] = []
        for _ in range(count):
            self.join()

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes if not node.dead]

    @property
    def owner(self) -> Node:
        (owner,) = [node for node in self.living if node.owns]
        return owner

    @property
    def others(self) -> list[Node]:
        return [node for node in self.living if not node.owns]

    def join(self) -> Node:
        """Let another edge come, and be connected with all others."""
        others = self.living
        node = self.make(f"e{len(self.nodes)}")
        for other in others:
            self.connect(node, other)
        return node

    def make(self, name: str) -> Node:
        """Let another edge come, and be connected with none yet."""
        node = Node(self, name)
        node.configure()
        self.nodes.append(node)
        return node

    def connect(self, one: Node, other: Node) -> None:
        for here, there in ((one, other), (other, one)):
            here.ways[there.name] = PeerWay(there.name, partial(there.hear, here.name))
            here.ways[there.name].leads = there.council.elected()
        for here, there in ((one, other), (other, one)):
            here.joined(there.name)

    def disconnect(self, one: Node, other: Node) -> None:
        """Have the connection between two be cut; neither knows whether the other one lives."""
        for here, there in ((one, other), (other, one)):
            if there.name in here.ways:
                here.ways.pop(there.name).cut()
        for here, there in ((one, other), (other, one)):
            here.lost(there.name)

    def reconnect(self, one: Node, other: Node) -> None:
        """Have the connection between two be cut, and be made anew before `one` has noticed."""
        for here, there in ((one, other), (other, one)):
            here.ways[there.name].cut()
        other.lost(one.name)
        self.connect(one, other)

    def kill(self, node: Node, noticed_by: Node | None = None) -> None:
        """End an edge; all others, or only that one for now, notice."""
        node.dead = True
        for way in node.ways.values():
            way.cut()
        for other in self.living if noticed_by is None else [noticed_by]:
            self.notice(other, node)

    def notice(self, node: Node, dead: Node) -> None:
        if dead.name in node.ways:
            node.ways.pop(dead.name).cut()
            node.gone(dead.name)

    def take(self, **limits: object) -> None:
        """Serve by other limits from now on."""
        self.revision = Revision(NAME, "a", Limits(**limits))  # type: ignore[arg-type]
        for node in self.living:
            node.configure()

    def resolve(self, exchange: Exchange) -> None:
        exchange.revision = self.revision

    def grow(self, count: int) -> None:
        """Tell all edges that exactly `count` replicas are ready."""
        self.capacity = replicas(count)
        for node in self.living:
            node.council.update(self.capacity)

    def elect(self, leader: Node | None) -> None:
        """Have this edge lead, and all others hear of it."""
        for node in self.living:
            node.council.elected = (lambda: True) if node is leader else (lambda: False)
        for node in self.living:
            node.sweep()
            for peer, way in node.ways.items():
                way.leads = leader is not None and peer == leader.name
                node.council.recognise(way)

    def arrive(self, node: Node, body: int = 0) -> Caller:
        """Begin a request at an edge."""
        made = request("POST / HTTP/1.1", *((f"Content-Length: {body}",) if body else ()))
        made.body = None
        if body:
            made.body = Body(Client())
            made.body.feed(b"x" * body)
            made.body.finish()
        later = 1e-9 * len(self.callers)  # no two arrive at the very same time
        exchange = Exchange(made, Client(), self.clock() + later)
        exchange.revision = self.revision
        caller = Caller(f"c{len(self.callers) + 1}", node, exchange)  # type: ignore[arg-type]
        self.callers.append(caller)
        node.callers.append(caller)
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
            ways = [way for node in self.living for way in list(node.ways.values())]
            moved = [way.deliver() for way in ways]
            calm = 0 if any(moved) else calm + 1

    async def arrived(self, *nodes: Node) -> list[Caller]:
        """Begin a request at each of these edges, and let them come as far as they can."""
        callers = [self.arrive(node) for node in nodes]
        await self.turn()
        return callers

    async def later(self, seconds: float) -> None:
        """Let time pass, and have all clocks be checked."""
        await asyncio.sleep(seconds)
        for node in self.living:
            node.sweep()
        await self.turn()

    @property
    def present(self) -> list[Caller]:
        """Those at edges that live."""
        return [caller for caller in self.callers if not caller.node.dead]

    def running(self) -> Counter[str]:
        """Return what really runs on each replica."""
        return Counter(caller.replica for caller in self.present if caller.state == "running")

    async def clear(self) -> None:
        """Let everyone leave, and check that nothing is left of them."""
        for caller in self.callers:
            caller.leave()
        for _ in range(4):
            await self.later(0.3)
        assert {caller.state for caller in self.present} <= {"done", "gone", "refused"}
        for node in self.living:
            queue = node.queues[NAME]
            assert (queue.held, queue.held_bytes, queue.in_flight()) == (0, 0, {}), node.name
            assert all(slots.running == 0 for slots in (*queue.parts()[1].values(), *queue.parts()[2].values()))
            for ledger in node.tenure.ledgers.values():
                assert (ledger.waiting, ledger.parked, +ledger.lent) == ({}, {}, Counter())
