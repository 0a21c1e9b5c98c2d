"""Requests that are held for a GPU: one idle revision gives way, and no second one before the first has been of use."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from activator.scalers.memory import MemoryScaler, Start
from tests.activator.stage import Stage, bounds, plan, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.scalers.base import ReplicaSet

pytestmark = pytest.mark.looptime

WAITER, RIVALS = "c-1", ("a-1", "b-1")


class FullHouse(MemoryScaler):
    """Replicas of the waiter have no node until they are ready: its rivals hold what it needs."""

    def replicas(self, revision: str) -> ReplicaSet:
        seen = super().replicas(revision)
        waits = revision == WAITER and seen.desired and not any(each.phase.value == "ready" for each in seen.replicas)
        return replace(seen, rivals=frozenset(RIVALS)) if waits else seen


@asynccontextmanager
async def full_house(seconds: float) -> AsyncIterator[Stage]:
    """Both rivals are awake and idle, the first for longest; a replica of the waiter would be ready after `seconds`."""
    idle = bounds(evictable=True, min_residency=1.0, idle_period=3600.0)
    stage = Stage()
    await stage.stop()
    stage.scaler = FullHouse(stage.traffic, clock=stage.clock)
    await stage.resume({}, 0.0, *(plan(name, spec(tick=2.0), idle) for name in (*RIVALS, WAITER)))
    stage.script(Start(delay=seconds), name=WAITER)
    for name in RIVALS:
        stage.leave(stage.arrive(name=name))
        await asyncio.sleep(5)
    try:
        yield stage
    finally:
        await stage.close()


async def test_one_gives_way_at_once_and_the_other_stays_while_a_scheduler_may_be_about_to_act() -> None:
    async with full_house(seconds=9) as stage:
        stage.arrive(name=WAITER)
        await asyncio.sleep(0.1)
        assert [stage.desired(name) for name in RIVALS] == [0, 1]
        await asyncio.sleep(30)
        assert stage.ready(WAITER) == 1
        assert [stage.desired(name) for name in RIVALS] == [0, 1]


async def test_the_next_one_gives_way_when_the_first_was_of_no_use() -> None:
    async with full_house(seconds=60) as stage:
        stage.arrive(name=WAITER)
        await asyncio.sleep(9)
        assert [stage.desired(name) for name in RIVALS] == [0, 1]
        await asyncio.sleep(5)
        assert [stage.desired(name) for name in RIVALS] == [0, 0]
