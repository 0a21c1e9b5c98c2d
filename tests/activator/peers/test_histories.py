"""Admission over several claimers under every history that Hypothesis can think of, in virtual time.

A history is a list of turns, and a turn a list of events between which no message arrives and the loop does not run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

import looptime
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.activator.peers.stage import NAME, Caller, Stage
from tests.router.happenings import REPLICAS, Events, Happenings

MOST_NODES = 4
number = st.integers(0, 11)
calm = st.tuples(st.sampled_from(["arrive", "arrive", "leave", "finish", "finish", "grow", "shrink", "beat"]), number)
stormy = st.one_of(calm, st.tuples(st.sampled_from(["kill", "join", "refuse", "mend", "ask", "deliver"]), number))
crossing = st.one_of(calm, st.tuples(st.just("one"), number), st.tuples(st.just("one"), number))
reloading = st.one_of(stormy, st.tuples(st.just("reload"), st.integers(0, 3)))


@dataclass
class History(Happenings):
    """Lets a history happen, and checks after each event and each turn what must always hold."""

    limit: int
    spins: bool = False  # whether the loop runs after each event
    orderly: bool = False  # whether nobody may be overtaken by who waits elsewhere
    count: int = 0
    beats: float = 0.0
    waited: set[str] = field(default_factory=set)
    line: list[Caller] = field(default_factory=list)  # who waited after the last turn, in the order of arrival
    taken: Counter[str] | None = None  # the owner's slots in use, since the limit is in force
    stage: Stage = field(init=False)

    async def run(self, turns: Events) -> None:
        self.stage = Stage(2, container_concurrency=self.limit, queue_depth=1000)
        try:
            for events in turns:
                for name, argument in events:
                    getattr(self, name)(argument)
                    if self.spins:
                        await self.stage.spin()
                    self.check_limit()
                await self.settle()
            await self.end()
        finally:
            await self.stage.clear()

    def arrive(self, argument: int) -> None:
        self.stage.arrive(argument, body=argument * 10)

    def beat(self, _: int) -> None:
        self.beats = 0.3

    def shrink(self, argument: int) -> None:
        """Have a replica leave. A slot of it that comes back meanwhile for who came first is of no use to that one, but
        the next one may have begun there: of this turn no order is asked."""
        self.line = []
        super().shrink(argument)

    def kill(self, argument: int) -> None:
        if len(self.stage.living) > 1:
            self.stage.living[argument % len(self.stage.living)].kill()

    def join(self, _: int) -> None:
        if len(self.stage.living) < MOST_NODES:
            self.stage.join()

    def deliver(self, argument: int) -> None:
        node = self.stage.living[argument % len(self.stage.living)]
        (node.there if argument % 2 else node.back).deliver()

    def one(self, argument: int) -> None:
        """Let one message arrive, before others that are under way elsewhere."""
        node = self.stage.living[argument // 2 % len(self.stage.living)]
        (node.there if argument % 2 else node.back).deliver_one()

    def ask(self, _: int) -> None:
        """Ask whether everything is seen, and check it at the moment at which that is told."""
        if self.stage.owner.settled(NAME, self.check_seen):
            self.check_seen(NAME)

    def refuse(self, argument: int) -> None:
        for node in self.stage.nodes:
            node.connections.refused.add(f"r{argument % REPLICAS + 1}")

    def mend(self, _: int) -> None:
        for node in self.stage.nodes:
            node.connections.refused.clear()

    def reload(self, limit: int) -> None:
        """Serve with another limit from now on: what runs goes on."""
        self.limit = limit
        self.taken = None
        revision = self.stage.revision
        self.stage.take(replace(revision, limits=replace(revision.limits, container_concurrency=limit)))

    def check_limit(self) -> None:
        """Check that the owner sees all that runs on a replica, and grants nothing above the limit, once all have
        confirmed it."""
        queue = self.stage.owner.queues[NAME]
        if not self.limit or queue.closed:
            self.taken = None
            return
        running, taken = self.stage.running(), Counter(queue.in_flight())
        assert all(count <= taken[replica] for replica, count in running.items()), (running, taken)
        former = taken if self.taken is None else self.taken
        assert all(count <= max(self.limit, former[replica]) for replica, count in taken.items()), (former, taken)
        self.taken = taken

    def check_seen(self, name: str) -> None:
        if self.stage.running():
            assert self.stage.owner.look(name).open

    async def settle(self) -> None:
        await self.stage.turn()
        self.check_limit()
        if self.orderly:
            self.check_order()
        if self.spins:
            self.check_waiting()
        if self.beats:
            await self.stage.later(self.beats)
            self.beats = 0.0
        if not any(node.connections.refused for node in self.stage.living):
            await self.stage.later(0.15)  # suspicions end
            await self.stage.later(0.01)  # and what came of it is told
            self.check_settled()

    def check_order(self) -> None:
        """Check that of those who waited before this turn the first have gone, and left nobody behind."""
        states = [caller.state for caller in self.line if caller.state != "gone"]
        assert states == sorted(states, key=lambda state: state == "waiting"), self.line
        self.line = [caller for caller in self.stage.present if caller.state == "waiting"]

    def check_settled(self) -> None:
        """Check that nobody waits while there is a free slot, and that the owner's numbers are what they stand for."""
        self.check_limit()
        waiting = self.check_waiting()
        running, owner = self.stage.running(), self.stage.owner
        stats = owner.look(NAME)
        assert stats.held == len(waiting)
        assert stats.open == len(waiting) + running.total()
        assert stats.busy == running
        if self.limit:
            taken = owner.queues[NAME].in_flight()
            assert all(count <= max(self.limit, running[replica]) for replica, count in taken.items())

    def check_waiting(self) -> list[Caller]:
        """Check that nobody waits while there is a free slot, and return who waits."""
        waiting = [caller for caller in self.stage.present if caller.state == "waiting"]
        self.waited.update(caller.name for caller in waiting)
        running = self.stage.running()
        if waiting:
            ready = [running.get(f"r{number + 1}", 0) for number in range(self.count)]
            assert all(self.limit and count >= self.limit for count in ready), (waiting, running)
        return waiting

    async def end(self) -> None:
        """Let all end, and check that nothing is left, and that the next one is served."""
        self.mend(0)
        self.resize(REPLICAS)
        for _ in range(len(self.stage.callers) + 1):
            await self.stage.later(0.2)
            for caller in self.stage.present:
                if caller.state == "running":
                    caller.finish()
        assert {caller.state for caller in self.stage.present} <= {"done", "gone"}
        (last,) = await self.stage.arrived(0)
        assert last.state == "running"
        last.finish()
        await self.stage.turn()


