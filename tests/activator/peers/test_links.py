"""Edges that find each other over real connections, and notice who is gone and who is only silent."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from activator.peers import messages as m
from activator.peers.link import SILENCE_SECONDS, STRANGERS, Link, Self
from activator.peers.links import MOST_STRANGERS, Links
from activator.peers.pacts import VERSION, Greet, Proof, ToPeer
from activator.peers.wire import LENGTH
from router.tasks import Tasks
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECRET = b"0123456789abcdef"


class Log:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def info(self, event: str, **facts: str) -> None:
        pass

    def warning(self, event: str, **facts: str) -> None:
        self.problems.append(facts["problem"])


class Edge:
    """Links, and what they told. `clock` is ahead of ours by so much."""

    def __init__(self, name: str, secret: bytes = SECRET, ahead: float = 0.0) -> None:
        self.name = name
        self.events: list[tuple[str, str]] = []
        self.messages: list[ToPeer] = []
        self.failures: list[BaseException] = []
        self._ahead = ahead
        self.tasks = Tasks(lambda _, error: self.failures.append(error))
        self.log = Log()
        self.links = Links(Self(name, secret, self.clock), self, self.tasks, self.log)  # type: ignore[arg-type]
        self.beats = True
        self.leads = False
        self.tells: list[m.Message] = []  # to whoever joins
        self.shuts = False  # whoever joins out

    def clock(self) -> float:
        return time.monotonic() + self._ahead

    async def start(self) -> None:
        host, _, port = self.name.rpartition(":")
        await self.links.open(host, int(port))
        self.tasks.spawn(self._beat(), "beat")

    async def stop(self) -> None:
        await self.links.close()
        await self.tasks.close()
        assert self.failures == []

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            if self.beats:
                self.links.sweep(self.clock(), leads=self.leads)

    def joined(self, peer: str, link: Link) -> None:
        self.events.append(("joined", peer))
        for message in self.tells:
            link.send(message)
        if self.shuts:
            link.wire.abort()

    def lost(self, peer: str) -> None:
        self.events.append(("lost", peer))

    def gone(self, peer: str) -> None:
        if ("gone", peer) not in self.events[-1:]:
            self.events.append(("gone", peer))

    def heard(self, peer: str, message: ToPeer) -> None:
        self.messages.append(message)

    async def until(self, *events: tuple[str, str]) -> None:
        async with asyncio.timeout(30):
            while self.events[: len(events)] != list(events):  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)


@asynccontextmanager
async def edges(*secrets: bytes, ahead: float = 0.0) -> AsyncIterator[list[Edge]]:
    names = sorted(f"127.0.0.1:{port}" for port in free_ports(len(secrets)))
    made = [
        Edge(name, secret, ahead * number) for number, (name, secret) in enumerate(zip(names, secrets, strict=True))
    ]
    for edge in made:
        await edge.start()
    for edge in made:
        edge.links.list(names)
    try:
        yield made
    finally:
        for edge in made:
            await edge.stop()


@contextmanager
def reported(*edges: Edge) -> Iterator[None]:
    """On failure, show what they told."""
    try:
        yield
    except BaseException:
        print({edge.name: (edge.events, edge.log.problems) for edge in edges})  # noqa: T201
        raise


async def test_edges_join_and_hear_each_other() -> None:
    async with edges(SECRET, SECRET) as (one, other):
        with reported(one, other):
            await one.until(("lost", other.name), ("joined", other.name))
            one.links.live[other.name].send(m.Poke("a"))
            async with asyncio.timeout(30):
                while m.Poke("a") not in other.messages:  # noqa: ASYNC110 - the simplest
                    await asyncio.sleep(0.01)


async def test_edges_join_however_much_they_have_to_tell_each_other() -> None:
    async with edges(SECRET, SECRET) as both:
        with reported(*both):
            for edge in both:
                edge.tells = [m.Poke("a" * 10 * STRANGERS)]
            async with asyncio.timeout(30):
                while not all(m.Poke("a" * 10 * STRANGERS) in edge.messages for edge in both):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert [edge.events.count(("joined", other.name)) for edge, other in (both, both[::-1])] == [1, 1]


async def test_an_edge_that_shuts_others_out_is_not_dialled_without_end() -> None:
    async with edges(SECRET, SECRET) as (one, other):
        other.shuts = True
        await asyncio.sleep(1.0)
        assert 2 <= one.events.count(("joined", other.name)) + other.events.count(("joined", one.name)) <= 20


async def test_times_are_told_on_the_clock_of_who_hears() -> None:
    async with edges(SECRET, SECRET, ahead=5000.0) as (one, other):
        with reported(one, other):
            await one.until(("lost", other.name), ("joined", other.name))
            await asyncio.sleep(0.3)
            for sender, hearer in ((one, other), (other, one)):
                sender.links.live[hearer.name].send(m.Claim(1, "a", sender.clock(), 0))
                claims: list[m.Claim] = []
                async with asyncio.timeout(30):
                    while not claims:
                        await asyncio.sleep(0.01)
                        claims = [each for each in hearer.messages if isinstance(each, m.Claim)]
                assert 0.0 <= hearer.clock() - claims[0].arrived < 1.0


async def test_an_edge_that_leaves_in_order_is_gone_at_once() -> None:
    async with edges(SECRET, SECRET) as (one, other):
        with reported(one, other):
            await one.until(("lost", other.name), ("joined", other.name))
            await other.links.close()
            await one.until(("lost", other.name), ("joined", other.name), ("gone", other.name))


async def test_an_edge_that_died_is_gone_when_its_address_refuses() -> None:
    async with edges(SECRET, SECRET) as (one, other):
        with reported(one, other):
            await other.until(("lost", one.name), ("joined", one.name))
            other.links._server.close()  # type: ignore[union-attr]  # as the kernel does for the dead
            await asyncio.sleep(0.1)
            other.links.list([])
            other.links.live[one.name].wire.abort()
            await one.until(
                *[("lost", other.name), ("joined", other.name)], *[("lost", other.name), ("gone", other.name)]
            )


async def test_an_edge_that_falls_silent_is_lost_but_not_gone_and_joins_again() -> None:
    async with edges(SECRET, SECRET) as (one, other):
        with reported(one, other):
            await one.until(("lost", other.name), ("joined", other.name))
            other.beats = False
            await one.until(("lost", other.name), ("joined", other.name), ("lost", other.name))
            silent = [float(each.split()[-2]) for each in one.log.problems if each.startswith("it was silent for")]
            assert min(silent) >= SILENCE_SECONDS
            other.beats = True
            await one.until(*[("lost", other.name), ("joined", other.name)] * 2)


async def test_who_does_not_have_the_secret_is_not_heard() -> None:
    async with edges(SECRET, b"fedcba9876543210") as (one, other):
        async with asyncio.timeout(30):
            while not one.log.problems:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert (one.links.live, other.links.live) == ({}, {})
        assert one.events == [("lost", other.name)]
        assert one.log.problems == ["it does not have our secret"]


async def cut_off(edge: Edge, *messages: m.Message) -> None:
    """Say this to an edge as a stranger, and wait to be cut off."""
    host, _, port = edge.name.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for message in messages:
        frame = msgspec.msgpack.encode([message])
        writer.write(LENGTH.pack(len(frame)) + frame)
    async with asyncio.timeout(30):
        with suppress(ConnectionResetError):
            while await reader.read(4096):
                pass
    writer.close()


async def test_a_stranger_that_proves_nothing_is_cut_off() -> None:
    async with edges(SECRET) as (edge,):
        host, _, port = edge.name.rpartition(":")
        edge.beats = False  # so that nobody is cut off for silence
        for messages in (
            [Proof(b"", 0.0)],
            [Greet(VERSION, "a", b"n" * 32, 0.0), Proof(b"p" * 32, 0.0)],
            [Greet(VERSION - 1, "a", b"n" * 32, 0.0)],
            [Greet(VERSION, "a", b"n", 0.0)],
            [m.Poke("a")],
            [Greet(VERSION, "a" * 2000, b"n" * 32, 0.0)],
        ):
            await cut_off(edge, *messages)
        edge.beats = True
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(30):
            with suppress(ConnectionResetError):
                assert await reader.read(4096) == b""
        writer.close()
        assert (edge.links.live, edge.messages, edge.events) == ({}, [], [])


async def test_an_edge_that_is_not_listed_any_more_is_gone_unless_it_lives() -> None:
    names = [f"127.0.0.1:{port}" for port in free_ports(2)]
    edge = Edge(names[0])
    await edge.start()
    edge.links.list([names[1], "192.0.2.1:7000"])
    await asyncio.sleep(0.2)
    edge.links.list([])
    assert ("gone", "192.0.2.1:7000") in edge.events
    await edge.stop()


async def test_an_edge_that_is_listed_by_another_name_too_is_no_peer_of_itself() -> None:
    async with edges(SECRET) as (edge,):
        other_name = edge.name.replace("127.0.0.1", "localhost")
        with reported(edge):
            for _ in range(2):
                edge.links.list([edge.name, other_name])
                await edge.until(("lost", other_name), ("gone", other_name))
            assert len(edge.events) == 2
            assert (edge.links.unreached, edge.log.problems) == (set(), [f"it is {edge.name}"])


async def test_another_one_by_the_same_name_is_not_taken_for_itself_and_told_of() -> None:
    one, place = (f"127.0.0.{number}:{port}" for number, port in zip((1, 2), free_ports(2), strict=True))
    edge, copy = Edge(one), Edge(one)
    await edge.start()
    await copy.links.open("127.0.0.2", int(place.rpartition(":")[2]))
    edge.links.list([one, place])
    with reported(edge):
        async with asyncio.timeout(30):
            while not edge.log.problems:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)
        told = f"it is {one} by its own word, as this edge is: each needs a peers.advertise of its own"
        assert (edge.log.problems, edge.links.unreached, edge.events) == ([told], {place}, [("lost", place)])
    await edge.stop()
    await copy.stop()


async def test_one_that_is_lost_after_it_was_listed_for_the_last_time_is_gone() -> None:
    async with edges(SECRET, SECRET) as (one, other):
        with reported(one, other):
            await one.until(("lost", other.name), ("joined", other.name))
            one.links.list([one.name])
            other.beats = False
            await one.until(("lost", other.name), ("joined", other.name), ("gone", other.name))


async def test_nothing_is_kept_of_strangers_whatever_they_call_themselves() -> None:
    async with edges(SECRET) as (edge,):
        edge.beats = False  # so that nobody is cut off for silence
        for number in range(3):
            await cut_off(edge, Greet(VERSION, f"stranger {number}", b"n" * 32, 0.0), Proof(b"p" * 32, 0.0))
        assert edge.log.problems == ["it does not have our secret"]


async def test_strangers_who_say_nothing_do_not_keep_a_peer_off_however_many_they_are() -> None:
    one, other = (Edge(name) for name in sorted(f"127.0.0.1:{port}" for port in free_ports(2)))
    other.beats = False  # or they were cut off for their silence before long
    await other.start()
    host, _, port = other.name.rpartition(":")
    crowd = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_STRANGERS + 6)]
    async with asyncio.timeout(30):
        with suppress(ConnectionResetError):
            assert await crowd[0][0].read() == b"", "the first had to make room"
    await one.start()
    one.links.list([other.name])
    with reported(one, other):
        await one.until(("lost", other.name), ("joined", other.name))
        await other.until(("joined", one.name))
    for _, writer in crowd:
        writer.close()
    await one.stop()
    await other.stop()
