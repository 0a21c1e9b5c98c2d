"""Starts that fail, that take for ever, and that cannot begin."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from activator.scalers.base import Phase
from activator.scalers.memory import Start
from tests.activator.stage import NAME, bounds, on_stage, plan, spec

pytestmark = pytest.mark.looptime(noop_cycles=0)

BROKEN = Start(delay=1, failure="CUDA is missing")


class TestFailing:
    async def test_those_who_wait_are_told_after_so_many_attempts(self) -> None:
        async with on_stage(plan(bounds=bounds(start_attempts=3))) as stage:
            stage.script(BROKEN)
            (request,) = stage.arrive()
            await asyncio.sleep(2.5)
            assert stage.replicas().failures == 2
            assert request not in stage.traffic.refused
            await asyncio.sleep(2)
            assert request in stage.traffic.refused
            start = stage.traffic.told[NAME].start
            assert (start.phase, start.message, start.attempts) == ("failing", "CUDA is missing", 3)

    async def test_a_crash_loop_does_not_go_on_when_nobody_waits(self) -> None:
        async with on_stage(plan(bounds=bounds(start_attempts=3))) as stage:
            stage.script(BROKEN)
            stage.arrive()
            await asyncio.sleep(20)
            assert stage.desired() == 0
            started = len(stage.started)
            await asyncio.sleep(2000)
            assert len(stage.started) == started

    async def test_nor_does_it_until_the_next_tick(self) -> None:
        async with on_stage(plan(spec=spec(tick=60.0), bounds=bounds(start_attempts=2))) as stage:
            await asyncio.sleep(1)
            stage.script(Start(delay=0.1, failure="CUDA is missing"))
            (request,) = stage.arrive()
            await asyncio.sleep(10)
            assert request in stage.traffic.refused
            assert stage.desired() == 0
            assert len(stage.started) <= 3  # one is begun before it is seen

    async def test_callers_are_refused_at_once_until_the_next_start_may_be_tried(self) -> None:
        async with on_stage(plan(bounds=bounds(start_attempts=5))) as stage:
            stage.script(BROKEN)
            stage.arrive()
            await asyncio.sleep(10.5)
            start = stage.traffic.told[NAME].start
            assert stage.desired() == 0
            assert start.retry_at is not None
            assert start.retry_at > stage.clock()
            (request,) = stage.arrive()
            assert request in stage.traffic.refused
            assert stage.desired() == 0

    async def test_one_request_after_that_tries_one_start(self) -> None:
        async with on_stage(plan(bounds=bounds(start_attempts=5))) as stage:
            stage.script(BROKEN)
            stage.arrive()
            await asyncio.sleep(100)
            started = len(stage.started)
            (request,) = stage.arrive()
            assert stage.replicas().count(Phase.STARTING) == 1
            await asyncio.sleep(1.5)
            assert request in stage.traffic.refused
            await asyncio.sleep(100)
            assert len(stage.started) <= started + 2  # the second is begun before the next tick

    async def test_a_model_that_was_mended_serves_the_next_request(self) -> None:
        async with on_stage() as stage:
            stage.script(*[BROKEN] * 5, Start(delay=1))
            stage.arrive()
            await asyncio.sleep(200)
            (request,) = stage.arrive()
            await asyncio.sleep(20)
            assert request.replica is not None
            assert stage.traffic.told[NAME].start.phase == "ready"

    async def test_a_command_that_cannot_work_is_told_at_the_first_attempt(self) -> None:
        async with on_stage() as stage:
            stage.script(Start(failure="command 'model' was not found", doomed=True))
            (request,) = stage.arrive()
            await asyncio.sleep(0.1)
            assert request in stage.traffic.refused
            assert stage.traffic.told[NAME].start.message == "command 'model' was not found"

    async def test_with_min_scale_starts_go_on_ever_more_slowly(self) -> None:
        async with on_stage(plan(bounds=bounds(min_scale=1))) as stage:
            stage.script(BROKEN)
            await asyncio.sleep(1000)
            first = len(stage.started)
            await asyncio.sleep(1000)
            assert stage.desired() == 1
            assert 3 <= len(stage.started) - first <= 5

    async def test_a_changed_command_is_a_new_chance(self) -> None:
        async with on_stage(plan(bounds=bounds(initial_scale=1))) as stage:
            stage.script(BROKEN)
            await asyncio.sleep(60)
            assert stage.desired() == 0
            stage.script(Start(delay=1))
            stage.configure(plan(bounds=bounds(initial_scale=1), command="better"))
            await asyncio.sleep(3)
            assert stage.ready() == 1

    async def test_a_crash_under_a_running_request_is_replaced_at_once_after_a_long_life(self) -> None:
        async with on_stage() as stage:
            stage.arrive()
            await asyncio.sleep(30)
            (replica,) = stage.replicas().replicas
            stage.scaler.crash(replica.name)
            assert stage.traffic.told[NAME].endpoints == ()
            assert stage.replicas().count(Phase.STARTING) == 1


class TestDeadline:
    SLOW = bounds(progress_deadline=600.0)

    async def test_an_hour_is_given_to_a_start_by_default(self) -> None:
        async with on_stage(plan(spec=spec(tick=60))) as stage:
            stage.script(Start(delay=100_000))
            (request,) = stage.arrive()
            await asyncio.sleep(3600)
            assert request not in stage.traffic.refused
            await asyncio.sleep(61)
            assert request in stage.traffic.refused

    async def test_a_start_that_takes_too_long_is_ended_and_told(self) -> None:
        async with on_stage(plan(bounds=self.SLOW)) as stage:
            stage.script(Start(delay=100_000))
            (request,) = stage.arrive()
            await asyncio.sleep(609)
            assert request not in stage.traffic.refused
            await asyncio.sleep(2)
            assert request in stage.traffic.refused
            assert stage.replicas().replicas == ()
            start = stage.traffic.told[NAME].start
            assert (start.phase, start.attempts) == ("failing", 1)
            assert start.message == "no replica became ready within 600 s (progress-deadline)"

    async def test_time_without_a_place_to_run_does_not_count(self) -> None:
        async with on_stage(plan(bounds=self.SLOW)) as stage:
            stage.script(Start(unschedulable=2000, delay=500))
            (request,) = stage.arrive()
            await asyncio.sleep(1999)
            assert stage.traffic.told[NAME].start.phase == "pending"
            await asyncio.sleep(502)
            assert request.replica is not None

    async def test_the_next_start_waits_for_a_request_and_for_its_time(self) -> None:
        async with on_stage(plan(bounds=self.SLOW)) as stage:
            stage.script(Start(delay=100_000))
            stage.arrive()
            await asyncio.sleep(611)
            (request,) = stage.arrive()
            assert request in stage.traffic.refused
            await asyncio.sleep(100)
            assert len(stage.started) == 1
            stage.script(Start(delay=1))
            (request,) = stage.arrive()
            await asyncio.sleep(20)
            assert request.replica is not None
            assert stage.revision().life.overdue == 0

    async def test_with_min_scale_the_waits_between_starts_double(self) -> None:
        async with on_stage(plan(bounds=bounds(progress_deadline=20.0, min_scale=1))) as stage:
            stage.script(Start(delay=100_000))
            await asyncio.sleep(500)
            times = list(stage.started.values())
            assert [late - early for early, late in itertools.pairwise(times)] == [40, 50, 70, 110, 190]

    async def test_a_second_replica_that_never_comes_up_costs_the_first_nothing(self) -> None:
        async with on_stage(plan(bounds=self.SLOW)) as stage:
            stage.script(Start(), Start(delay=100_000))
            stage.arrive(2)
            await asyncio.sleep(2000)
            assert stage.ready() == 1
            assert stage.replicas().count(Phase.STARTING) == 1
