"""An edge that does not lead: it counts, it wakes what sleeps, and it takes nothing away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from activator.scalers.memory import Start
from tests.activator.stage import NAME, bounds, on_stage, plan, spec

if TYPE_CHECKING:
    from tests.activator.stage import Stage

pytestmark = pytest.mark.looptime


def follow(stage: Stage, *, leads: bool = False) -> None:
    stage.loop.leads = lambda: leads


async def test_it_wakes_what_is_at_zero_at_once_with_one_replica() -> None:
    async with on_stage(plan(spec=spec(activation_scale=3, tick=3600), bounds=bounds(max_scale=5))) as stage:
        follow(stage)
        stage.script(Start(delay=5))
        await asyncio.sleep(1.5)
        stage.arrive(4)
        assert stage.desired() == 1
        assert stage.changes == [(1.5, NAME, 1)]
        assert (stage.last().poked, stage.last().outcome.replicas) == (True, 1)
        assert stage.last().sentence.endswith("; another edge leads, and this one only wakes what is at zero.")
        await asyncio.sleep(60)
        assert stage.desired() == 1, "more is the leader's to decide"


async def test_it_decides_nothing_by_itself() -> None:
    async with on_stage(plan(bounds=bounds(min_scale=2, idle_period=10))) as stage:
        follow(stage)
        await asyncio.sleep(100)
        assert (stage.desired(), stage.changes) == (0, [])
        stage.scaler.scale(NAME, 3)
        await asyncio.sleep(3600)
        assert stage.ready() == 3


async def test_it_goes_on_counting_and_decides_by_that_once_it_leads() -> None:
    async with on_stage(plan(bounds=bounds(max_scale=4))) as stage:
        follow(stage)
        requests = stage.arrive(4)
        await asyncio.sleep(60.5)
        assert stage.desired() == 1
        follow(stage, leads=True)
        await asyncio.sleep(1)
        assert stage.desired() == 2
        await asyncio.sleep(30)
        assert stage.desired() == 4
        stage.leave(requests)


async def test_one_that_leads_no_more_takes_nothing_away() -> None:
    async with on_stage(plan(bounds=bounds(idle_period=30))) as stage:
        stage.leave(stage.arrive())
        await asyncio.sleep(25)
        follow(stage)
        await asyncio.sleep(3600)
        assert stage.ready() == 1


async def test_what_stays_until_all_have_agreed_is_not_told_as_gone() -> None:
    async with on_stage(plan(bounds=bounds(idle_period=30))) as stage:
        stage.traffic.settles = False
        stage.leave(stage.arrive())
        await asyncio.sleep(300)
        assert stage.ready() == stage.last().outcome.replicas == 1
        assert stage.last().sentence.endswith(
            "; as many as there are, 1, stay until it is agreed that no request is open anywhere."
        )


async def test_it_does_not_spin_while_decisions_are_due_that_it_may_not_make() -> None:
    async with on_stage(plan(spec=spec(tick=0.01))) as stage:
        follow(stage)
        asked = 0

        def leads() -> bool:
            nonlocal asked
            asked += 1
            return False

        stage.loop.leads = leads
        await asyncio.sleep(100)
        assert asked < 1000


async def test_a_new_leader_continues_the_idle_clock_and_keeps_the_present_replicas() -> None:
    async with on_stage(plan(bounds=bounds(idle_period=300, max_scale=5))) as stage:
        stage.leave(stage.arrive())
        await asyncio.sleep(200)
        saved = stage.loop.dump()
        await stage.stop()
        stage.scaler.scale(NAME, 3)  # the old leader's last act came after it saved
        await asyncio.sleep(10)
        loop = stage.new_loop(plan(bounds=bounds(idle_period=300, max_scale=5)))
        before = stage.desired()
        assert loop.restore(saved, 10, alive=True) == []
        assert stage.desired() == before == 3
        assert stage.traffic.look(NAME).idle_since == 0
