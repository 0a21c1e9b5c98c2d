"""What several edges have seen of a canary is judged by the one that leads, each request once, whoever leads."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.activator.peers.edges import NAME, Edges, Node

if TYPE_CHECKING:
    from router.tally import Tally

pytestmark = pytest.mark.looptime


class Judged(Edges):
    """Edges whose revision is compared with another. `judged` is what leaders have taken of it: answered and failed."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.revision = replace(self.revision, compared=1)
        for node in self.nodes:
            node.configure()
        self.judged = [0, 0]

    def answer(self, node: Node, answered: int, failed: int) -> None:
        tally(node).merge(answered, failed, {7: answered})

    def period(self, node: Node) -> None:
        """Let a second be over at an edge, as its loop and its rollouts see it."""
        node.council.collect()
        if node.council.leads():
            answered, failed, durations = tally(node).take()
            assert sum(durations.values()) == answered
            self.judged[0] += answered
            self.judged[1] += failed


def tally(node: Node) -> Tally:
    found = node.council.counters.tally(NAME)
    assert found is not None
    return found


async def led(count: int = 3) -> tuple[Judged, Node, list[Node]]:
    stage = Judged(count)
    await stage.turn()
    leader, *others = stage.nodes
    stage.elect(leader)
    await stage.turn()
    return stage, leader, others


async def test_the_leader_judges_what_all_edges_were_answered() -> None:
    stage, leader, others = await led()
    stage.answer(leader, 10, 0)
    for node in others:
        stage.answer(node, 5, 2)
        stage.arrive(node)
    await stage.turn()
    for node in (*others, leader):
        stage.period(node)
        await stage.turn()
    stage.period(leader)
    assert stage.judged == [20, 4]
    assert [tally(node).answered for node in stage.nodes] == [0, 0, 0]
    await stage.clear()


async def test_what_was_seen_while_nobody_led_is_told_to_the_next_leader() -> None:
    stage, leader, (first, second) = await led()
    stage.kill(leader)
    stage.answer(first, 3, 1)
    for node in (first, second):
        stage.period(node)
    await stage.turn()
    assert tally(first).answered == 3
    stage.elect(second)
    await stage.turn()
    stage.period(second)
    assert stage.judged == [3, 1]


async def test_one_that_leads_no_more_passes_on_what_it_has_not_judged_and_nothing_else() -> None:
    stage, leader, (other, _) = await led()
    stage.answer(leader, 4, 0)
    stage.period(leader)
    stage.answer(leader, 2, 1)
    stage.elect(other)
    await stage.turn()
    stage.period(other)
    assert stage.judged == [6, 1]


async def test_what_comes_to_an_edge_that_does_not_lead_goes_on_to_the_one_that_does() -> None:
    stage, leader, (other, third) = await led()
    stage.answer(other, 2, 2)
    stage.arrive(other)
    other.council.collect()  # on its way
    stage.elect(third)
    await stage.turn()
    stage.arrive(leader)
    for _ in range(2):
        for node in stage.nodes:
            stage.period(node)
            await stage.turn()
    assert stage.judged == [2, 2]
    await stage.clear()


async def test_nothing_is_told_of_a_revision_that_is_not_compared() -> None:
    stage = Edges(2)
    stage.elect(stage.nodes[0])
    await stage.arrived(stage.nodes[1])
    stage.nodes[1].council.collect()
    await stage.turn()
    assert stage.nodes[0].council.counters.tally(NAME) is None
    await stage.clear()


STEPS = st.one_of(
    st.tuples(st.just("answer"), st.integers(0, 2), st.integers(1, 9)),
    st.tuples(st.just("period"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("elect"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
)


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_each_request_is_judged_once_whoever_leads(steps: list[tuple[str, int, int]]) -> None:
    async def course() -> None:
        stage, answered = Judged(3), 0
        for what, number, count in steps:
            if what == "answer":
                answered += count
                stage.answer(stage.nodes[number], count, 0)
                stage.arrive(stage.nodes[number])
            elif what == "period":
                stage.period(stage.nodes[number])
            elif what == "elect":
                stage.elect(stage.nodes[number] if number < len(stage.nodes) else None)
            else:
                await stage.turn()
            assert stage.judged[0] <= answered
        stage.elect(stage.nodes[0])
        await stage.turn()
        for _ in range(3):
            for node in stage.nodes:
                stage.period(node)
            await stage.turn()
        assert stage.judged[0] == answered
        await stage.clear()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(course())
