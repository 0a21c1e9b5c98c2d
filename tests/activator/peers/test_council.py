"""What edges count together, and what they agree to before replicas go."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from router.table import Revision
from tests.activator.peers.edges import NAME, Edges
from tests.router.fakes import replicas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.activator.peers.edges import Node

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def led(count: int = 3, ready: int = 2, **limits: object) -> AsyncIterator[tuple[Edges, Node, list[Node]]]:
    """Edges of which the first leads."""
    stage = Edges(count, **limits)
    stage.grow(ready)
    await stage.turn()
    leader, *others = stage.nodes
    stage.elect(leader)
    await stage.turn()
    try:
        yield stage, leader, others
    finally:
        await stage.clear()


async def test_the_leader_counts_for_all() -> None:
    async with led() as (stage, leader, others):
        leader.council.collect()
        callers = await stage.arrived(leader, *others, *others)
        await stage.later(1.0)
        for node in others:
            node.council.collect()
        await stage.turn()
        stats = leader.council.collect()[NAME]
        assert (stats.requests, stats.open, sum(stats.busy.values())) == (5, 5, 5)
        assert stats.concurrency == pytest.approx(5.0, abs=0.1)
        for caller in callers:
            caller.finish()
        await stage.turn()
        ended = stage.clock()
        await stage.later(1.0)
        for node in others:
            node.council.collect()
        await stage.turn()
        stats = leader.council.look(NAME)
        assert stats.open == 0
        assert not stats.busy
        assert stats.idle_since == pytest.approx(ended)


async def test_others_count_for_themselves() -> None:
    async with led() as (stage, _, others):
        await stage.arrived(*others)
        assert [node.council.look(NAME).open for node in others] == [1, 1]


async def test_a_leader_decides_only_once_all_have_told_what_they_have_open() -> None:
    async with led() as (stage, leader, others):
        await stage.arrived(others[0])
        stage.elect(others[1])
        assert not others[1].council.leads()
        await stage.turn()
        assert others[1].council.leads()
        assert not leader.council.leads()
        assert others[1].council.look(NAME).open == 1


async def test_the_last_replica_goes_when_all_have_agreed_to_begin_nothing() -> None:
    async with led() as (stage, leader, others):
        agreed: list[str] = []
        assert not leader.council.settled(NAME, agreed.append)
        await stage.turn()
        assert agreed == [NAME]
        assert leader.council.settled(NAME, agreed.append)
        (held,) = await stage.arrived(others[0])
        assert held.state == "running"  # it was told, and so ended the agreement
        assert leader.council.look(NAME).open == 1


async def test_nothing_begins_unseen_between_the_agreement_and_the_order() -> None:
    async with led() as (stage, leader, others):
        seen: list[tuple[int, int]] = []

        def agreed(name: str) -> None:
            seen.append((leader.council.look(name).open, stage.running().total()))

        running = stage.arrive(others[0])
        leader.council.settled(NAME, agreed)
        await stage.turn()
        assert running.state == "running"
        assert seen == [(1, 1)]


async def test_while_an_edge_is_lost_nothing_goes_to_zero_and_its_counts_stay() -> None:
    async with led() as (stage, leader, others):
        silent, other = others
        await stage.arrived(silent)
        silent.council.collect()
        await stage.turn()
        for node in (leader, other):
            stage.disconnect(silent, node)
        await stage.turn()
        assert not leader.council.settled(NAME, lambda _: None)
        assert leader.council.look(NAME).open == 1
        silent.dead = True
        for node in (leader, other):
            node.gone(silent.name)
        await stage.turn()
        assert leader.council.look(NAME).open == 0
        stats = leader.council.look(NAME)
        assert stats.idle_since == pytest.approx(stage.clock())


async def test_a_replica_that_the_leader_ends_gets_nothing_and_ends_when_all_have_left_it() -> None:
    async with led(ready=1) as (stage, leader, others):
        (running,) = await stage.arrived(others[0])
        stage.grow(2)
        await stage.turn()
        every, last = stage.capacity, stage.capacity.endpoints[1]
        leader.council.update(type(every)(every.revision, (last,), every.start))
        drained = asyncio.ensure_future(leader.council.drained(NAME, "r1"))
        await stage.turn()
        callers = await stage.arrived(*others * 3)
        assert {caller.replica for caller in callers} == {"r2"}
        await stage.later(0.3)
        assert not drained.done()
        running.finish()
        await stage.later(0.3)
        await stage.spin()
        assert drained.done()


async def test_a_replica_of_which_a_slot_is_on_its_way_to_another_edge_does_not_end() -> None:
    async with led(ready=1, container_concurrency=1) as (stage, leader, _):
        (other,) = (node for node in stage.others if node is not leader)
        assert stage.owner is not leader
        caller = stage.arrive(other)
        other.ways[stage.owner.name].deliver()  # granted, but the grant is under way
        leader.council.update(replicas(0))
        drained = asyncio.ensure_future(leader.council.drained(NAME, "r1"))
        for way in (leader.ways[other.name], leader.ways[stage.owner.name]):
            way.deliver()
        for node in (other, stage.owner):
            node.sweep()
            node.ways[leader.name].deliver()
        await stage.spin()
        assert not drained.done()
        await stage.turn()
        assert (caller.state, drained.done()) == ("running", False)
        caller.finish()
        await stage.later(0.3)
        await stage.later(0.3)
        assert drained.done()


async def test_of_revisions_that_have_left_nothing_is_kept_but_what_was_promised() -> None:
    async with led(2, ready=1) as (stage, leader, (other,)):
        others = [Revision(f"b-{number}", "b") for number in range(3)]
        for node in stage.nodes:
            node.serve(stage.revision, *others)
        for revision in others:
            leader.council.update(replicas(1, revision.name))
            other.council.update(replicas(1, revision.name))
        leader.council.update(replicas(0, "b-2"))
        await stage.turn()
        for node in stage.nodes:
            node.serve(stage.revision)
        await stage.later(0.3)
        await stage.later(0.3)
        assert leader.council.follower.replicas.keys() == other.council.follower.replicas.keys() == {NAME}
        for node in stage.nodes:
            node.serve(stage.revision, *others)
            for revision in others:
                node.council.update(replicas(1, revision.name))
        assert [len(other.queues[each.name].replicas.endpoints) for each in others] == [1, 1, 0]


async def test_a_replica_that_the_leader_ends_is_left_alone_by_an_edge_that_hears_of_its_revision_later() -> None:
    async with led(2, ready=1) as (stage, leader, (other,)):
        later = Revision("b-1", "b")
        leader.serve(stage.revision, later)
        leader.council.update(replicas(1, "b-1"))
        await stage.turn()
        await stage.later(0.3)
        leader.council.update(replicas(0, "b-1"))
        await stage.turn()
        other.serve(stage.revision, later)
        other.council.update(replicas(1, "b-1"))
        assert not other.queues["b-1"].replicas.endpoints


async def test_an_edge_that_comes_later_leaves_a_replica_alone_that_is_ending_already() -> None:
    async with led(ready=2) as (stage, leader, others):
        await stage.arrived(others[0])
        (busy,) = [name for node in stage.nodes for name in node.council.collect()[NAME].busy]
        every = stage.capacity
        left = tuple(each for each in every.endpoints if each.replica != busy)
        leader.council.update(type(every)(every.revision, left, every.start))
        await stage.turn()
        newcomer = stage.join()
        stage.elect(leader)
        await stage.turn()
        callers = await stage.arrived(*[newcomer] * 4)
        assert {caller.replica for caller in callers} == {each.replica for each in left}


async def test_a_replica_that_the_leader_has_not_seen_yet_is_used() -> None:
    async with led(ready=1) as (stage, _, others):
        stage.capacity = type(stage.capacity)(NAME, stage.capacity.endpoints, stage.capacity.start)
        follower = others[0]
        follower.council.update(replicas(2))
        callers = await stage.arrived(*[follower] * 4)
        assert {caller.replica for caller in callers} == {"r1", "r2"}


async def test_without_the_leader_edges_go_by_what_they_see() -> None:
    async with led(ready=2) as (stage, leader, others):
        every = stage.capacity
        leader.council.update(type(every)(every.revision, every.endpoints[:1], every.start))
        leader.council.settled(NAME, lambda _: None)
        await stage.turn()
        stage.kill(leader)
        await stage.turn()
        callers = await stage.arrived(*[others[0]] * 4)
        assert {(caller.state, caller.replica) for caller in callers} == {("running", "r1"), ("running", "r2")}


async def test_a_replica_that_was_left_is_left_alone_while_the_leader_that_may_end_it_cannot_be_heard() -> None:
    async with led(2, ready=2) as (stage, leader, (other,)):
        every = stage.capacity
        leader.council.update(type(every)(every.revision, every.endpoints[:1], every.start))
        drained = asyncio.ensure_future(leader.council.drained(NAME, "r2"))
        await stage.later(0.3)
        await stage.spin()
        assert drained.done()
        stage.disconnect(leader, other)
        await stage.turn()
        assert {caller.replica for caller in await stage.arrived(*[other] * 4)} == {"r1"}
        stage.connect(leader, other)
        await stage.turn()
        await stage.later(0.3)
        assert {caller.replica for caller in await stage.arrived(*[other] * 4)} == {"r1"}
        leader.council.update(every)
        await stage.turn()
        assert "r2" in {caller.replica for caller in await stage.arrived(*[other] * 4)}


@pytest.mark.parametrize("another", [True, False])
async def test_what_a_leader_was_to_end_is_used_again_once_another_one_leads_or_it_does_no_more(another: bool) -> None:
    async with led(3, ready=2) as (stage, leader, others):
        every = stage.capacity
        leader.council.update(type(every)(every.revision, every.endpoints[:1], every.start))
        await stage.turn()
        for other in others:
            stage.disconnect(leader, other)
        await stage.turn()
        stage.elect(others[0] if another else None)
        for other in others if not another else ():
            stage.connect(leader, other)
        await stage.turn()
        await stage.later(0.3)
        assert {caller.replica for caller in await stage.arrived(*[others[1]] * 4)} == {"r1", "r2"}


async def test_a_request_without_a_replica_is_told_to_the_leader_at_once() -> None:
    async with led(ready=0) as (stage, leader, others):
        await stage.arrived(others[0])
        assert leader.wakes
        assert others[0].wakes
        assert leader.council.look(NAME).open == 1


async def test_an_edge_that_is_back_is_counted_anew() -> None:
    async with led() as (stage, leader, others):
        (running,) = await stage.arrived(others[0])
        others[0].council.collect()
        await stage.turn()
        stage.disconnect(leader, others[0])
        running.finish()
        await stage.turn()
        assert leader.council.look(NAME).open == 1
        stage.connect(leader, others[0])
        assert not leader.council.leads()
        await stage.turn()
        assert (leader.council.leads(), leader.council.look(NAME).open) == (True, 0)


async def test_idle_clocks_come_from_an_earlier_run() -> None:
    async with led() as (_, leader, _others):
        leader.council.restore(NAME, 17.0, None)
        assert leader.council.look(NAME).idle_since == 17.0


async def test_a_request_is_served_though_one_who_was_asked_to_begin_none_cannot_be_reached() -> None:
    async with led(3, 1) as (stage, leader, (other, lost)):
        leader.ways[lost.name].cut()
        assert not leader.council.settled(NAME, lambda _: None)
        await stage.turn()
        for node in (leader, other):
            stage.disconnect(lost, node)
        await stage.turn()
        (caller,) = await stage.arrived(other)
        assert caller.state == "running"
        stage.connect(lost, leader)
        stage.connect(lost, other)


async def test_what_was_confirmed_to_a_leader_counts_no_more_when_it_leads_anew() -> None:
    async with led(2, 1) as (stage, leader, (other,)):
        assert not leader.council.settled(NAME, lambda _: None)
        leader.ways[other.name].deliver()  # and its answer is under way
        stage.elect(other)
        leader.council.elected, other.council.elected = (lambda: True), (lambda: False)
        leader.sweep()
        assert not leader.council.settled(NAME, lambda _: None)
        other.ways[leader.name].deliver()
        assert not leader.council.settled(NAME, lambda _: None)


async def test_a_leader_is_followed_by_its_new_connection_though_the_former_one_was_not_lost_yet() -> None:
    async with led(2) as (stage, leader, (other,)):
        stage.reconnect(other, leader)
        assert not leader.council.leads()
        await stage.turn()
        await stage.later(0.3)
        assert leader.council.leads()
        (running,) = await stage.arrived(other)
        other.council.collect()
        await stage.turn()
        assert (running.state, leader.council.look(NAME).open) == ("running", 1)


async def test_a_replica_ends_when_an_edge_that_was_lost_before_it_was_ever_met_has_left_it_too() -> None:
    async with led(2) as (stage, former, (other,)):
        running = await stage.arrived(other, other)
        leader = stage.make("e9")
        leader.lost(other.name)
        other.lost(leader.name)
        stage.kill(former)
        stage.elect(leader)
        every = stage.capacity
        leader.council.update(type(every)(every.revision, every.endpoints[:1], every.start))
        drained = asyncio.ensure_future(leader.council.drained(NAME, "r2"))
        await stage.later(0.3)
        assert leader.council.leads()
        assert not drained.done()
        stage.connect(leader, other)
        await stage.turn()
        for caller in running:
            caller.finish()
        await stage.later(0.3)
        await stage.spin()
        assert drained.done()


async def test_a_replica_ends_when_an_edge_that_was_never_met_is_gone() -> None:
    async with led(1) as (stage, leader, _):
        leader.lost("e9")
        every = stage.capacity
        leader.council.update(type(every)(every.revision, every.endpoints[:1], every.start))
        drained = asyncio.ensure_future(leader.council.drained(NAME, "r2"))
        await stage.turn()
        assert not drained.done()
        leader.gone("e9")
        await stage.turn()
        assert drained.done()
