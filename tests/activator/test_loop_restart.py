"""What an edge that starts again makes of what its predecessor saved."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.kpa.spec import Algorithm, Metric
from activator.scalers.memory import Start
from tests.activator.stage import NAME, SPEC, bounds, on_stage, plan, spec

if TYPE_CHECKING:
    from activator.kpa.spec import Spec
    from tests.activator.stage import Request, Stage

virtual = pytest.mark.looptime(noop_cycles=0)


async def busy(stage: Stage, count: int) -> list[Request]:
    """Bring a stage to `count` replicas that all work, long after the panic in which it began."""
    requests = stage.arrive(count)
    await asyncio.sleep(300)
    assert stage.ready() == count
    assert not stage.last().outcome.decision.panicking
    return requests


async def crash_and_restart(stage: Stage, away: float = 1.0, start: Start = Start()) -> None:  # noqa: B008
    """Lose the edge with its replicas and requests, and run another one, whose starts go like `start`."""
    saved = stage.loop.dump()
    await stage.stop()
    await stage.lose_all()
    await asyncio.sleep(away)
    stage.script(start)
    assert await stage.resume(saved, away, plan()) == []


@virtual
class TestIdleClock:
    async def test_it_continues(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(100)
            await crash_and_restart(stage, away=50)
            assert stage.ready() + stage.desired() > 0
            await asyncio.sleep(149)
            assert stage.ready() == 1
            assert stage.last().outcome.idle_since == 0
            await asyncio.sleep(2)
            assert stage.changes[-1] == (300, NAME, 0)

    async def test_a_revision_whose_idle_period_ended_meanwhile_is_not_started(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(100)
            await crash_and_restart(stage, away=500)
            await asyncio.sleep(100)
            assert stage.replicas().replicas == ()
            assert len(stage.started) == 1

    async def test_a_request_that_was_running_counts_as_ended_when_the_state_was_saved(self) -> None:
        async with on_stage() as stage:
            stage.arrive()
            await asyncio.sleep(100)
            await crash_and_restart(stage, away=10)
            await asyncio.sleep(20)
            assert stage.last().outcome.idle_since == 100

    async def test_the_clock_of_requests_by_tag_continues_too(self) -> None:
        quiet = plan(spec=spec(reachable=False))
        async with on_stage(quiet) as stage:
            stage.traffic.leave(stage.traffic.arrive(NAME, tagged=True))
            await asyncio.sleep(100)
            await stage.restart(quiet)
            await asyncio.sleep(190)
            assert stage.ready() == 1
            await asyncio.sleep(11)
            assert stage.changes[-1] == (300, NAME, 0)


@virtual
class TestBusy:
    async def test_a_busy_service_has_its_replicas_back_at_once(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 4)
            await crash_and_restart(stage)
            assert stage.desired() == 4

    async def test_a_busy_service_is_not_scaled_down_while_its_replicas_start(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 4)
            await crash_and_restart(stage, start=Start(delay=400))
            stage.arrive(4)
            before = len(stage.changes)
            await asyncio.sleep(600)
            assert stage.changes[before:] == []
            assert stage.ready() == 4

    async def test_a_service_that_is_busy_no_more_shrinks_after_a_stable_window(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 4)
            await crash_and_restart(stage)
            await asyncio.sleep(120)
            assert stage.desired() == 4
            await asyncio.sleep(60)
            assert stage.desired() == 1

    async def test_after_a_long_absence_only_the_idle_rule_counts(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 4)
            await crash_and_restart(stage, away=121)
            assert stage.desired() == 1

    async def test_panic_goes_on(self) -> None:
        async with on_stage() as stage:
            stage.arrive(4)
            await asyncio.sleep(45)
            before = stage.last().outcome.decision
            await stage.restart(plan())
            await asyncio.sleep(10)
            after = stage.last().outcome.decision
            assert (after.at, after.panic_since) == (50, before.panic_since)

    async def test_bounds_that_changed_meanwhile_count(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 4)
            await stage.restart(plan(bounds=bounds(max_scale=2)))
            await asyncio.sleep(10)
            assert stage.desired() == 2

    async def test_a_min_scale_that_was_raised_meanwhile_counts_at_once_at_zero(self) -> None:
        async with on_stage() as stage:
            await asyncio.sleep(5)
            await stage.restart(plan(bounds=bounds(min_scale=1)))
            assert stage.desired() == 1

    async def test_the_tick_goes_on_in_step(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 2)
            await asyncio.sleep(7)
            await stage.restart(plan())
            await asyncio.sleep(14)
            assert [record.at for record in stage.records()] == [310, 320]

    async def test_traffic_that_was_taken_away_meanwhile_counts(self) -> None:
        async with on_stage() as stage:
            stage.leave(stage.arrive())
            await asyncio.sleep(10)
            await stage.restart(plan(spec=spec(reachable=False)))
            await asyncio.sleep(10)
            assert stage.desired() == 0

    async def test_a_metric_that_changed_meanwhile_is_measured_afresh(self) -> None:
        async with on_stage() as stage:
            await busy(stage, 2)
            await stage.restart(plan(spec=spec(metric=Metric.RPS)))
            await asyncio.sleep(10)
            assert stage.last().outcome.decision.stable == 0

    async def test_a_request_that_came_before_the_state_was_restored_keeps_its_start(self) -> None:
        async with on_stage() as stage:
            saved = stage.loop.dump()
            await stage.stop()
            stage.new_loop(plan())
            stage.script(Start(delay=5))
            stage.arrive()
            (starting,) = stage.replicas().replicas
            assert stage.loop.restore(saved, 0.0) == []
            assert stage.replicas().replicas == (starting,)


@virtual
class TestOtherRevisions:
    async def test_a_revision_that_slept_sleeps_on(self) -> None:
        async with on_stage() as stage:
            await asyncio.sleep(50)
            await stage.restart(plan())
            await asyncio.sleep(50)
            assert stage.changes == []

    async def test_a_new_revision_begins_afresh_and_a_removed_one_is_forgotten(self) -> None:
        async with on_stage() as stage:
            stage.arrive()
            await asyncio.sleep(20)
            assert await stage.restart(plan("n-1")) == []
            assert list(stage.loop.dump()) == ["n-1"]

    @pytest.mark.parametrize(
        "damage",
        [
            {"desired": -1},
            {"desired": "many"},
            {"initialized": 1},
            {"idle_age": float("nan")},
            {"awake_age": []},
            {"collector": {"metric": "concurrency", "silent": True, "windows": {}}},
            {"decision": None},
        ],
    )
    async def test_a_damaged_one_begins_afresh_and_the_others_go_on(self, damage: dict[str, object]) -> None:
        async with on_stage(plan(), plan("n-1")) as stage:
            stage.arrive(name="n-1")
            await asyncio.sleep(20)
            saved = stage.loop.dump()
            saved[NAME] |= damage
            await stage.stop()
            loop = stage.new_loop(plan(), plan("n-1"))
            (problem,) = loop.restore(saved, 0.0)
            assert problem.startswith(f"The saved state of {NAME} cannot be used, it starts afresh: ")
            assert stage.desired("n-1") == 1
            assert stage.records() == []


class Burst(NamedTuple):
    """`number` requests that come at `at` and last `seconds`."""

    at: float
    number: int
    seconds: float


HORIZON = 150
BURSTS = st.lists(
    st.builds(
        Burst,
        at=st.integers(0, HORIZON - 1).map(lambda second: second + 0.25),
        number=st.integers(1, 5),
        seconds=st.integers(1, 60).map(lambda second: second + 0.5),
    ),
    max_size=6,
)
SPECS = st.builds(
    spec,
    algorithm=st.sampled_from(Algorithm),
    metric=st.sampled_from(Metric),
    scale_down_delay=st.sampled_from([0.0, 30.0]),
    stable_window=st.sampled_from([20.0, 60.0]),
    panic_window=st.just(6.0),
    max_scale_up_rate=st.sampled_from([1.5, 10.0]),
)


async def play(stage: Stage, burst: Burst) -> None:
    await asyncio.sleep(burst.at)
    requests = stage.arrive(burst.number)
    await asyncio.sleep(burst.seconds)
    stage.leave(requests)


async def decisions(of: Spec, bursts: list[Burst], kills: set[int]) -> dict[float, tuple[object, ...]]:
    """Return what was decided when, with the loop killed and restarted just after the ticks in `kills`."""
    revision = plan(spec=of, bounds=bounds(idle_period=40.0, max_scale=6))
    made: dict[float, tuple[object, ...]] = {}
    async with on_stage(revision) as stage:
        stage.script(Start(delay=3.5))
        players = [asyncio.create_task(play(stage, burst)) for burst in bursts]
        for tick in sorted(kills):
            await asyncio.sleep(tick - stage.clock())
            while stage.revision().due <= tick:  # noqa: ASYNC110 - both wake at the same instant, in whatever order
                await asyncio.sleep(0)
            made |= told(stage)
            await stage.restart(revision)
        await asyncio.sleep(HORIZON + 70 - stage.clock())
        await asyncio.gather(*players)
        made |= told(stage)
    return made


def told(stage: Stage) -> dict[float, tuple[object, ...]]:
    return {
        record.at: (record.outcome.replicas, record.outcome.decision.stable, record.outcome.decision.panicking)
        for record in stage.records()
    }


def in_virtual_time(of: Spec, bursts: list[Burst], kills: set[int]) -> dict[float, tuple[object, ...]]:
    loop = looptime.new_event_loop(noop_cycles=0)
    try:
        return loop.run_until_complete(decisions(of, bursts, kills))
    finally:
        loop.close()


@settings(max_examples=25, deadline=None)
@given(SPECS, BURSTS, st.sets(st.integers(1, HORIZON // 10).map(lambda tick: tick * 10), min_size=1, max_size=4))
def test_the_decisions_of_a_loop_that_was_killed_are_those_of_one_that_was_not(
    of: Spec, bursts: list[Burst], kills: set[int]
) -> None:
    unbroken, broken = in_virtual_time(of, bursts, set()), in_virtual_time(of, bursts, kills)
    assert {at: made for at, made in broken.items() if at in unbroken} == unbroken


def test_the_scenario_of_the_test_above_scales_up_and_down() -> None:
    made = in_virtual_time(SPEC, [Burst(1.25, 3, 30.5)], {20, 60})
    numbers = [replicas for replicas, _, _ in made.values()]
    assert max(map(str, numbers)) == "3"
    assert numbers[-1] == 0
