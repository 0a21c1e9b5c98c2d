from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from router.errors import Reason
from router.queue import Queue
from tests.router.fakes import Clock, replicas, revision

if TYPE_CHECKING:
    from tests.router.waiting import Staged

pytestmark = pytest.mark.looptime


async def test_those_who_wait_are_sent_on_in_the_order_of_arrival(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    callers = await stage.arrived(4)
    assert stage.dispatched == []
    stage.grow(2)
    await stage.turn()
    assert stage.dispatched == ["c1", "c2"]
    callers[1].finish()
    callers[0].finish()
    await stage.turn()
    assert stage.dispatched == ["c1", "c2", "c3", "c4"]
    assert [caller.replica for caller in callers[2:]] == ["r2", "r1"]


async def test_a_replica_is_chosen_when_there_is_a_slot_and_not_before(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    first, second = await stage.arrived(2)
    stage.grow(2)
    await stage.turn()
    assert (first.replica, second.replica) == ("r1", "r2")


async def test_a_newcomer_does_not_overtake_those_who_wait(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    first, _ = await stage.arrived(2)
    first.finish()
    stage.arrive()
    await stage.turn()
    assert stage.dispatched == ["c1", "c2"]


async def test_the_limit_of_a_replica_is_never_exceeded(staged: Staged) -> None:
    stage = staged(container_concurrency=3)
    stage.grow(2)
    await stage.arrived(10)
    assert (stage.running(), stage.held) == ({"r1": 3, "r2": 3}, 4)


async def test_without_a_limit_nobody_waits_once_there_is_a_replica(staged: Staged) -> None:
    stage = staged()
    await stage.arrived(50)
    assert stage.held == 50
    stage.grow(1)
    await stage.turn()
    assert (stage.held, stage.running()) == (0, {"r1": 50})


async def test_one_who_leaves_frees_its_place_at_once(staged: Staged) -> None:
    stage = staged(container_concurrency=1, queue_depth=2)
    first, second = await stage.arrived(2)
    first.leave()
    await stage.turn()
    assert (first.state, stage.held) == ("gone", 1)
    third = stage.arrive()
    stage.grow(1)
    await stage.turn()
    assert (second.state, third.state) == ("running", "waiting")


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_one_who_leaves_in_the_turn_in_which_its_slot_is_granted_passes_it_on(
    staged: Staged, leaves_first: bool
) -> None:
    stage = staged(container_concurrency=1)
    first, second = await stage.arrived(2)
    if leaves_first:
        first.leave()
    stage.grow(1)
    first.leave()
    await stage.turn()
    assert (first.state, second.state, stage.running()) == ("gone", "running", {"r1": 1})
    second.finish()
    await stage.turn()
    assert (stage.held, stage.running()) == (0, {})


async def test_one_who_arrives_in_the_turn_in_which_the_only_one_who_waited_leaves_takes_the_slot(
    staged: Staged,
) -> None:
    stage = staged(container_concurrency=1)
    (first,) = await stage.arrived(1)
    first.leave()
    stage.grow(1)
    second = stage.arrive()
    await stage.turn()
    assert (first.state, second.state) == ("gone", "running")


async def test_one_who_leaves_in_the_turn_in_which_another_ends_passes_the_slot_on(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    first, second, third = await stage.arrived(3)
    first.finish()
    await asyncio.sleep(0)
    second.leave()
    await stage.turn()
    assert (second.state, third.state, stage.running()) == ("gone", "running", {"r1": 1})


async def test_no_more_wait_than_there_is_room_for(staged: Staged) -> None:
    stage = staged(queue_depth=2)
    *_, third = await stage.arrived(3)
    assert third.state == "refused"
    assert third.error is not None
    assert (third.error.reason, third.error.status) == (Reason.QUEUE_FULL, 503)
    assert third.error.retry_after is not None
    assert 4 < third.error.retry_after <= 10
    assert third.error.detail["start"] == {"phase": "asleep", "message": "", "attempts": 0}


async def test_no_more_bytes_wait_than_there_is_room_for(staged: Staged) -> None:
    stage = staged(queue_bytes=1000)
    first, second, third = stage.arrive(body=600), stage.arrive(body=600), stage.arrive(body=400)
    await stage.turn()
    assert [first.state, second.state, third.state] == ["waiting", "refused", "waiting"]
    assert stage.held_bytes == 1000
    first.leave()
    await stage.turn()
    assert stage.held_bytes == 400
    stage.grow(1)
    await stage.turn()
    assert (third.state, stage.held_bytes) == ("running", 0)


async def test_a_hold_ends_with_what_is_known_of_the_start(staged: Staged) -> None:
    stage = staged(hold=600.0)
    stage.start("starting", message="loading weights", attempts=1)
    (caller,) = await stage.arrived(1)
    await stage.later(599)
    assert caller.state == "waiting"
    await stage.later(1.1)
    assert caller.error is not None
    assert (caller.error.reason, caller.error.status) == (Reason.HOLD_TIMEOUT, 503)
    assert caller.error.detail["start"] == {"phase": "starting", "message": "loading weights", "attempts": 1}
    assert stage.held == 0


async def test_only_those_whose_hold_is_over_are_answered(staged: Staged) -> None:
    stage = staged(container_concurrency=1, hold=10.0)
    (first,) = await stage.arrived(1)
    await stage.later(6)
    (second,) = await stage.arrived(1)
    await stage.later(5)
    assert (first.state, second.state) == ("refused", "waiting")
    stage.grow(1)
    await stage.turn()
    assert second.state == "running"


async def test_one_who_comes_later_and_may_wait_for_less_is_answered_before(staged: Staged) -> None:
    stage = staged(hold=600.0)
    (patient,) = await stage.arrived(1)
    stage.limit(hold=10.0)
    (other,) = await stage.arrived(1)
    await stage.later(10.1)
    assert (other.error is not None, patient.state) == (True, "waiting")
    await stage.later(590)
    assert "within 600 s" in str(patient.error)


async def test_a_hold_without_limit_does_not_end(staged: Staged) -> None:
    stage = staged(hold=0.0)
    (caller,) = await stage.arrived(1)
    await stage.later(1e6)
    assert caller.state == "waiting"


async def test_all_who_wait_are_told_when_starts_keep_failing(staged: Staged) -> None:
    stage = staged()
    callers = await stage.arrived(3)
    stage.start("failing", message="CUDA out of memory", attempts=5, retry_at=stage.clock() + 60)
    await stage.turn()
    assert {caller.state for caller in callers} == {"refused"}
    error = callers[0].error
    assert error is not None
    assert (error.reason, error.status) == (Reason.START_FAILED, 503)
    times = [caller.error.retry_after or 0.0 for caller in callers if caller.error is not None]
    assert all(60 < seconds <= 65 for seconds in times)
    assert len(set(times)) == 3, "they would all come back at once"
    assert "CUDA out of memory" in error.message
    assert stage.held == 0


async def test_newcomers_are_told_until_the_next_start_is_due_and_then_cause_it(staged: Staged) -> None:
    stage = staged()
    stage.start("failing", message="no such file", attempts=5, retry_at=stage.clock() + 60)
    (early,) = await stage.arrived(1)
    assert early.state == "refused"
    assert stage.wakes == []
    await stage.later(61)
    (late,) = await stage.arrived(1)
    assert (late.state, stage.wakes) == ("waiting", ["a-1"])


async def test_failing_starts_do_not_touch_those_who_wait_for_a_replica_that_is_there(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    first, second = await stage.arrived(2)
    stage.queues.take_snapshot(stage.queues["a-1"].replicas)
    first.finish()
    await stage.turn()
    assert second.state == "running"


async def test_a_replica_that_is_taken_out_of_service_keeps_its_requests_and_gets_no_more(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(2)
    first, second, third = await stage.arrived(3)
    stage.grow(1)
    assert stage.running() == {"r1": 1, "r2": 1}
    second.finish()
    await stage.turn()
    assert (third.state, stage.running()) == ("waiting", {"r1": 1})
    first.finish()
    await stage.turn()
    assert (third.state, third.replica) == ("running", "r1")


async def test_a_replica_is_drained_when_its_last_request_has_ended(staged: Staged) -> None:
    stage = staged()
    stage.grow(1)
    first, second = await stage.arrived(2)
    stage.grow(0)
    drained = asyncio.get_running_loop().create_task(stage.queues["a-1"].drained("r1"))
    first.finish()
    await stage.turn()
    assert not drained.done()
    second.finish()
    await stage.turn()
    assert drained.done()


async def test_a_replica_that_comes_back_has_the_slots_it_had(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    await stage.arrived(1)
    stage.grow(0)
    stage.grow(1)
    (second,) = await stage.arrived(1)
    assert (second.state, stage.running()) == ("waiting", {"r1": 1})


async def test_a_higher_limit_counts_at_once(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    _, second = await stage.arrived(2)
    stage.limit(container_concurrency=2)
    await stage.turn()
    assert (second.state, stage.running()) == ("running", {"r1": 2})


async def test_a_replica_that_is_trusted_again_stays_so_although_the_loop_is_ahead_of_the_clock() -> None:
    clock = Clock()
    queue = Queue(revision(), lambda _: None, clock)
    queue.update(replicas(1), clock())
    slots = queue.take()
    assert slots is not None
    queue.avoid(slots, 0.02)
    queue.release(slots)
    assert queue.take() is None
    await asyncio.sleep(0.03)
    queue.update(replicas(1), clock())
    assert queue.take() is slots


async def test_a_replica_that_was_avoided_is_tried_again_in_its_time_by_a_queue_that_takes_over() -> None:
    clock = asyncio.get_running_loop().time
    former, queue = (Queue(revision(), lambda _: None, clock) for _ in range(2))
    former.update(replicas(1), clock())
    slots = former.take()
    assert slots is not None
    former.avoid(slots, 1.0)
    queue.take_over(former)
    assert slots.lender is queue
    slots.lender.release(slots)
    assert (queue.take(), queue.in_flight()) == (None, {})
    await asyncio.sleep(1.01)
    assert queue.take() is slots
