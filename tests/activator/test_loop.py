from __future__ import annotations

import asyncio
from typing import Any

import pytest

from activator.kpa.spec import Metric
from activator.scalers.base import Phase
from activator.scalers.memory import Start
from tests.activator.stage import NAME, bounds, on_stage, plan, spec

pytestmark = pytest.mark.looptime(noop_cycles=0)


class TestTick:
    async def test_a_decision_is_made_every_tick(self) -> None:
        async with on_stage() as stage:
            await asyncio.sleep(35)
            assert [record.at for record in stage.records()] == [0, 10, 20, 30]

    async def test_each_revision_has_a_tick_of_its_own(self) -> None:
        async with on_stage(plan("a-1", spec(tick=2.5)), plan("b-1", spec(tick=4))) as stage:
            await asyncio.sleep(9)
            assert [record.at for record in stage.records("a-1")] == [0, 2.5, 5, 7.5]
            assert [record.at for record in stage.records("b-1")] == [0, 4, 8]

    async def test_traffic_is_counted_every_second_whatever_the_tick(self) -> None:
        async with on_stage(plan(spec=spec(tick=600))) as stage:
            seconds: list[float] = []
            stage.loop.on_period = seconds.append
            await asyncio.sleep(10.5)
            assert (seconds, stage.loop.counted) == ([1.0] * 10, 10.0)

    async def test_a_loop_that_was_held_up_counts_on_in_step(self) -> None:
        async with on_stage() as stage:
            seconds: list[float] = []
            stage.loop.on_period = seconds.append
            stage.arrive()
            for late in (0.3, 0.2, 0.45, 0.05):
                await asyncio.sleep(0.9)
                stage.late += late
            await asyncio.sleep(1)
            assert stage.clock() == pytest.approx(5.6)
            assert seconds == [1.0] * 5
            values: Any = stage.revision().collector.windows.stable.dump(stage.clock())["values"]
            assert values[:4] == [1.0] * 4

    async def test_a_loop_without_revisions_waits_for_some(self) -> None:
        async with on_stage() as stage:
            stage.configure()
            await asyncio.sleep(5)
            stage.configure(plan("n-1", bounds=bounds(min_scale=1)))
            await asyncio.sleep(1)
            assert stage.desired("n-1") == 1

    async def test_how_often_a_revision_was_woken_is_forgotten_once_it_has_left(self) -> None:
        async with on_stage(plan("a-1"), plan("b-1")) as stage:
            stage.arrive(name="a-1")
            stage.arrive(name="b-1")
            stage.configure(plan("b-1"))
            assert dict(stage.loop.pokes) == {"b-1": 1}

    async def test_only_the_last_1000_decisions_are_kept(self) -> None:
        async with on_stage(plan(spec=spec(tick=0.1))) as stage:
            await asyncio.sleep(120)
            assert len(stage.records()) == 1000
            assert stage.last().at == pytest.approx(stage.clock(), abs=0.2)


