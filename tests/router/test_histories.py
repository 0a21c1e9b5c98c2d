"""Admission under every history that Hypothesis can think of, in virtual time.

A history is a list of turns, and a turn a list of events that happen without the loop running between them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import looptime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.router.happenings import REPLICAS, Events, Happenings
from tests.router.waiting import Caller, Stage

number = st.integers(0, 7)
calm = st.one_of(
    st.tuples(st.just("arrive"), number),
    st.tuples(st.just("leave"), number),
    st.tuples(st.just("finish"), number),
    st.tuples(st.just("finish"), number),
    st.tuples(st.just("grow"), number),
    st.tuples(st.just("shrink"), number),
)
stormy = st.one_of(calm, st.tuples(st.sampled_from(["refuse", "mend", "pause", "slow", "fast"]), number))


@dataclass
class History(Happenings):
    """Lets a history happen, and checks after each event and each turn what must always hold."""

    limit: int
    count: int = 0
    pausing: float = 0.0
    waited: set[str] = field(default_factory=set)
    stage: Stage = field(init=False)

    async def run(self, turns: Events) -> None:
        self.stage = Stage(container_concurrency=self.limit, queue_depth=1000)
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
        self.stage.arrive(body=argument * 10 or None)

    def refuse(self, argument: int) -> None:
        self.stage.connections.refused.add(f"r{argument % REPLICAS + 1}")

    def mend(self, argument: int) -> None:
        self.stage.connections.refused.discard(f"r{argument % REPLICAS + 1}")

    def slow(self, _: int) -> None:
        self.stage.connections.delay = 0.03

    def fast(self, _: int) -> None:
        self.stage.connections.delay = 0.0

    def pause(self, _: int) -> None:
        self.pausing = 0.15

    def check_limit(self) -> None:
        running = self.stage.running()
        assert all(0 < count <= self.limit or not self.limit for count in running.values()), running

    async def settle(self) -> None:
        await self.stage.later(self.pausing)
        self.pausing = 0.0
        self.check_limit()
        if not self.stage.connections.refused and not self.stage.connections.delay:
            await self.stage.later(0.15)  # suspicions end
            self.check_settled()

    def check_settled(self) -> None:
        """Check that nobody waits while there is a free slot, and that all numbers are what they stand for."""
        waiting = [caller for caller in self.stage.callers if caller.state == "waiting"]
        self.waited.update(caller.name for caller in waiting)
        running = self.stage.running()
        assert self.stage.held == len(waiting)
        assert self.stage.held_bytes == sum(size(caller) for caller in waiting)
        assert sum(running.values()) == sum(caller.state == "running" for caller in self.stage.callers)
        if waiting:
            ready = [running.get(f"r{number + 1}", 0) for number in range(self.count)]
            assert all(self.limit and count == self.limit for count in ready), (waiting, running)

    async def end(self) -> None:
        """Let all end, and check that nothing is left, and that the next one is served."""
        self.stage.connections.refused.clear()
        self.fast(0)
        self.resize(REPLICAS)
        for _ in range(len(self.stage.callers) + 1):
            await self.stage.later(0.2)
            for caller in self.stage.callers:
                if caller.state == "running":
                    caller.finish()
        assert {caller.state for caller in self.stage.callers} <= {"done", "gone"}
        assert (self.stage.held, self.stage.held_bytes, self.stage.running()) == (0, 0, {})
        (last,) = await self.stage.arrived(1)
        assert last.state == "running"
        last.finish()
        await self.stage.turn()


def size(caller: Caller) -> int:
    body = caller.exchange.request.body
    return body.received if body is not None else 0


def happen(history: History, turns: Events) -> History:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(history.run(turns))
    return history


@settings(max_examples=200, deadline=None)
@example(limit=1, turns=[[("arrive", 0)], [("leave", 0), ("grow", 0), ("arrive", 0)]])
@given(limit=st.integers(1, 4), turns=st.lists(st.lists(calm, max_size=6), max_size=15))
def test_in_calm_weather_slots_are_kept_used_and_given_in_the_order_of_arrival(limit: int, turns: Events) -> None:
    history = happen(History(limit), turns)
    order = [int(name[1:]) for name in history.stage.dispatched if name in history.waited]
    assert order == sorted(order)


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(0, 3), turns=st.lists(st.lists(stormy, max_size=6), max_size=15))
def test_whatever_happens_limits_hold_nobody_is_forgotten_and_all_counts_return_to_zero(
    limit: int, turns: Events
) -> None:
    happen(History(limit), turns)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_crowd_that_comes_and_goes_in_single_turns_leaves_nothing_behind(limit: int) -> None:
    crowd = [("arrive", 0)] * 6 + [("grow", 0), ("leave", 0), ("leave", 1), ("shrink", 0), ("grow", 0)]
    happen(History(limit), [crowd, [("finish", 0), ("leave", 0), ("arrive", 1)], crowd])
