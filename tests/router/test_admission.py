from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from router.errors import EdgeError, Reason
from router.table import EdgeLimits

if TYPE_CHECKING:
    from tests.router.waiting import Staged

pytestmark = pytest.mark.looptime


async def test_a_request_that_finds_no_replica_asks_for_one(staged: Staged) -> None:
    stage = staged()
    await stage.arrived(1)
    assert stage.wakes == ["a-1"]


async def test_a_request_that_only_finds_no_slot_asks_for_nothing(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    await stage.arrived(2)
    assert stage.wakes == []


async def test_a_request_whose_client_has_left_asks_for_nothing(staged: Staged) -> None:
    stage = staged()
    caller = stage.arrive()
    caller.leave()
    await stage.turn()
    assert (caller.state, stage.held) == ("gone", 0)
    stage.grow(1)
    await stage.turn()
    assert (stage.dispatched, stage.running()) == ([], {})


async def test_a_request_that_could_not_be_connected_goes_back_to_its_place(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.connections.refused = {"r1"}
    await stage.arrived(3)
    stage.grow(1)
    await stage.turn()
    assert (stage.dispatched, stage.held, stage.running()) == ([], 3, {})
    stage.connections.refused = set()
    await stage.later(0.11)
    assert stage.dispatched == ["c1"]


async def test_and_gets_it_though_the_queue_has_filled_up_meanwhile(staged: Staged) -> None:
    stage = staged(container_concurrency=1, queue_depth=2)
    stage.connections.refused, stage.connections.delay = {"r1"}, 1.0
    first, second = await stage.arrived(2)
    stage.grow(1)
    await stage.turn()
    third, fourth = await stage.arrived(2)
    assert [each.state for each in (third, fourth)] == ["waiting", "refused"]
    await stage.later(1.1)
    assert [each.state for each in (first, second, third)] == ["waiting"] * 3


async def test_it_takes_another_replica_if_there_is_one(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.connections.refused = {"r1"}
    stage.grow(2)
    (caller,) = await stage.arrived(1)
    assert (caller.state, caller.replica, stage.running()) == ("running", "r2", {"r2": 1})


async def test_a_replica_that_refuses_is_tried_again_every_100_ms_and_not_more_often(staged: Staged) -> None:
    stage = staged()
    stage.connections.refused = {"r1"}
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    await stage.later(0.95)
    assert caller.state == "waiting"
    assert 9 <= stage.connections.tried <= 11
    stage.connections.refused = set()
    await stage.later(0.11)
    assert caller.state == "running"


async def test_the_hold_counts_on_while_a_connect_takes_its_time(staged: Staged) -> None:
    stage = staged(hold=5.0)
    stage.connections.delay = 60.0
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    await stage.later(4.9)
    assert caller.state == "waiting"
    await stage.later(0.7)
    assert caller.state == "refused"


async def test_the_hold_counts_on_while_connects_fail(staged: Staged) -> None:
    stage = staged(hold=5.0)
    stage.connections.refused = {"r1"}
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    await stage.later(4.95)
    assert caller.state == "waiting"
    await stage.later(0.1)
    assert caller.error is not None
    assert caller.error.reason == Reason.HOLD_TIMEOUT


async def test_one_who_leaves_while_it_is_connected_gives_its_slot_back_at_once(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.connections.delay = 1.0
    stage.grow(1)
    first, second = await stage.arrived(2)
    await stage.later(0.5)
    first.leave()
    await stage.later(0.1)
    assert first.state == "gone"
    await stage.later(1.0)
    assert (second.state, stage.running()) == ("running", {"r1": 1})
    assert len(stage.connections.made) == 1


async def test_and_the_connection_too_if_it_was_made_in_that_very_turn(staged: Staged) -> None:
    stage = staged()
    stage.connections.delay = 1.0
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, loop.call_soon, caller.leave)
    await stage.later(1.1)
    assert (caller.state, stage.running(), stage.connections.idle) == ("gone", {}, 1)


async def test_one_who_is_refused_while_it_is_connected_hears_so_at_once(staged: Staged) -> None:
    stage = staged()
    stage.connections.delay = 60.0
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    caller.exchange.fail(EdgeError(Reason.SHUTTING_DOWN, "Enough."))
    await stage.later(0.1)
    assert caller.state == "refused"


async def test_those_who_wait_for_a_revision_that_left_the_table_are_resolved_again_in_order(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    await stage.arrived(2)
    stage.retire(by="a-2")
    stage.grow(2, of="a-2")
    await stage.turn()
    assert stage.dispatched == ["c1", "c2"]
    assert (stage.running("a-1"), stage.running("a-2")) == ({}, {"r1": 1, "r2": 1})


async def test_for_them_the_service_is_woken_though_it_was_woken_as_often_as_is_allowed(staged: Staged) -> None:
    stage = staged(max_wakes=1)
    callers = await stage.arrived(2)
    stage.retire(by="a-2")
    await stage.turn()
    assert [each.state for each in callers] == ["waiting"] * 2
    assert set(stage.wakes) == {"a-1", "a-2"}


async def test_one_whose_connect_fails_is_resolved_again_when_its_revision_has_lost_its_share(staged: Staged) -> None:
    stage = staged()
    stage.connections.refused, stage.connections.delay = {"r1"}, 1.0
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    stage.pass_over(by="a-2")
    await stage.later(1.1)
    assert (caller.exchange.revision.name, stage.held) == ("a-2", 1)


async def test_and_when_another_answers_for_it_that_has_lost_its_last_replica(staged: Staged) -> None:
    stage = staged()
    stage.connections.refused, stage.connections.delay = {"r1"}, 1.0
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    stage.pass_over(by="a-2", percent=50)
    stage.grow(0)
    await stage.later(1.1)
    assert (caller.exchange.revision.name, stage.held) == ("a-2", 1)


async def test_and_one_whose_body_comes_to_its_end_when_its_revision_has_lost_its_share(staged: Staged) -> None:
    stage = staged()
    caller = stage.arrive(uploading=True)
    stage.pass_over(by="a-2")
    caller.upload(7)
    await stage.turn()
    assert (caller.exchange.revision.name, stage.held) == ("a-2", 1)


async def test_the_new_revision_is_asked_for_a_replica(staged: Staged) -> None:
    stage = staged()
    await stage.arrived(1)
    stage.retire(by="a-2")
    await stage.turn()
    assert stage.wakes == ["a-1", "a-2"]


async def test_those_whose_service_vanished_are_told(staged: Staged) -> None:
    stage = staged()
    (caller,) = await stage.arrived(1)
    stage.vanished = EdgeError(Reason.UNKNOWN_HOST, "")
    stage.retire(by="a-2")
    await stage.turn()
    assert caller.error is stage.vanished


async def test_what_runs_on_a_revision_that_left_the_table_goes_on(staged: Staged) -> None:
    stage = staged()
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    stage.retire(by="a-2")
    await stage.later(10)
    assert (caller.state, stage.running("a-1")) == ("running", {"r1": 1})
    caller.finish()
    await stage.later(1)
    assert (caller.state, stage.running("a-1")) == ("done", {})
    assert "a-1" not in stage.queues


async def test_an_upload_during_which_its_revision_left_the_table_goes_to_the_new_one(staged: Staged) -> None:
    stage = staged()
    stage.grow(1)
    caller = stage.arrive(uploading=True)
    await stage.turn()
    stage.retire(by="a-2")
    stage.grow(1, of="a-2")
    await stage.later(1)
    caller.upload(7)
    await stage.turn()
    assert (caller.state, stage.running("a-1"), stage.running("a-2")) == ("running", {}, {"r1": 1})


async def test_of_many_who_wait_for_a_replica_that_refuses_only_the_first_tries_it_again(staged: Staged) -> None:
    stage = staged()
    stage.connections.refused = {"r1"}
    waiting = [stage.arrive() for _ in range(50)]
    stage.grow(1)
    await stage.turn()
    tried = stage.connections.tried
    await stage.later(1.0)
    assert stage.connections.tried - tried <= 10
    stage.connections.refused = set()
    await stage.later(0.15)
    assert {caller.state for caller in waiting} == {"running"}
    assert stage.dispatched == [caller.name for caller in waiting]


async def test_one_whose_replica_refused_while_its_revision_left_the_table_goes_to_the_new_one(staged: Staged) -> None:
    stage = staged()
    stage.connections.refused, stage.connections.delay = {"r1"}, 1.0
    stage.grow(1)
    (caller,) = await stage.arrived(1)
    stage.retire(by="a-2")
    await stage.later(1)
    stage.connections.refused, stage.connections.delay = set(), 0.0
    stage.grow(1, of="a-2")
    await stage.later(1)
    assert (caller.state, stage.running("a-2")) == ("running", {"r1": 1})


async def test_a_body_that_is_still_uploaded_occupies_no_slot_and_already_asks_for_a_replica(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    caller = stage.arrive(uploading=True)
    await stage.turn()
    assert stage.wakes == ["a-1"]
    stage.grow(1)
    (other,) = await stage.arrived(1)
    assert (caller.state, other.state) == ("waiting", "running")
    other.finish()
    caller.upload(7)
    await stage.turn()
    assert caller.state == "running"


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_at_once(staged: Staged) -> None:
    stage = staged()
    caller = stage.arrive("Expect: 100-continue", uploading=True)
    assert caller.client.got == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_body_that_never_comes_does_not_keep_a_request_open_beyond_its_hold(staged: Staged) -> None:
    stage = staged(hold=5.0)
    stage.grow(1)
    caller = stage.arrive(uploading=True)
    await stage.later(4.9)
    assert caller.state == "waiting"
    await stage.later(0.2)
    assert caller.error is not None
    assert (caller.error.reason, caller.error.status) == (Reason.REQUEST_TIMEOUT, 408)


@pytest.mark.parametrize(("ready", "state"), [(0, "refused"), (1, "running")])
async def test_an_upload_hears_that_its_service_is_not_woken_unless_that_has_a_replica_by_now(
    staged: Staged, ready: int, state: str
) -> None:
    stage = staged()
    caller = stage.arrive(uploading=True)
    await stage.turn()
    stage.grow(ready)
    stage.admission.bar("a-1", EdgeError(Reason.WAKE_LIMITED, "a is asleep"))
    caller.upload(7)
    await stage.turn()
    assert caller.state == state


async def test_an_upload_for_which_there_would_be_no_room_is_refused_before_it_is_read(staged: Staged) -> None:
    stage = staged(queue_depth=1)
    await stage.arrived(1)
    caller = stage.arrive(uploading=True)
    await stage.turn()
    assert caller.error is not None
    assert caller.error.reason == Reason.QUEUE_FULL


async def test_slots_return_to_zero_whatever_happened(staged: Staged) -> None:
    stage = staged(container_concurrency=2)
    stage.connections.delay = 0.01
    stage.grow(2)
    callers = await stage.arrived(9)
    callers[0].leave()
    callers[5].leave()
    await stage.later(0.02)
    while running := [caller for caller in callers if caller.state == "running"]:
        running[-1].finish()
        await stage.later(0.02)
    stage.grow(0)
    assert {caller.state for caller in callers} == {"gone", "done"}
    assert (stage.held, stage.held_bytes, stage.running()) == (0, 0, {})


async def test_a_replica_that_broke_may_be_dying_and_gets_nothing_for_a_moment(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    first, second = await stage.arrived(2)
    first.exchange.fail(EdgeError(Reason.UPSTREAM_BROKE, "It broke.", sent=True))
    await stage.turn()
    assert (first.state, second.state) == ("refused", "waiting")
    await stage.later(0.021)
    assert (second.state, second.replica) == ("running", "r1")


async def test_a_replica_that_was_slow_gets_the_next_request_at_once(staged: Staged) -> None:
    stage = staged(container_concurrency=1)
    stage.grow(1)
    first, second = await stage.arrived(2)
    first.exchange.fail(EdgeError(Reason.UPSTREAM_TIMEOUT, "It was slow.", sent=True))
    await stage.turn()
    assert (first.state, second.state) == ("refused", "running")


async def test_a_service_that_was_woken_often_enough_is_not_woken(staged: Staged) -> None:
    stage = staged(max_wakes=1)
    first = stage.arrive()
    stage.start("starting")
    second = stage.arrive()
    await stage.turn()
    assert (first.state, second.state) == ("waiting", "waiting"), "one start serves both"
    first.leave()
    second.leave()
    stage.start("asleep")
    refused = stage.arrive()
    await stage.turn()
    assert refused.error is not None
    assert (refused.error.reason, refused.error.status) == (Reason.WAKE_LIMITED, 503)
    assert 60 <= (refused.error.retry_after or 0) <= 65
    woken = len(stage.wakes)
    await stage.later(60)
    again = stage.arrive()
    await stage.turn()
    assert (again.state, len(stage.wakes)) == ("waiting", woken + 1)


async def test_a_crowd_that_comes_before_the_start_is_told_is_one_wake(staged: Staged) -> None:
    stage = staged(max_wakes=1)
    crowd = await stage.arrived(5)
    assert [caller.state for caller in crowd] == ["waiting"] * 5
    stage.start("asleep")
    refused = stage.arrive()
    await stage.turn()
    assert refused.error is not None
    assert refused.error.reason == Reason.WAKE_LIMITED


async def test_bodies_of_those_who_wait_have_a_bound_together(staged: Staged) -> None:
    stage = staged()
    stage.admission.limit(EdgeLimits(buffered=1000))
    first, second = stage.arrive(body=400), stage.arrive(body=300)
    plain = stage.arrive()
    await stage.turn()
    assert [caller.state for caller in (first, second, plain)] == ["waiting", "refused", "waiting"]
    assert second.error is not None
    assert (second.error.reason, second.error.status) == (Reason.BUFFER_FULL, 503)
    assert 4 < (second.error.retry_after or 0) <= 10
    first.leave()
    await stage.turn()
    third = stage.arrive(body=500)
    await stage.turn()
    assert third.state == "waiting"
    stage.grow(1)
    await stage.turn()
    assert (third.state, stage.admission.buffers.total) == ("running", 0)


async def test_an_upload_counts_with_what_it_may_grow_to(staged: Staged) -> None:
    stage = staged()
    stage.admission.limit(EdgeLimits(buffered=20))
    first, second = stage.arrive(uploading=True), stage.arrive(uploading=True)
    await stage.turn()
    assert (first.state, second.state, stage.admission.buffers.total) == ("waiting", "refused", 7)
    first.upload(7)
    await stage.turn()
    assert stage.admission.buffers.total == 7
    first.leave()
    await stage.turn()
    assert stage.admission.buffers.total == 0


async def test_one_that_is_refused_wakes_nothing(staged: Staged) -> None:
    stage = staged()
    stage.admission.limit(EdgeLimits(buffered=100))
    stage.arrive(body=200)
    await stage.turn()
    assert stage.wakes == []