class TestPoke:
    async def test_a_request_that_meets_no_capacity_leads_to_a_start_in_the_same_turn(self) -> None:
        async with on_stage(plan(spec=spec(tick=3600))) as stage:
            await asyncio.sleep(3.3)
            stage.arrive()
            assert stage.desired() == 1
            assert stage.replicas().count(Phase.STARTING) == 1
            assert stage.changes == [(3.3, NAME, 1)]
            assert stage.last().poked

    async def test_a_request_before_the_loop_runs_is_not_missed(self) -> None:
        async with on_stage() as stage:
            await stage.stop()
            stage.new_loop(plan())
            stage.arrive()
            assert stage.desired() == 1

    async def test_a_held_request_is_served_when_its_replica_is_ready(self) -> None:
        async with on_stage() as stage:
            stage.script(Start(delay=42))
            await asyncio.sleep(5)
            (request,) = stage.arrive()
            await asyncio.sleep(41.9)
            assert request.replica is None
            await asyncio.sleep(0.2)
            assert request.dispatched_at == 47

    async def test_a_poke_does_not_move_the_tick(self) -> None:
        async with on_stage() as stage:
            await asyncio.sleep(13)
            stage.arrive()
            await asyncio.sleep(10)
            assert [(record.at, record.poked) for record in stage.records()][2:] == [(13, True), (20, False)]

    async def test_requests_that_wait_for_a_start_do_not_poke_again(self) -> None:
        async with on_stage() as stage:
            stage.script(Start(delay=5))
            stage.arrive(50)
            assert stage.loop.pokes[NAME] == 1
            assert stage.desired() == 1

    async def test_many_held_requests_have_their_replicas_at_the_next_tick(self) -> None:
        async with on_stage(plan(bounds=bounds(max_scale=4))) as stage:
            stage.script(Start(delay=600))
            await asyncio.sleep(1)
            stage.arrive(3)
            await asyncio.sleep(9.5)
            assert stage.desired() == 2  # one is taken as ready, and the rate allows 1.5 times that

    async def test_a_poke_for_an_unknown_revision_is_ignored(self) -> None:
        async with on_stage() as stage:
            stage.loop.wake("nobody")
            assert not stage.loop.pokes

    async def test_a_request_in_the_turn_of_the_last_replicas_end_has_it_back(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(300)
            assert stage.ready() == 1
            for _ in range(10):
                await asyncio.sleep(0)
                if stage.desired() == 0:
                    break
            (request,) = stage.arrive()
            assert stage.desired() == 1
            await asyncio.sleep(1)
            assert request.replica is not None

    async def test_a_request_just_before_the_end_of_the_idle_period_keeps_the_replica(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(299.9)
            stage.leave(stage.arrive())
            await asyncio.sleep(299.9)
            assert stage.ready() == 1
            await asyncio.sleep(1)
            assert stage.replicas().replicas == ()


class TestChain:
    async def test_those_it_will_call_are_woken_with_it_so_that_the_longest_start_counts(self) -> None:
        async with on_stage(plan("front-1", wakes=("model-1",)), plan("model-1")) as stage:
            stage.script(Start(delay=20), name="front-1")
            stage.script(Start(delay=40), name="model-1")
            await asyncio.sleep(3)
            (first,) = stage.arrive(name="front-1")
            await asyncio.sleep(20.1)
            assert first.dispatched_at == 23
            (call,) = stage.arrive(name="model-1")
            await asyncio.sleep(20.1)
            assert call.dispatched_at == 43
            assert stage.changes == [(3, "front-1", 1), (3, "model-1", 1)]

    async def test_what_is_woken_for_its_caller_says_so(self) -> None:
        async with on_stage(plan("front-1", wakes=("model-1",)), plan("model-1")) as stage:
            stage.arrive(name="front-1")
            told = {name: stage.records(name)[-1].sentence for name in ("front-1", "model-1")}
            assert told["model-1"].endswith(
                "; the request is one that a service which calls this one has, and is counted ahead."
            )
            assert "calls this one" not in told["front-1"]

    async def test_a_chain_is_followed_to_its_end_and_a_circle_once(self) -> None:
        plans = (plan("a-1", wakes=("b-1",)), plan("b-1", wakes=("c-1", "a-1")), plan("c-1", wakes=("c-1", "gone-1")))
        async with on_stage(*plans) as stage:
            stage.script(Start(delay=60), name="c-1")
            stage.arrive(name="a-1")
            assert [stage.desired(name) for name in ("a-1", "b-1", "c-1")] == [1, 1, 1]
            assert dict(stage.loop.pokes) == {"a-1": 1, "b-1": 1, "c-1": 1}

    async def test_one_that_is_awake_is_left_alone(self) -> None:
        async with on_stage(plan("front-1", wakes=("model-1",)), plan("model-1")) as stage:
            stage.leave(stage.arrive(name="model-1"))
            await asyncio.sleep(1)
            stage.arrive(name="front-1")
            assert stage.loop.pokes["model-1"] == 1

    async def test_one_that_nobody_calls_after_all_goes_back_to_sleep(self) -> None:
        async with on_stage(plan("front-1", wakes=("model-1",)), plan("model-1")) as stage:
            stage.arrive(name="front-1")
            await asyncio.sleep(299)
            assert stage.ready("model-1") == 1
            await asyncio.sleep(20)
            assert stage.replicas("model-1").replicas == ()
            assert stage.ready("front-1") == 1

    async def test_one_whose_starts_fail_does_not_hold_up_the_other(self) -> None:
        async with on_stage(plan("front-1", wakes=("model-1",)), plan("model-1")) as stage:
            stage.script(*[Start(failure="no weights")] * 20, name="model-1")
            (first,) = stage.arrive(name="front-1")
            await asyncio.sleep(60)
            assert first.replica is not None
            assert stage.ready("model-1") == 0


class TestIdle:
    async def test_the_last_replica_goes_when_the_idle_period_is_over(self) -> None:
        async with on_stage() as stage:
            requests = stage.arrive()
            await asyncio.sleep(33.3)
            stage.leave(requests)
            await asyncio.sleep(299.9)
            assert stage.ready() == 1
            await asyncio.sleep(0.2)
            assert stage.desired() == 0
            assert stage.changes[-1][0] == pytest.approx(333.3)

    async def test_thirty_minutes_mean_thirty_minutes(self) -> None:
        async with on_stage(plan(bounds=bounds(idle_period=1800))) as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(1799)
            assert stage.ready() == 1
            await asyncio.sleep(2)
            assert stage.changes[-1] == (1800, NAME, 0)

    async def test_idle_since_and_zero_at_are_told(self) -> None:
        async with on_stage() as stage:
            requests = stage.arrive()
            await asyncio.sleep(50)
            stage.leave(requests)
            await asyncio.sleep(150)
            outcome = stage.last().outcome
            assert (outcome.replicas, outcome.idle_since, outcome.zero_at) == (1, 50, 350)

    async def test_a_request_starts_the_idle_clock_again(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(200)
            stage.leave(stage.arrive())
            await asyncio.sleep(200)
            assert stage.ready() == 1
            await asyncio.sleep(101)
            assert stage.desired() == 0

    async def test_an_open_request_keeps_a_replica_however_long_it_lasts(self) -> None:
        async with on_stage(plan(spec=spec(target=1e9))) as stage:
            stream = stage.arrive()
            await asyncio.sleep(2000)
            assert stage.ready() == 1
            stage.leave(stream)
            await asyncio.sleep(301)
            assert stage.desired() == 0

    async def test_a_held_request_keeps_its_start_however_long_that_takes(self) -> None:
        async with on_stage() as stage:
            stage.script(Start(delay=1500))
            (request,) = stage.arrive()
            await asyncio.sleep(1501)
            assert request.dispatched_at == 1500

    async def test_a_start_whose_client_left_goes_on_and_lives_its_idle_period(self) -> None:
        async with on_stage() as stage:
            stage.script(Start(delay=400))
            requests = stage.arrive()
            await asyncio.sleep(2)
            stage.leave(requests)
            await asyncio.sleep(397)
            assert stage.replicas().count(Phase.STARTING) == 1
            await asyncio.sleep(2)
            assert stage.ready() == 1
            await asyncio.sleep(298)
            assert stage.ready() == 1
            await asyncio.sleep(2)
            assert stage.changes[-1] == (700, NAME, 0)

    async def test_min_scale_keeps_replicas_without_any_request(self) -> None:
        async with on_stage(plan(bounds=bounds(min_scale=2))) as stage:
            await asyncio.sleep(1000)
            assert stage.ready() == 2
            assert stage.changes == [(0, NAME, 2)]
            assert stage.last().outcome.zero_at is None

    async def test_a_loop_that_stood_still_takes_no_replica_from_requests_that_went_on(self) -> None:
        async with on_stage(plan(spec=spec(max_scale_up_rate=100.0))) as stage:
            stage.arrive(10)
            await asyncio.sleep(400)
            assert stage.ready() == 10
            stage.late += 45
            await asyncio.sleep(200)
            assert [number for _, _, number in stage.changes] == [1, 10]

    async def test_with_scale_to_zero_off_the_last_one_stays(self) -> None:
        async with on_stage(plan(bounds=bounds(enable_scale_to_zero=False))) as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(1000)
            assert stage.ready() == 1

    async def test_several_replicas_go_one_by_one_and_the_last_after_the_idle_period(self) -> None:
        async with on_stage(plan(spec=spec(stable_window=30.0, panic_window=6.0))) as stage:
            requests = stage.arrive(4)
            await asyncio.sleep(60)
            assert stage.ready() == 4
            stage.leave(requests)
            await asyncio.sleep(400)
            numbers = [number for _, _, number in stage.changes]
            assert numbers[numbers.index(4) :] == [4, 3, 2, 1, 0]
            assert stage.changes[-1] == (360, NAME, 0)


class TestNoTraffic:
    """A revision at 0 % of its service."""

    QUIET = spec(reachable=False)

    async def test_nothing_is_started_for_it_whatever_min_and_initial_scale_say(self) -> None:
        async with on_stage(plan(spec=self.QUIET, bounds=bounds(min_scale=2, initial_scale=3))) as stage:
            await asyncio.sleep(100)
            assert stage.changes == []

    async def test_a_revision_that_loses_its_traffic_goes_at_once(self) -> None:
        async with on_stage(plan(bounds=bounds(min_scale=2))) as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(55)
            assert stage.ready() == 2
            stage.configure(plan(spec=self.QUIET, bounds=bounds(min_scale=2)))
            await asyncio.sleep(1)
            assert stage.replicas().replicas == ()

    async def test_it_goes_as_soon_as_its_requests_have_ended(self) -> None:
        async with on_stage(plan(bounds=bounds(min_scale=1))) as stage:
            requests = stage.arrive()
            await asyncio.sleep(55)
            stage.configure(plan(spec=self.QUIET, bounds=bounds(min_scale=1)))
            await asyncio.sleep(500)
            assert stage.ready() == 1
            await asyncio.sleep(3.5)
            stage.leave(requests)
            await asyncio.sleep(1)
            assert stage.desired() == 0

    async def test_a_request_by_tag_wakes_it_at_once(self) -> None:
        async with on_stage(plan(spec=self.QUIET)) as stage:
            await asyncio.sleep(5)
            request = stage.traffic.arrive(NAME, tagged=True)
            assert stage.desired() == 1
            await asyncio.sleep(1)
            assert request.replica is not None

    async def test_requests_by_tag_restart_its_idle_clock(self) -> None:
        async with on_stage(plan(spec=self.QUIET)) as stage:
            stage.traffic.leave(stage.traffic.arrive(NAME, tagged=True))
            await asyncio.sleep(200)
            stage.traffic.leave(stage.traffic.arrive(NAME, tagged=True))
            await asyncio.sleep(299)
            assert stage.ready() == 1
            assert stage.last().outcome.zero_at == 500
            await asyncio.sleep(2)
            assert stage.changes[-1] == (500, NAME, 0)

    async def test_its_log_of_decisions_does_not_fill_up_while_it_lives(self) -> None:
        async with on_stage(plan(spec=self.QUIET)) as stage:
            stage.traffic.leave(stage.traffic.arrive(NAME, tagged=True))
            await asyncio.sleep(100.5)
            assert len(stage.records()) <= 13


class TestBounds:
    async def test_initial_scale_is_started_without_a_request(self) -> None:
        async with on_stage(plan(bounds=bounds(initial_scale=3))) as stage:
            await asyncio.sleep(0.5)
            assert stage.ready() == 3

    async def test_after_its_initial_scale_a_revision_shrinks_like_any_other(self) -> None:
        async with on_stage(plan(bounds=bounds(initial_scale=3))) as stage:
            await asyncio.sleep(1000)
            assert [number for _, _, number in stage.changes] == [3, 2, 1, 0]
            stage.arrive()
            assert stage.desired() == 1

    async def test_initial_scale_holds_until_all_have_been_ready_once(self) -> None:
        async with on_stage(plan(bounds=bounds(initial_scale=2))) as stage:
            stage.script(Start(), Start(delay=700))
            await asyncio.sleep(699)
            assert stage.desired() == 2

    async def test_an_initial_scale_above_max_scale_does_not_hold_for_ever(self) -> None:
        async with on_stage(plan(bounds=bounds(initial_scale=3, max_scale=2))) as stage:
            await asyncio.sleep(1)
            assert stage.ready() == 2
            await asyncio.sleep(500)
            assert stage.desired() == 0

    async def test_max_scale_is_never_exceeded(self) -> None:
        async with on_stage(plan(bounds=bounds(max_scale=3))) as stage:
            stage.arrive(40)
            await asyncio.sleep(200)
            assert max(number for _, _, number in stage.changes) == 3

    async def test_activation_scale_is_where_a_sleeping_revision_begins(self) -> None:
        async with on_stage(plan(spec=spec(activation_scale=3))) as stage:
            await asyncio.sleep(2)
            stage.arrive()
            assert stage.desired() == 3

    async def test_load_in_requests_per_second_scales_too(self) -> None:
        async with on_stage(plan(spec=spec(metric=Metric.RPS, target=2.0))) as stage:
            for _ in range(150):
                stage.leave(stage.arrive(6))
                await asyncio.sleep(1)
            assert stage.ready() == 3


class TestPanic:
    async def test_a_burst_scales_up_within_a_tick_and_takes_nothing_away_for_a_stable_window(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(150)
            assert stage.ready() == 1
            burst = stage.arrive(8)
            await asyncio.sleep(10.1)
            assert stage.last().outcome.decision.panicking
            assert stage.desired() == 2
            await asyncio.sleep(40)
            assert stage.ready() == 8
            stage.leave(burst)
            last_over = max(r.at for r in stage.records() if r.outcome.decision.panic_since == r.at)
            await asyncio.sleep(last_over + 120 - stage.clock())
            assert stage.ready() == 8
            await asyncio.sleep(20)
            assert stage.ready() < 8

    async def test_rates_apply_to_ready_replicas_so_slow_starts_do_not_cascade(self) -> None:
        async with on_stage() as stage:
            stage.script(Start(), Start(delay=600))
            stage.arrive(20)
            await asyncio.sleep(500)
            assert stage.ready() == 1
            assert stage.desired() == 2


class TestReload:
    async def test_a_changed_bound_counts_within_a_second(self) -> None:
        async with on_stage(plan(spec=spec(tick=3600))) as stage:
            await asyncio.sleep(7)
            stage.configure(plan(spec=spec(tick=3600), bounds=bounds(min_scale=2)))
            await asyncio.sleep(1)
            assert stage.ready() == 2

    async def test_a_reload_that_changes_nothing_decides_nothing(self) -> None:
        async with on_stage() as stage:
            await asyncio.sleep(5)
            stage.configure(plan())
            await asyncio.sleep(3)
            assert [record.at for record in stage.records()] == [0]

    async def test_a_reload_keeps_what_was_measured(self) -> None:
        async with on_stage() as stage:
            stage.arrive(2)
            await asyncio.sleep(140)
            before = stage.last().outcome.decision
            stage.configure(plan(spec=spec(stable_window=100.0, max_scale_up_rate=2.0, tick=5)))
            await asyncio.sleep(1)
            after = stage.last().outcome.decision
            assert after.stable == pytest.approx(before.stable, rel=0.05)
            assert after.panic == pytest.approx(before.panic, rel=0.05)

    async def test_a_changed_metric_takes_nothing_away_before_it_has_been_measured(self) -> None:
        async with on_stage() as stage:
            stage.arrive(4)
            await asyncio.sleep(175)
            assert stage.ready() == 4
            stage.configure(plan(spec=spec(metric=Metric.RPS)))
            await asyncio.sleep(120)
            assert stage.ready() == 4
            await asyncio.sleep(60)
            assert stage.ready() == 1

    async def test_a_changed_tick_keeps_the_scale_down_delay(self) -> None:
        patient = spec(scale_down_delay=600.0, stable_window=6.0, panic_window=2.0)
        async with on_stage(plan(spec=patient)) as stage:
            requests = stage.arrive(2)
            await asyncio.sleep(55)
            assert stage.ready() == 2
            stage.leave(requests)
            stage.configure(plan(spec=spec(scale_down_delay=600.0, stable_window=6.0, panic_window=2.0, tick=4.0)))
            await asyncio.sleep(500)
            assert stage.ready() == 2
            await asyncio.sleep(200)
            assert stage.ready() == 1

    async def test_a_removed_revision_ends_after_its_requests(self) -> None:
        async with on_stage(plan(), plan("n-1")) as stage:
            requests = stage.arrive()
            await asyncio.sleep(10)
            stage.configure(plan("n-1"))
            assert stage.traffic.told[NAME].endpoints == ()
            await asyncio.sleep(100)
            assert [replica.phase for replica in stage.replicas().replicas] == [Phase.DRAINING]
            stage.leave(requests)
            await asyncio.sleep(1)
            assert stage.replicas().replicas == ()

    async def test_a_removed_revision_is_not_decided_for_any_more(self) -> None:
        async with on_stage(plan(), plan("n-1")) as stage:
            stage.configure(plan("n-1"))
            stage.loop.wake(NAME)
            await asyncio.sleep(30)
            assert list(stage.loop.dump()) == ["n-1"]

    async def test_a_revision_that_comes_back_is_new_and_finds_its_replicas(self) -> None:
        async with on_stage(plan(), plan("n-1")) as stage:
            requests = stage.arrive()
            await asyncio.sleep(10)
            stage.configure(plan("n-1"))
            await asyncio.sleep(1)
            stage.configure(plan(), plan("n-1"))
            await asyncio.sleep(1)
            assert stage.ready() == 1
            assert len(stage.replicas().replicas) == 1
            stage.leave(requests)
