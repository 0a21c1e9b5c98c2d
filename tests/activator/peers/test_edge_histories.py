"""Admission over several edges that come and go, under every history that Hypothesis can think of, in virtual time.

A history is a list of turns, and a turn a list of events between which only those messages arrive that are events
themselves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import looptime
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.activator.peers.edges import NAME, Edges, Node
from tests.router.happenings import REPLICAS, Events, Happenings

MOST_NODES = 4
number = st.integers(0, 11)
calm = st.tuples(
    st.sampled_from(["arrive", "arrive", "leave", "finish", "finish", "grow", "shrink", "deliver"]), number
)
stormy = st.one_of(
    calm, st.tuples(st.sampled_from(["kill", "notice", "join", "part", "meet", "refuse", "mend", "reload"]), number)
)


@dataclass
class History(Happenings):
    """Lets a history happen, and checks after each event and each turn what must always hold."""

    limit: int
    count: int = 0
    unnoticed: list[tuple[Node, Node]] = field(default_factory=list)  # (who has not noticed, the dead one)
    parted: list[tuple[Node, Node]] = field(default_factory=list)
    stage: Edges = field(init=False)

    async def run(self, turns: Events) -> None:
        self.stage = Edges(2, container_concurrency=self.limit, queue_depth=1000)
        await self.stage.turn()
        try:
            for events in turns:
                for name, argument in events:
                    getattr(self, name)(argument)
                    self.check_limit()
                await self.settle()
            await self.end()
        finally:
            await self.stage.clear()

    def arrive(self, argument: int) -> None:
        self.stage.arrive(self.node(argument), body=argument * 10)

    def deliver(self, argument: int) -> None:
        ways = [way for node in self.stage.living for way in node.ways.values()]
        if ways:
            ways[argument % len(ways)].deliver()

    def kill(self, argument: int) -> None:
        if len(self.stage.living) > 1:
            dead = self.node(argument)
            first = next(node for node in self.stage.living if node is not dead)
            self.stage.kill(dead, noticed_by=first)
            self.unnoticed += [(node, dead) for node in self.stage.living if node is not first]

    def notice(self, _: int) -> None:
        for node, dead in self.unnoticed:
            self.stage.notice(node, dead)
        self.unnoticed.clear()

    def join(self, _: int) -> None:
        if len(self.stage.living) < MOST_NODES:
            self.stage.join()

    def part(self, argument: int) -> None:
        one, other = self.node(argument), self.node(argument // 3 + 1)
        if other.name in one.ways:
            self.stage.disconnect(one, other)
            self.parted.append((one, other))

    def meet(self, _: int) -> None:
        for one, other in self.parted:
            if not (one.dead or other.dead):
                self.stage.connect(one, other)
            elif one.dead != other.dead:
                living, dead = (one, other) if other.dead else (other, one)
                living.gone(dead.name)
        self.parted.clear()

    def refuse(self, argument: int) -> None:
        for node in self.stage.nodes:
            node.connections.refused.add(f"r{argument % REPLICAS + 1}")

    def mend(self, _: int) -> None:
        for node in self.stage.nodes:
            node.connections.refused.clear()

    def reload(self, argument: int) -> None:
        if self.limit:
            self.limit = max(self.limit, argument % 4 + 1)
            self.stage.take(container_concurrency=self.limit, queue_depth=1000)

    def node(self, argument: int) -> Node:
        return self.stage.living[argument % len(self.stage.living)]

    def check_limit(self) -> None:
        running = self.stage.running()
        assert all(0 < count <= self.limit or not self.limit for count in running.values()), running

    async def settle(self) -> None:
        await self.stage.turn()
        self.check_limit()
        whole = not (self.unnoticed or self.parted)
        if whole and not any(node.connections.refused for node in self.stage.living):
            await self.stage.later(0.15)  # suspicions end
            self.check_settled()

    def check_settled(self) -> None:
        """Check that nobody waits while there is a free slot, and that the owner's numbers are what they stand for."""
        self.check_limit()
        waiting = [caller for caller in self.stage.present if caller.state == "waiting"]
        running = self.stage.running()
        if self.limit:
            queue = self.stage.owner.queues[NAME]
            everyone = (*queue.parts()[1].values(), *queue.parts()[2].values())
            assert {slots.endpoint.replica: slots.running for slots in everyone if slots.running} == running
            assert queue.held == len(waiting)
        if waiting:
            ready = [running.get(f"r{number + 1}", 0) for number in range(self.count)]
            assert all(self.limit and count == self.limit for count in ready), (waiting, running)

    async def end(self) -> None:
        """Let all end, and check that nothing is left, and that the next one is served."""
        self.notice(0)
        self.meet(0)
        self.mend(0)
        self.resize(REPLICAS)
        for _ in range(len(self.stage.callers) + 1):
            await self.stage.later(0.2)
            self.check_limit()
            for caller in self.stage.present:
                if caller.state == "running":
                    caller.finish()
        assert {caller.state for caller in self.stage.present} <= {"done", "gone"}
        (last,) = await self.stage.arrived(self.stage.others[0] if self.stage.others else self.stage.owner)
        assert last.state == "running"
        last.finish()
        await self.stage.turn()


def happen(history: History, turns: Events) -> None:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(history.run(turns))


@settings(max_examples=100, deadline=None)
@given(limit=st.integers(1, 4), turns=st.lists(st.lists(calm, max_size=6), max_size=12))
def test_in_calm_weather_the_limit_holds_over_all_edges_and_nobody_waits_for_a_free_slot(
    limit: int, turns: Events
) -> None:
    happen(History(limit), turns)


@settings(max_examples=250, deadline=None)
@given(limit=st.integers(0, 3), turns=st.lists(st.lists(stormy, max_size=6), max_size=12))
def test_whatever_becomes_of_edges_and_ways_the_limit_holds_and_nothing_is_lost(limit: int, turns: Events) -> None:
    happen(History(limit), turns)
