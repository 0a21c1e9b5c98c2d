"""Admission over several edges: who owns, who claims, and what happens when edges come and go."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from activator.peers.views import owner as owner_of
from tests.activator.peers.edges import NAME, Edges
from tests.router.fakes import replicas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.activator.peers.stage import Caller

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def edges(count: int = 2, ready: int = 1, **limits: object) -> AsyncIterator[Edges]:
    stage = Edges(count, **{"container_concurrency": 1, **limits})
    stage.grow(ready)
    await stage.turn()
    try:
        yield stage
    finally:
        await stage.clear()


def states(*callers: Caller) -> list[str]:
    return [caller.state for caller in callers]


async def test_a_limit_holds_over_all_edges_in_the_order_of_arrival() -> None:
    async with edges(3) as stage:
        callers = await stage.arrived(stage.owner)
        callers += await stage.arrived(*stage.nodes, *stage.nodes)
        for caller in callers:
            assert [each.name for each in callers if each.state == "running"] == [caller.name]
            caller.finish()
            await stage.turn()


async def test_an_unlimited_revision_asks_nobody() -> None:
    async with edges(2, container_concurrency=0) as stage:
        before = [way.sent.total() for node in stage.nodes for way in node.ways.values()]
        callers = await stage.arrived(*stage.nodes * 5)
        assert set(states(*callers)) == {"running"}
        assert before == [way.sent.total() for node in stage.nodes for way in node.ways.values()]


async def test_the_owner_asks_nobody() -> None:
    async with edges(2) as stage:
        (way,) = stage.owner.ways.values()
        before = way.sent.total()
        (caller,) = await stage.arrived(stage.owner)
        assert caller.state == "running"
        assert way.sent.total() == before


async def test_who_waits_at_a_dead_owner_waits_at_the_next_one_by_the_time_of_arrival() -> None:
    async with edges(3) as stage:
        dead, (one, two) = stage.owner, stage.others
        running, first, second, third = await stage.arrived(one, two, one, two)
        stage.kill(dead)
        await stage.turn()
        assert states(running, first, second, third) == ["running", "waiting", "waiting", "waiting"]
        for ends, begins in ((running, first), (first, second), (second, third)):
            ends.finish()
            await stage.turn()
            assert (ends.state, begins.state) == ("done", "running")


async def test_what_a_dead_edge_had_is_free_again() -> None:
    async with edges(3) as stage:
        one, two = stage.others
        await stage.arrived(one)
        (waiting,) = await stage.arrived(two)
        stage.kill(one)
        await stage.turn()
        assert waiting.state == "running"


async def test_what_an_edge_had_that_fell_silent_stays_taken_until_it_is_known_to_be_gone() -> None:
    async with edges(3) as stage:
        one, two = stage.others
        await stage.arrived(one)
        (waiting,) = await stage.arrived(two)
        for other in (stage.owner, two):
            stage.disconnect(one, other)
        await stage.turn()
        assert waiting.state == "waiting"
        one.dead = True
        for other in (stage.owner, two):
            other.gone(one.name)
        await stage.turn()
        assert waiting.state == "running"


@pytest.mark.parametrize("noticed", ["together", "by the heir first", "by the other one first"])
async def test_who_came_first_goes_first_at_the_next_owner_wherever_it_waits(noticed: str) -> None:
    async with edges(3) as stage:
        dead = stage.owner
        after = owner_of(NAME, frozenset(node.name for node in stage.others))
        heir, other = sorted(stage.others, key=lambda node: node.name != after)
        running, older, newer = await stage.arrived(dead, other, heir)
        assert states(running, older, newer) == ["running", "waiting", "waiting"]
        first, second = (other, heir) if noticed == "by the other one first" else (heir, other)
        stage.kill(dead, noticed_by=first)
        if noticed != "together":
            await stage.turn()
        stage.notice(second, dead)
        first.ways[second.name].deliver()  # before those who wait have been woken
        await stage.turn()
        assert states(older, newer) == ["running", "waiting"]


async def test_nothing_begins_before_all_edges_have_told_what_they_run() -> None:
    async with edges(3) as stage:
        dead, (one, two) = stage.owner, stage.others
        (running,) = await stage.arrived(one)
        stage.kill(dead, noticed_by=two)
        (waiting,) = await stage.arrived(two)
        assert waiting.state == "waiting"
        stage.notice(one, dead)
        await stage.turn()
        assert waiting.state == "waiting"
        running.finish()
        await stage.turn()
        assert waiting.state == "running"


async def test_a_claim_that_was_repeated_while_its_grant_was_under_way_waits_no_more() -> None:
    async with edges(3) as stage:
        dead = stage.owner
        after = owner_of(NAME, frozenset(node.name for node in stage.others))
        owner, one = sorted(stage.others, key=lambda node: node.name != after)
        caller = stage.arrive(one)
        stage.kill(dead, noticed_by=one)
        await stage.turn()
        stage.notice(owner, dead)
        await stage.turn()
        assert caller.state == "running"
        assert owner.queues[NAME].held == 0


async def test_a_grant_that_crosses_a_new_view_counts_no_more() -> None:
    async with edges(2) as stage:
        owner, (other,) = stage.owner, stage.others
        caller = stage.arrive(other)
        other.ways[owner.name].deliver()  # the claim; its grant is under way
        here = frozenset((owner.name, other.name))
        names = (f"j{number}" for number in range(100))
        joiner = stage.make(next(name for name in names if owner_of(NAME, here | {name}) == owner.name))
        stage.connect(other, joiner)
        other.ways[owner.name].deliver()  # the view, in which nothing runs
        owner.ways[other.name].deliver()  # the grant
        assert caller.state == "waiting"
        stage.connect(owner, joiner)
        await stage.turn()
        (second,) = await stage.arrived(owner)
        assert states(caller, second) == ["running", "waiting"]


async def test_a_request_keeps_its_slot_when_an_edge_joins_that_owns_it_from_then_on() -> None:
    async with edges(1) as stage:
        callers = await stage.arrived(*stage.nodes * 3)
        while stage.nodes[0].owns:
            stage.join()
            await stage.turn()
        owner = stage.owner.queues[NAME]
        assert (states(*callers), owner.held) == (["running", "waiting", "waiting"], 2)
        callers[0].finish()
        await stage.turn()
        assert states(*callers) == ["done", "running", "waiting"]


async def test_edges_that_cannot_see_an_owner_hold_what_it_owns_and_it_goes_on() -> None:
    async with edges(3) as stage:
        owner, others = stage.owner, stage.others
        (running,) = await stage.arrived(others[0])
        for other in others:
            stage.disconnect(owner, other)
        await stage.turn()
        callers = await stage.arrived(owner, *others)
        assert states(running, *callers) == ["running", "waiting", "waiting", "waiting"]
        running.finish()
        await stage.turn()
        assert states(*callers) == ["waiting", "waiting", "waiting"]
        for other in others:
            stage.connect(owner, other)
        await stage.turn()
        assert states(*callers) == ["running", "waiting", "waiting"]


async def test_who_finds_out_that_an_edge_is_gone_tells_the_others() -> None:
    async with edges(3) as stage:
        dead, (one, two) = stage.owner, stage.others
        for other in (one, two):
            stage.disconnect(dead, other)
        dead.dead = True
        await stage.turn()
        (held,) = await stage.arrived(one)
        assert held.state == "waiting"
        two.gone(dead.name)
        await stage.turn()
        assert held.state == "running"


async def test_a_limit_that_comes_by_a_reload_counts_what_runs_already() -> None:
    async with edges(2, container_concurrency=0) as stage:
        running = await stage.arrived(*stage.nodes)
        stage.take(container_concurrency=2)
        await stage.turn()
        (waiting,) = await stage.arrived(stage.others[0])
        assert waiting.state == "waiting"
        running[0].finish()
        await stage.turn()
        assert waiting.state == "running"


async def test_a_hold_ends_in_time_while_the_owner_cannot_be_asked() -> None:
    async with edges(3, hold=2.0) as stage:
        one, two = stage.others
        stage.kill(stage.owner, noticed_by=one)
        stage.arrive(one)
        await stage.turn()
        await stage.later(2.1)
        (caller,) = one.callers
        assert (caller.state, caller.error.reason if caller.error else "") == ("refused", "hold_timeout")
        (dead,) = [node for node in stage.nodes if node.dead]
        stage.notice(two, dead)


async def test_a_strict_revision_begins_nothing_at_any_edge_and_asks_to_be_woken() -> None:
    async with edges(2) as stage:
        for node in stage.nodes:
            node.tenure.restrict(frozenset((NAME,)))
        callers = await stage.arrived(*stage.nodes)
        assert states(*callers) == ["waiting", "waiting"]
        assert stage.owner.wakes
        for node in stage.nodes:
            node.tenure.restrict(frozenset())
        await stage.turn()
        assert states(*callers) == ["running", "waiting"]


async def test_a_replica_that_was_avoided_is_used_again_by_whoever_owns_it_then() -> None:
    async with edges() as stage:
        owner, (heir,) = stage.owner, stage.others
        heir.connections.refused.add("r1")
        (caller,) = await stage.arrived(heir)
        assert (heir.connections.tried, caller.state) == (1, "waiting")
        heir.connections.refused.clear()
        stage.kill(owner)
        await stage.turn()
        await stage.later(0.2)
        assert caller.state == "running"


async def test_a_revision_that_leaves_the_table_and_comes_back_counts_what_others_have_run_all_the_time() -> None:
    async with edges(2) as stage:
        owner, (other,) = stage.owner, stage.others
        (running,) = await stage.arrived(other)
        for node in stage.nodes:
            node.serve()
        await stage.turn()
        await stage.later(0.3)
        for node in stage.nodes:
            node.configure()
        await stage.turn()
        first, second = await stage.arrived(owner, other)
        assert states(running, first, second) == ["running", "waiting", "waiting"]
        running.finish()
        await stage.turn()
        assert states(first, second) == ["running", "waiting"]


async def test_while_the_owner_cannot_be_asked_a_queue_has_its_bounds_at_each_edge() -> None:
    async with edges(3, queue_depth=5, queue_bytes=100) as stage:
        owner, (one, two) = stage.owner, stage.others
        for other in (one, two):
            stage.disconnect(owner, other)
        callers = await stage.arrived(*[one] * 6)  # one and two disagree at first
        assert states(*callers) == ["waiting"] * 5 + ["refused"]
        assert (callers[-1].error.reason if callers[-1].error else "") == "queue_full"
        large, second = stage.arrive(two, body=60), stage.arrive(two, body=60)
        await stage.turn()
        assert states(large, second) == ["waiting", "refused"]
        large.leave()
        await stage.spin()
        callers = await stage.arrived(*[two] * 6)
        assert states(*callers) == ["waiting"] * 5 + ["refused"]
        for other in (one, two):
            stage.connect(owner, other)
        await stage.turn()
        assert (stage.owner.queues[NAME].held, stage.running().total()) == (9, 1)  # nobody is sent away


async def test_claims_that_are_granted_at_once_need_no_room_in_a_queue() -> None:
    async with edges(2, container_concurrency=10, queue_depth=1) as stage:
        callers = await stage.arrived(*stage.others * 10)
        assert set(states(*callers)) == {"running"}


async def test_the_next_owner_grants_nothing_while_one_is_lost_that_told_only_the_former_one_what_it_runs() -> None:
    async with edges(3) as stage:
        dead = stage.owner
        after = owner_of(NAME, frozenset(node.name for node in stage.others))
        heir, other = sorted(stage.others, key=lambda node: node.name != after)
        (running,) = await stage.arrived(other)
        for node in (heir, dead):
            stage.disconnect(other, node)
        await stage.turn()
        stage.kill(dead)
        await stage.turn()
        (waiting,) = await stage.arrived(heir)
        assert states(running, waiting) == ["running", "waiting"]
        other.gone(dead.name)
        stage.connect(heir, other)
        await stage.turn()
        assert states(running, waiting) == ["running", "waiting"]
        running.finish()
        await stage.turn()
        assert waiting.state == "running"


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_who_waits_for_a_wake_and_comes_back_to_a_queue_is_not_refused_for_waking_too_often(count: int) -> None:
    async with edges(count, 0, max_wakes=1) as stage:
        stage.capacity = replicas(0, NAME, "asleep")

        def nothing_has_come_of_it() -> None:
            for node in stage.living:
                node.council.update(stage.capacity)

        nothing_has_come_of_it()
        callers = await stage.arrived(*stage.nodes)
        for _ in range(3):  # each time it gets another owner, or is claimed again of the same one
            nothing_has_come_of_it()
            stage.join()
            await stage.turn()
            assert set(states(*callers)) == {"waiting"}


async def test_what_an_owner_runs_at_a_former_address_of_a_replica_is_counted_with_what_runs_at_the_new_one() -> None:
    async with edges(1) as stage:
        (node,) = stage.nodes
        old, *_ = await stage.arrived(node)
        (endpoint,) = stage.capacity.endpoints
        node.council.update(replace(stage.capacity, endpoints=(endpoint._replace(port=9000),)))
        new, *_ = await stage.arrived(node)
        assert states(old, new) == ["running", "running"]
        assert node.council.in_flight(NAME) == {"r1": 2}
