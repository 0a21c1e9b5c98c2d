"""One owner and its claimers, in virtual time: what one process would do, done by several."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import looptime
import pytest

from activator.peers import messages as m
from router.errors import Reason
from router.table import Limits, Revision, Share
from tests.activator.peers.stage import NAME, Caller, Stage
from tests.router.fakes import replicas, service, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Staged = Callable[..., Stage]

pytestmark = pytest.mark.looptime


@pytest.fixture
async def staged() -> AsyncIterator[Staged]:
    stages: list[Stage] = []

    def make(nodes: int = 2, **limits: object) -> Stage:
        stages.append(Stage(nodes, **limits))
        return stages[-1]

    yield make
    with looptime.enabled(strict=True):
        for stage in stages:
            await stage.clear()


def states(callers: list[Caller]) -> list[str]:
    return [caller.state for caller in callers]


async def warm(stage: Stage, count: int = 1) -> Stage:
    stage.grow(count)
    await stage.turn()
    return stage


async def test_a_warm_request_without_a_limit_asks_nobody(staged: Staged) -> None:
    stage = await warm(staged())
    (caller,) = await stage.arrived(0)
    caller.finish()
    await stage.turn()
    assert caller.state == "done"
    assert set(stage.nodes[0].there.sent) == {"Applied"}


async def test_a_request_that_finds_no_replica_wakes_one_and_is_held(staged: Staged) -> None:
    stage = staged()
    (caller,) = await stage.arrived(1)
    assert (caller.state, stage.wakes) == ("waiting", [NAME])
    assert stage.owner.look(NAME).held == 1
    await warm(stage)
    assert caller.state == "running"


async def test_those_who_wait_at_several_are_sent_on_in_the_order_of_arrival(staged: Staged) -> None:
    stage = staged(3, container_concurrency=1)
    callers = await stage.arrived(2, 0, 1, 2, 1)
    await warm(stage)
    for caller in callers:
        assert caller.state == "running", (callers, stage.granted)
        caller.finish()
        await stage.turn()
    assert stage.granted == ["c1", "c2", "c3", "c4", "c5"]


async def test_one_who_arrived_earlier_goes_first_though_its_claim_comes_later(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1)
    early, late = stage.arrive(0), stage.arrive(1)
    stage.nodes[1].there.deliver()
    await stage.turn()
    await warm(stage)
    assert states([early, late]) == ["running", "waiting"]


async def test_the_limit_of_a_replica_holds_over_all(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=2), 2)
    callers = await stage.arrived(0, 1, 0, 1, 0, 1)
    assert sorted(stage.running().values()) == [2, 2]
    assert states(callers).count("waiting") == 2


async def test_the_queue_is_as_long_as_it_may_be_over_all(staged: Staged) -> None:
    stage = staged(2, queue_depth=3)
    callers = await stage.arrived(0, 1, 0, 1)
    assert states(callers) == ["waiting"] * 3 + ["refused"]
    refused = callers[3].error
    assert refused is not None
    assert refused.reason is Reason.QUEUE_FULL
    assert refused.retry_after is not None
    assert refused.detail["start"] == {"phase": "asleep", "message": "", "attempts": 0}


async def test_bytes_that_wait_are_counted_over_all(staged: Staged) -> None:
    stage = staged(2, queue_bytes=100)
    callers = [stage.arrive(0, body=60), stage.arrive(1, body=60)]
    await stage.turn()
    assert states(callers) == ["waiting", "refused"]


async def test_a_hold_that_ends_is_told(staged: Staged) -> None:
    stage = staged(2, hold=5.0)
    (caller,) = await stage.arrived(1)
    await stage.later(5.1)
    assert caller.error is not None
    assert caller.error.reason is Reason.HOLD_TIMEOUT


async def test_a_start_that_fails_is_told_to_all_who_wait(staged: Staged) -> None:
    stage = staged()
    callers = await stage.arrived(0, 1)
    stage.grow(0, "failing", message="no such file", retry_at=stage.clock() + 9)
    await stage.turn()
    assert [caller.error.reason for caller in callers if caller.error] == [Reason.START_FAILED] * 2


async def test_a_slot_that_was_used_serves_the_next_request_without_a_claim(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    for _ in range(5):
        (caller,) = await stage.arrived(0)
        caller.finish()
        await stage.turn()
    assert stage.nodes[0].there.sent["Claim"] == 1
    assert stage.nodes[0].there.sent["Release"] == 0


async def test_a_slot_that_nobody_uses_goes_back(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    (caller,) = await stage.arrived(0)
    caller.finish()
    for _ in range(2):
        await stage.later(0.25)
    assert stage.owner.queues[NAME].in_flight() == {}


async def test_as_many_spare_slots_are_recalled_as_others_wait_for(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=3), 1)
    for caller in await stage.arrived(0, 0, 0):
        caller.finish()
    await stage.turn()
    (other,) = await stage.arrived(1)
    again = await stage.arrived(0, 0)
    assert states([other, *again]) == ["running"] * 3
    there = stage.nodes[0].there.sent
    assert (there["Release"], there["Claim"]) == (1, 3)


async def test_those_who_come_together_are_told_elsewhere_together(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=3), 1)
    await stage.arrived(0, 0, 0)
    told = stage.nodes[0].back.sent["Recall"]
    await stage.arrived(1, 1, 1)
    assert stage.nodes[0].back.sent["Recall"] == told + 1


async def test_of_slots_that_are_granted_together_who_waits_elsewhere_is_told_once_before_and_once_after(
    staged: Staged,
) -> None:
    stage = staged(4, container_concurrency=20)
    await stage.arrived(*range(40))
    stage.grow(1)
    assert [node.back.sent["Grant"] for node in stage.nodes] == [5] * 4
    assert all(node.back.sent["Recall"] <= 2 for node in stage.nodes)


async def test_it_is_told_as_rarely_of_slots_that_a_lost_claimer_had_or_that_a_reload_adds(staged: Staged) -> None:
    stage = await warm(staged(4, container_concurrency=20))
    await stage.arrived(*[0] * 20, *range(1, 4), *[1, 2, 3] * 12)
    told = Counter({node.account.number: node.back.sent["Recall"] for node in stage.nodes})
    stage.nodes[0].kill()
    await stage.turn()
    assert sum(node.back.sent["Grant"] for node in stage.living) == 20
    assert all(node.back.sent["Recall"] - told[node.account.number] <= 2 for node in stage.living)
    told = Counter({node.account.number: node.back.sent["Recall"] for node in stage.nodes})
    stage.take(Revision(NAME, "a", Limits(container_concurrency=35)))
    await stage.turn()
    assert sum(node.back.sent["Grant"] for node in stage.living) == 35
    assert all(node.back.sent["Recall"] - told[node.account.number] <= 2 for node in stage.living)


async def test_a_slot_that_comes_back_goes_to_who_waits_at_the_same_claimer_at_once(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    first, second = await stage.arrived(0, 0)
    first.finish()
    await stage.spin()
    assert second.state == "running"
    await stage.turn()
    second.finish()
    (third,) = await stage.arrived(1)
    assert third.state == "running"


async def test_a_slot_that_comes_back_goes_to_who_came_before_at_another_claimer(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    running, *waiting = await stage.arrived(0, 0, 1, 0, 1)
    for next_one in waiting:
        running.finish()
        await stage.turn()
        assert states([running, next_one]) == ["done", "running"], stage.granted
        running = next_one


async def test_it_goes_at_once_to_who_came_before_those_at_another_claimer(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    first, second, third, fourth = await stage.arrived(0, 0, 1, 0)
    first.finish()
    await stage.spin()
    assert second.state == "running"
    await stage.turn()
    second.finish()
    await stage.spin()
    assert states([third, fourth]) == ["waiting", "waiting"]
    await stage.turn()
    assert states([third, fourth]) == ["running", "waiting"]


async def test_a_slot_granted_to_one_who_has_left_goes_to_who_is_next_of_all(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1)
    leaver, second, third = await stage.arrived(0, 1, 0)
    leaver.leave()
    stage.grow(1)
    await stage.turn()
    assert states([leaver, second, third]) == ["gone", "running", "waiting"]


async def test_nothing_is_owed_for_one_at_another_claimer_who_has_a_slot_by_now(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 2)
    here, there = await stage.arrived(0, 1)
    waits_there, waits_here = await stage.arrived(1, 0)
    there.finish()
    await stage.turn()
    assert states([waits_there, waits_here]) == ["running", "waiting"]
    here.finish()
    await stage.spin()
    assert waits_here.state == "running"


async def test_more_slots_than_are_recalled_at_a_time_come_back_all_the_same(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=150))
    first = await stage.arrived(*[0] * 150)
    others = await stage.arrived(*[1] * 150)
    for caller in first:
        caller.finish()
    await stage.turn()
    assert set(states(others)) == {"running"}


async def test_those_at_another_claimer_are_not_overtaken_after_a_replica_is_trusted_again(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1)
    stage.nodes[0].connections.refused.add("r1")
    first, second, third = await stage.arrived(0, 1, 0)
    await warm(stage)
    stage.nodes[0].connections.refused.clear()
    await asyncio.sleep(0.2)
    await stage.turn()
    first.finish()
    await stage.turn()
    assert states([first, second, third]) == ["done", "running", "waiting"]


async def test_a_slot_granted_to_one_who_had_another_by_then_serves_the_next(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    first, second = await stage.arrived(0, 0)
    stage.grow(2)
    first.finish()
    await stage.spin()
    assert second.state == "running"
    await stage.turn()
    claims = stage.nodes[0].there.sent["Claim"]
    (third,) = await stage.arrived(0)
    assert (third.state, stage.nodes[0].there.sent["Claim"]) == ("running", claims)


class Twice:
    """Tells both."""

    def __init__(self, *hearers: Callable[[m.ToOwner], None]) -> None:
        self._hearers = hearers

    def __call__(self, message: m.ToOwner) -> None:
        for hear in self._hearers:
            hear(message)


async def test_a_claim_may_wait_a_moment_where_a_slot_may_come_back_and_only_there(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1)
    patient: list[m.ToOwner] = []
    for node in stage.nodes:
        node.claimer.put = Twice(patient.append, node.there.send)
    (first,) = await stage.arrived(0)
    assert (first.state, patient) == ("waiting", [])
    await warm(stage, 1)
    assert first.state == "running"
    await stage.arrived(1)
    assert patient == []
    await stage.arrived(0)
    assert [type(message) for message in patient] == [m.Claim]


async def test_a_claim_that_has_not_left_is_not_withdrawn_but_taken_back(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    first, _ = await stage.arrived(0, 1)
    told = stage.nodes[0].there.sent.copy()
    second = stage.arrive(0)
    await stage.spin()
    second.leave()
    await stage.turn()
    assert stage.nodes[0].there.sent - told == {"Claim": 1}
    first.finish()
    await stage.turn()
    assert stage.running() == {"r1": 1}


async def test_slots_are_recalled_from_a_claimer_whose_own_request_waits_no_more(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    running, leaver, waiting = await stage.arrived(0, 0, 1)
    leaver.leave()
    await stage.turn()
    running.finish()
    await stage.turn()
    assert states([running, leaver, waiting]) == ["done", "gone", "running"]


async def test_slots_are_recalled_from_a_claimer_whose_own_request_was_given_a_new_replica(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    running, served, waiting = await stage.arrived(0, 0, 1)
    stage.grow(2)
    await stage.turn()
    assert states([running, served, waiting]) == ["running", "running", "waiting"]
    running.finish()
    await stage.turn()
    assert waiting.state == "running"


async def test_slots_are_recalled_from_a_claimer_whose_own_request_goes_by_a_raised_limit(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    _, served, waiting = await stage.arrived(0, 0, 1)
    stage.take(replace(stage.revision, limits=replace(stage.revision.limits, container_concurrency=2)))
    await stage.turn()
    assert states([served, waiting]) == ["running", "waiting"]
    served.finish()
    await stage.turn()
    assert waiting.state == "running"


async def test_a_spare_slot_goes_back_when_its_replica_gets_another_address(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    (first,) = await stage.arrived(0)
    first.finish()
    await stage.turn()
    told = stage.owner.queues[NAME].replicas
    moved = tuple(endpoint._replace(port=endpoint.port + 1000) for endpoint in told.endpoints)
    stage.owner.update(replace(told, endpoints=moved))
    await stage.turn()
    assert stage.owner.queues[NAME].in_flight() == {}
    running, waiting = await stage.arrived(0, 1)
    running.finish()
    await stage.turn()
    assert waiting.state == "running"


async def test_what_still_runs_at_a_former_address_takes_no_slot_of_the_new_one(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    (old,) = await stage.arrived(0)
    told = stage.owner.queues[NAME].replicas
    moved = tuple(endpoint._replace(port=endpoint.port + 1000) for endpoint in told.endpoints)
    stage.owner.update(replace(told, endpoints=moved))
    await stage.turn()
    new, waiting = await stage.arrived(0, 1)
    assert states([old, new, waiting]) == ["running", "running", "waiting"]
    new.finish()
    await stage.turn()
    assert states([old, new, waiting]) == ["running", "done", "running"]


@pytest.mark.parametrize("last", [0, 1])
async def test_a_replica_that_got_another_address_is_drained_when_nothing_runs_at_either(
    staged: Staged, last: int
) -> None:
    stage = await warm(staged(1, container_concurrency=1))
    told = stage.owner.queues[NAME].replicas
    callers = await stage.arrived(0)
    stage.owner.update(replace(told, endpoints=(told.endpoints[0]._replace(port=9000),)))
    callers += await stage.arrived(0)
    await stage.later(0.3)
    assert stage.owner.in_flight(NAME) == {"r1": 2}
    stage.owner.update(replace(told, endpoints=()))
    drained = asyncio.ensure_future(stage.owner.drained(NAME, "r1"))
    await stage.turn()
    callers[1 - last].finish()
    await stage.turn()
    assert not drained.done()
    callers[last].finish()
    await stage.turn()
    assert drained.done()


async def test_a_revision_that_comes_back_as_it_was_is_known_to_those_who_had_forgotten_it(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    (old,) = await stage.arrived(0)
    revision = stage.revision
    stage.take(Revision("a-2", "a", Limits()))
    await stage.later(0.25)
    stage.take(revision)
    await stage.turn()
    (waiting,) = await stage.arrived(1)
    old.finish()
    await stage.turn()
    assert waiting.state == "running"
    assert sum(node.there.sent["Claim"] for node in stage.nodes) == 2


async def test_a_request_that_may_wake_nothing_is_counted_like_any_other(staged: Staged) -> None:
    stage = staged(max_wakes=1)
    (first,) = await stage.arrived(0)
    first.leave()
    await stage.later(0.3)
    stage.grow(0, phase="asleep")
    (second,) = await stage.arrived(0)
    await stage.later(0.3)
    assert second.error is not None
    assert second.error.reason is Reason.WAKE_LIMITED
    assert stage.answered()[503] == stage.owner.counters.revisions[NAME].reasons[Reason.WAKE_LIMITED] == 1


async def test_a_claim_that_is_under_way_when_its_revision_loses_its_share_is_for_the_other_one(staged: Staged) -> None:
    stage = await warm(staged(container_concurrency=1))
    await stage.arrived(0)
    stage.arrive(1)
    stage.pass_over(Revision("a-2", "a", stage.revision.limits))
    await stage.turn()
    assert {name: queue.held for name, queue in stage.owner.queues.items()} == {NAME: 0, "a-2": 1}


async def test_and_when_its_revision_loses_its_last_replica_and_another_stands_in(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    first, other = stage.revision, Revision("a-2", "a", stage.revision.limits)
    stage.pass_over(other, percent=50)
    stage.owner.update(replicas(1, NAME))
    await stage.turn()
    stage.revision = first
    stage.arrive(1)
    stage.revision = other
    stage.owner.update(replicas(0, NAME))
    await stage.turn()
    assert {name: queue.held for name, queue in stage.owner.queues.items()} == {NAME: 0, "a-2": 1}


async def test_one_who_comes_back_is_not_refused_though_the_queue_has_filled_up_meanwhile(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1, queue_depth=2)
    stage.nodes[0].connections.refused, stage.nodes[0].connections.delay = {"r1"}, 1.0
    callers = await stage.arrived(0, 1)
    await warm(stage)
    callers += await stage.arrived(1, 1)
    await stage.later(1.1)
    assert states(callers) == ["waiting", "waiting", "waiting", "refused"]


async def test_a_replica_that_could_not_be_connected_once_is_trusted_again(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=2), 1)
    stage.nodes[0].connections.refused.add("r1")
    (first,) = await stage.arrived(0)
    stage.nodes[0].connections.refused.clear()
    await stage.later(0.2)
    first.finish()
    await stage.turn()
    claims = stage.nodes[0].there.sent["Claim"]
    (second,) = await stage.arrived(0)
    assert second.state == "running"
    assert stage.nodes[0].there.sent["Claim"] == claims


async def test_a_slot_of_a_replica_that_leaves_does_not_count_as_given_back(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 2)
    kept, leaving = sorted(await stage.arrived(0, 0), key=lambda caller: caller.replica)
    (waiting,) = await stage.arrived(1)
    stage.grow(1)
    leaving.finish()
    await stage.turn()
    assert waiting.state == "waiting"
    kept.finish()
    await stage.turn()
    assert waiting.state == "running"


async def test_one_who_waits_elsewhere_is_not_overtaken_as_a_slot_of_a_replica_that_leaves_goes_back(
    staged: Staged,
) -> None:
    stage = await warm(staged(2, container_concurrency=1), 2)
    kept, leaving = sorted(await stage.arrived(1, 1), key=lambda caller: caller.replica)
    elsewhere, here = await stage.arrived(0, 1)
    stage.grow(1)
    await stage.turn()
    leaving.finish()
    await stage.spin()
    kept.finish()
    await stage.turn()
    assert states([elsewhere, here]) == ["running", "waiting"]


async def test_while_someone_waits_no_slot_is_kept_spare(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    first, waiting = await stage.arrived(0, 1)
    assert states([first, waiting]) == ["running", "waiting"]
    first.finish()
    again = stage.arrive(0)
    await stage.turn()
    assert states([waiting, again]) == ["running", "waiting"]


async def test_an_answer_to_a_former_claim_is_not_taken_for_one_to_the_next(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    running, first = await stage.arrived(0, 0)
    stage.nodes[0].connections.refused.add("r1")
    stage.owner.update(replicas(2))
    running.finish()
    await stage.spin()
    stage.nodes[0].connections.refused.add("r2")
    await stage.turn()
    stage.nodes[0].connections.refused.clear()
    await stage.later(0.3)
    await stage.later(0.3)
    assert first.state == "running"
    assert not stage.nodes[0].account.waiting


async def test_a_client_that_leaves_as_it_is_granted_a_slot_loses_none(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1)
    leaver, next_one = await stage.arrived(0, 1)
    stage.grow(1)
    leaver.leave()
    await stage.turn()
    assert states([leaver, next_one]) == ["gone", "running"]


async def test_a_replica_that_cannot_be_connected_puts_its_request_back_in_its_place(staged: Staged) -> None:
    stage = staged(2, container_concurrency=1)
    stage.nodes[0].connections.refused.add("r1")
    first, second = await stage.arrived(0, 1)
    await warm(stage)
    assert states([first, second]) == ["waiting", "waiting"]
    stage.nodes[0].connections.refused.clear()
    await stage.later(0.2)
    assert states([first, second]) == ["running", "waiting"]


async def test_what_a_lost_claimer_held_comes_back_at_once(staged: Staged) -> None:
    stage = await warm(staged(2, container_concurrency=1), 1)
    await stage.arrived(0)
    waiting, other = await stage.arrived(0, 1)
    stage.nodes[0].kill()
    await stage.turn()
    assert other.state == "running"
    await stage.later(0.25)
    stats = stage.owner.look(NAME)
    assert (stats.held, stats.busy) == (0, {"r1": 1})
    assert waiting in stage.callers


async def test_what_a_lost_claimer_counted_vanishes_with_it(staged: Staged) -> None:
    stage = await warm(staged())
    await stage.arrived(0, 0, 1)
    await stage.later(0.25)
    assert stage.owner.look(NAME).open == 3
    stage.nodes[0].kill()
    assert stage.owner.look(NAME).open == 1
    stage.nodes[1].kill()
    stats = stage.owner.look(NAME)
    assert (stats.open, stats.idle_since) == (0, stage.clock())


async def test_one_that_comes_later_knows_the_replicas(staged: Staged) -> None:
    stage = await warm(staged(1))
    stage.join()
    await stage.turn()
    (caller,) = await stage.arrived(1)
    assert caller.state == "running"


async def test_those_held_for_a_revision_that_has_left_are_resolved_again(staged: Staged) -> None:
    stage = staged()
    (caller,) = await stage.arrived(1)
    stage.take(Revision("a-2", "a", Limits()))
    await stage.turn()
    assert stage.owner.look("a-2").held == 1
    await warm(stage)
    assert caller.state == "running"


class TestAgreement:
    async def test_a_replica_has_drained_when_it_runs_nothing_anywhere(self, staged: Staged) -> None:
        stage = await warm(staged())
        here, there = await stage.arrived(0, 1)
        stage.grow(0)
        drained = asyncio.ensure_future(stage.owner.drained(NAME, "r1"))
        await stage.turn()
        here.finish()
        await stage.turn()
        assert not drained.done()
        there.finish()
        await stage.turn()
        assert drained.done()

    async def test_an_idle_replica_has_drained_when_all_know_that_it_goes(self, staged: Staged) -> None:
        stage = await warm(staged())
        stage.grow(0)
        drained = asyncio.ensure_future(stage.owner.drained(NAME, "r1"))
        await asyncio.sleep(0)
        stage.nodes[0].back.deliver()
        stage.nodes[0].there.deliver()
        await asyncio.sleep(0)
        assert not drained.done()
        late = stage.arrive(1)  # it does not know yet, and may use the replica
        await stage.spin()
        assert late.state == "running"
        await stage.turn()
        assert not drained.done()
        late.finish()
        await stage.turn()
        assert drained.done()

    async def test_a_lost_claimer_does_not_hold_up_a_replica_that_goes(self, staged: Staged) -> None:
        stage = await warm(staged())
        await stage.arrived(0)
        stage.grow(0)
        drained = asyncio.ensure_future(stage.owner.drained(NAME, "r1"))
        await stage.turn()
        stage.nodes[0].kill()
        await asyncio.sleep(0)
        assert drained.done()

    async def test_a_replica_that_is_taken_back_is_used_again(self, staged: Staged) -> None:
        stage = await warm(staged())
        (caller,) = await stage.arrived(0)
        stage.grow(0)
        await stage.turn()
        stage.grow(1)
        await stage.turn()
        (other,) = await stage.arrived(1)
        caller.finish()
        stage.grow(0)
        drained = asyncio.ensure_future(stage.owner.drained(NAME, "r1"))
        await stage.turn()
        assert not drained.done()
        other.finish()
        await stage.turn()
        assert drained.done()

    async def test_it_is_settled_only_when_all_have_confirmed(self, staged: Staged) -> None:
        stage = await warm(staged())
        told: list[str] = []
        assert not stage.owner.settled(NAME, told.append)
        stage.nodes[0].back.deliver()
        stage.nodes[0].there.deliver()
        assert told == []
        await stage.turn()
        assert told == [NAME]
        assert stage.owner.settled(NAME, told.append)

    async def test_a_request_that_was_begun_unseen_is_seen_once_it_is_settled(self, staged: Staged) -> None:
        stage = await warm(staged())
        seen: list[int] = []
        stage.owner.settled(NAME, lambda name: seen.append(stage.owner.look(name).open))
        unseen = stage.arrive(1)
        await stage.spin()
        assert unseen.state == "running"
        await stage.turn()
        assert seen == [1]

    async def test_what_begins_after_it_is_settled_is_seen_at_once(self, staged: Staged) -> None:
        stage = await warm(staged())
        stage.owner.settled(NAME, lambda _: None)
        await stage.turn()
        (caller,) = await stage.arrived(0)
        assert caller.state == "running"
        assert stage.owner.look(NAME).open == 1
        assert stage.owner.look(NAME).busy == {"r1": 1}

    async def test_after_a_moment_claimers_choose_for_themselves_again(self, staged: Staged) -> None:
        stage = await warm(staged())
        stage.owner.settled(NAME, lambda _: None)
        await stage.turn()
        await stage.later(1.1)
        claims = stage.nodes[0].there.sent["Claim"]
        (caller,) = await stage.arrived(0)
        assert (caller.state, stage.nodes[0].there.sent["Claim"]) == ("running", claims)

    async def test_while_somebody_waits_every_request_is_a_claim(self, staged: Staged) -> None:
        stage = await warm(staged(container_concurrency=1))
        callers = await stage.arrived(0, 1, 0, 1)
        for caller in callers:
            await stage.later(0.3)
            assert caller.state == "running"
            caller.finish()
            await stage.turn()
        assert stage.nodes[0].there.sent["Claim"] == stage.nodes[1].there.sent["Claim"] == 2

    async def test_one_that_is_lost_need_not_confirm(self, staged: Staged) -> None:
        stage = await warm(staged())
        told: list[str] = []
        stage.owner.settled(NAME, told.append)
        stage.nodes[1].back.deliver()
        stage.nodes[1].there.deliver()
        stage.nodes[0].kill()
        assert told == [NAME]


class TestCounts:
    async def test_totals_of_all_are_added(self, staged: Staged) -> None:
        stage = await warm(staged())
        for caller in await stage.arrived(0, 1, 1):
            caller.finish()
        await stage.later(0.25)
        counters = stage.owner.counters.revisions[NAME]
        assert stage.answered() == {200: 3}
        assert counters.holds.count == 3

    async def test_the_concurrency_is_the_sum(self, staged: Staged) -> None:
        stage = await warm(staged())
        stage.owner.collect()
        await stage.arrived(0, 1, 1)
        for _ in range(4):
            await stage.later(0.25)
        stats = stage.owner.collect()[NAME]
        assert stats.concurrency == pytest.approx(3)
        assert (stats.requests, stats.open) == (3, 3)

    async def test_idle_clocks_of_an_earlier_run_go_on(self, staged: Staged) -> None:
        stage = await warm(staged())
        stage.owner.restore(NAME, 900.0, None)
        assert stage.owner.look(NAME).idle_since == 900.0
        for caller in await stage.arrived(0):
            caller.finish()
        await stage.later(0.25)
        assert stage.owner.look(NAME).idle_since == pytest.approx(stage.clock() - 0.25)


async def test_a_limit_that_comes_by_a_reload_counts_what_workers_began_themselves(staged: Staged) -> None:
    stage = await warm(staged())
    callers = await stage.arrived(0, 0, 1)
    assert stage.owner.queues[NAME].in_flight() == {}
    stage.take(Revision(NAME, "a", Limits(container_concurrency=2)))
    assert stage.owner.queues[NAME].closed
    await stage.turn()
    assert stage.owner.queues[NAME].in_flight() == {"r1": 3}
    late = await stage.arrived(1)
    callers[0].finish()
    await stage.turn()
    assert states(late) == ["waiting"]
    callers[2].finish()
    await stage.turn()
    assert states(late) == ["running"]


async def test_what_a_worker_counted_before_it_knew_of_a_comparison_is_no_part_of_it(staged: Staged) -> None:
    stage = await warm(staged())
    (caller,) = await stage.arrived(0)
    stage.take(replace(stage.revision, compared=1))
    caller.finish()
    await stage.spin()
    stage.nodes[0].reporter.report_all()
    while stage.nodes[0].there.deliver():
        pass
    tally = stage.owner.counters.tally(NAME)
    assert tally is not None
    assert (tally.take(), stage.answered()) == ((0, 0, {}), {200: 1})


async def test_a_limit_that_is_lowered_counts_once_what_was_granted(staged: Staged) -> None:
    stage = await warm(staged(container_concurrency=3))
    callers = await stage.arrived(0, 0)
    stage.take(Revision(NAME, "a", Limits(container_concurrency=2)))
    await stage.turn()
    assert (states(callers), stage.owner.queues[NAME].in_flight()) == (["running"] * 2, {"r1": 2})


async def test_a_limit_does_not_wait_for_a_worker_that_is_lost(staged: Staged) -> None:
    stage = await warm(staged())
    stage.take(Revision(NAME, "a", Limits(container_concurrency=1)))
    stage.nodes[0].back.deliver()
    stage.nodes[0].there.deliver()
    assert stage.owner.queues[NAME].closed
    stage.nodes[1].kill()
    assert not stage.owner.queues[NAME].closed


async def test_a_revision_that_has_left_is_counted_until_nothing_of_it_runs_anywhere(staged: Staged) -> None:
    stage = await warm(staged())
    done, long = await stage.arrived(0, 1)
    done.finish()
    await stage.later(0.3)
    stage.take(Revision("a-2", "a", Limits()))
    for _ in range(3):
        await stage.later(0.3)
    assert stage.owner.collect()[NAME].open == 1
    assert stage.owner.in_flight(NAME) == {"r1": 1}
    assert stage.answered() == {200: 1}
    long.finish()
    await stage.turn()
    stage.nodes[1].beat()
    await stage.turn()
    assert stage.answered() == {200: 2}
    await stage.later(0.3)
    assert NAME not in stage.owner.collect()
    assert NAME not in stage.owner.counters.revisions


async def test_a_slot_of_a_revision_that_has_left_is_not_kept_and_is_free_when_the_revision_is_back(
    staged: Staged,
) -> None:
    stage = await warm(staged(2, container_concurrency=1))
    revision = stage.revision
    (long,) = await stage.arrived(0)
    stage.take(Revision("a-2", "a", Limits()))
    await stage.later(1.5)
    long.finish()
    await stage.turn()
    await stage.later(0.3)
    assert NAME not in stage.owner.queues
    stage.take(revision)
    await warm(stage)
    (caller,) = await stage.arrived(1)
    assert caller.state == "running"


async def test_what_a_revision_that_has_left_was_refused_for_counts_once_and_on(staged: Staged) -> None:
    stage = await warm(staged(container_concurrency=1, queue_depth=0))
    (long,) = await stage.arrived(0)
    (refused,) = await stage.arrived(1)
    assert refused.state == "refused"
    counters, told = stage.owner.counters, list[int]()

    async def tell() -> None:
        await stage.later(0.3)
        told.append(
            counters.refusals["queue_full"] + sum(each.reasons["queue_full"] for each in counters.revisions.values())
        )

    await tell()
    stage.take(Revision("a-2", "a", Limits()))
    await tell()
    long.finish()
    await tell()
    await tell()
    assert NAME not in counters.revisions
    assert told == [1, 1, 1, 1]


async def test_an_upload_to_a_service_that_must_not_be_woken_hears_so_before_its_body_is_there(staged: Staged) -> None:
    stage = staged(max_wakes=1)
    (first,) = await stage.arrived(0)
    first.leave()
    stage.grow(0, "asleep")
    await stage.turn()
    uploads = [stage.arrive(node, body=100, uploading=True) for node in (0, 1)]
    await stage.turn()
    for upload in uploads:
        assert upload.error is not None
        assert (upload.error.reason, upload.error.status) == (Reason.WAKE_LIMITED, 503)
        assert 60 <= (upload.error.retry_after or 0) <= 65
    assert stage.wakes == [NAME]


async def test_and_not_when_its_revision_has_left_the_table_by_then(staged: Staged) -> None:
    stage = staged(1, max_wakes=1)
    (first,) = await stage.arrived(0)
    first.leave()
    stage.grow(0, "asleep")
    await stage.turn()
    (node,), upload = stage.nodes, stage.arrive(0, body=100, uploading=True)
    stage.take(Revision("a-2", "a", stage.revision.limits))
    node.there.deliver()
    node.back.deliver_one()
    node.beat()
    assert NAME not in node.queues
    await stage.turn()
    assert upload.state == "waiting"


async def test_an_upload_that_wakes_its_service_is_waited_for(staged: Staged) -> None:
    stage = staged(max_wakes=1)
    uploads = [stage.arrive(node, body=100, uploading=True) for node in (0, 1)]
    await stage.turn()
    assert (states(uploads), stage.wakes) == (["waiting", "waiting"], [NAME, NAME])
    stage.grow(0, "starting")
    late = stage.arrive(1, body=100, uploading=True)
    await stage.turn()
    assert late.state == "waiting"


async def test_a_hold_ends_though_the_owner_says_nothing(staged: Staged) -> None:
    stage = staged(1, container_concurrency=1, hold=10.0)
    (node,), caller = stage.nodes, stage.arrive(0)
    await stage.turn()
    await asyncio.sleep(10.1)
    node.beat()
    await asyncio.sleep(0)
    assert caller.error is not None
    assert caller.error.reason is Reason.HOLD_TIMEOUT


async def test_a_hold_is_as_long_as_it_was_when_it_began(staged: Staged) -> None:
    stage = staged(1, container_concurrency=1, hold=10.0)
    (node,), caller = stage.nodes, stage.arrive(0)
    await stage.turn()
    node.configure(table(service(Share(Revision(NAME, "a", Limits(container_concurrency=1, hold=2.0)), 100))))
    await asyncio.sleep(9.0)
    node.beat()
    await asyncio.sleep(0)
    assert caller.state == "waiting"
    await asyncio.sleep(1.1)
    node.beat()
    await asyncio.sleep(0)
    assert caller.error is not None
    assert "within 10 s" in str(caller.error)


async def test_and_also_though_its_revision_has_left_the_table_meanwhile(staged: Staged) -> None:
    stage = staged(1, container_concurrency=1, hold=10.0)
    (node,), caller = stage.nodes, stage.arrive(0)
    await stage.turn()
    node.configure(table(service(Share(Revision("a-2", "a"), 100))))
    for _ in range(11):
        await asyncio.sleep(1.0)
        node.beat()
    await asyncio.sleep(0)
    assert caller.error is not None
    assert caller.error.reason is Reason.HOLD_TIMEOUT


async def test_what_is_said_of_a_revision_that_nobody_knows_any_more_does_no_harm(staged: Staged) -> None:
    stage = await warm(staged())
    node, endpoint = stage.nodes[0], stage.owner.queues[NAME].replicas.endpoints[0]
    before = node.back.sent.copy()
    stage.owner.hear(
        node.account,
        m.Poke("gone"),
        m.Claim(99, "gone", 0.0, 0),
        m.Withdraw(99),
        m.Occupy("gone", endpoint, 1),
        m.Release("gone", endpoint),
        m.Avoid("gone", endpoint, 1.0),
        m.Applied(1, "gone"),
        m.Drained(1, "gone", "r1"),
    )
    assert node.back.sent - before == {"Move": 1}


async def test_of_replicas_that_ended_unawaited_nothing_is_kept(staged: Staged) -> None:
    stage = await warm(staged(2), 3)
    for count in (2, 1, 0):
        stage.grow(count)
        await stage.turn()
    assert not stage.owner._agreement._terms[NAME].departures