def happen(history: History, turns: Events) -> History:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(history.run(turns))
    return history


@settings(max_examples=150, deadline=None)
@given(limit=st.integers(1, 4), turns=st.lists(st.lists(calm, max_size=6), max_size=12))
def test_in_calm_weather_those_who_wait_are_served_in_the_order_of_arrival_wherever_they_are(
    limit: int, turns: Events
) -> None:
    history = happen(History(limit, orderly=True), turns)
    order = [int(name[1:]) for name in history.stage.granted if name in history.waited]
    assert order == sorted(order)


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(1, 3), turns=st.lists(st.lists(crossing, max_size=12), max_size=8))
def test_a_slot_that_is_free_anywhere_is_given_at_once_whatever_messages_cross(limit: int, turns: Events) -> None:
    happen(History(limit, spins=True), turns)


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(0, 3), turns=st.lists(st.lists(stormy, max_size=6), max_size=12))
def test_whatever_happens_limits_hold_over_all_nobody_is_forgotten_and_nothing_is_lost(
    limit: int, turns: Events
) -> None:
    happen(History(limit), turns)


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(0, 3), turns=st.lists(st.lists(reloading, max_size=6), max_size=12))
def test_a_limit_that_comes_by_a_reload_counts_what_runs_already(limit: int, turns: Events) -> None:
    happen(History(limit), turns)
