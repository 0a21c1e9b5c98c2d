"""Rollouts with a loop and a scaler around them, in virtual time: what is started when, and who has how many."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from activator.catalog.model import Canary, Catalog
from activator.rollouts import Rollouts
from activator.scalers.memory import Start
from activator.traffic.rollout import Phase
from router.table import Revision, Service, Share, Table
from router.tally import Tally
from tests.activator.stage import Stage, bounds, plan, spec
from tests.activator.traffic.canaries import canary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.rollouts import Told
    from router.ports import RevisionStats

pytestmark = pytest.mark.looptime

OLD, NEW = "m-1", "m-2"


class Edge(Stage):
    """A control plane with rollouts. `most` is the most replicas that both revisions had together."""

    def __init__(self, of: Canary, **autoscaling: Any) -> None:
        self.tallies = {OLD: Tally(), NEW: Tally()}
        self.events: list[Told] = []
        self.published: list[Catalog] = []
        self.most = 0
        made = bounds(**autoscaling)
        self.plans = {
            name: plan(name, spec=spec(tick=1.0, stable_window=6.0, max_scale_up_rate=10.0), bounds=made)
            for name in (OLD, NEW)
        }
        super().__init__(*self.plans.values())
        self.rollouts = self.new_rollouts()
        self.put(of)

    def new_rollouts(self) -> Rollouts:
        rollouts = Rollouts((self, self.loop, self.scaler), self._publish, self.clock)
        rollouts.on_event = self.events.append
        self.loop.on_period = rollouts.look
        return rollouts

    def put(self, *of: Canary) -> list[str]:
        goal = of[0].goal if of else 0
        shares = (Share(Revision(OLD, "m"), 100 - goal), Share(Revision(NEW, "m"), goal))
        services = (Service("m", ("m.example",), shares),)
        self.canary = of[0] if of else None
        return self.rollouts.configure(Catalog(Table(services), self.plans, {each.service: each for each in of}))

    def look(self, revision: str) -> RevisionStats:
        return self.traffic.look(revision)

    @property
    def counters(self) -> Edge:
        return self

    def tally(self, revision: str) -> Tally | None:
        return self.tallies[revision]

    def answered(self, mine: tuple[int, int], other: tuple[int, int]) -> None:
        """Count requests, and how many of them failed, of the canary and of the stable revision."""
        for name, (answered, failed) in (
            ((NEW, mine), (OLD, other)) if self.canary else ()
        ):  # as Counters.compare has it
            self.tallies[name].answered += answered
            self.tallies[name].failed += failed

    @property
    def kinds(self) -> list[str]:
        return [told.event.kind for told in self.events]

    @property
    def counts(self) -> tuple[int, int]:
        return self.ready(OLD), self.ready(NEW)

    def shares(self) -> dict[str, int]:
        return {share.revision.name: share.percent for share in self.published[-1].table.services[0].shares}

    def _publish(self, catalog: Catalog) -> None:
        self.published.append(catalog)
        self.loop.configure(catalog.plans)

    def _saw(self, replicas: Any) -> None:
        super()._saw(replicas)
        self.most = max(self.most, sum(len(self.scaler.replicas(name).replicas) for name in (OLD, NEW)))


@asynccontextmanager
async def edge(of: Canary, **autoscaling: Any) -> AsyncIterator[Edge]:
    made = Edge(of, **autoscaling)
    try:
        yield made
    finally:
        await made.close()


async def test_a_canary_is_started_though_nobody_asks_and_told_when_it_is_warm() -> None:
    async with edge(canary(5, steps=())) as stage:
        stage.script(Start(delay=20.0), name=NEW)
        await asyncio.sleep(3)
        assert (stage.desired(NEW), stage.desired(OLD)) == (1, 0)
        assert "1 is kept ready for traffic that is about to come" in stage.records(NEW)[0].sentence
        assert stage.kinds == ["begun"]
        await asyncio.sleep(20)
        assert stage.kinds == ["begun", "warm"]
        assert stage.shares() == {OLD: 95, NEW: 5}


async def test_it_sleeps_again_after_its_idle_period_and_is_not_started_anew() -> None:
    async with edge(canary(5, steps=()), idle_period=30.0) as stage:
        await asyncio.sleep(20)
        assert stage.desired(NEW) == 1
        await asyncio.sleep(60)
        assert stage.desired(NEW) == 0


async def test_one_that_need_not_be_warm_first_is_not_started() -> None:
    async with edge(canary(5, steps=(), warm_first=False)) as stage:
        await asyncio.sleep(5)
        assert stage.desired(NEW) == 0


async def test_it_is_woken_for_a_request_that_another_answers_and_stays_for_its_idle_period() -> None:
    async with edge(canary(5, steps=(), warm_first=False), idle_period=30.0) as stage:
        stage.script(Start(delay=10.0), name=NEW)
        stage.loop.wake(NEW)
        await asyncio.sleep(25)
        assert stage.ready(NEW) == 1
        await asyncio.sleep(30)
        assert stage.desired(NEW) == 0


async def test_a_wake_starts_a_canary_again_whose_starts_have_failed() -> None:
    of = canary(5, steps=(), guard=None)
    async with edge(of, start_attempts=1) as stage:
        stage.script(Start(failure="no memory"), name=NEW)
        await asyncio.sleep(30)
        assert stage.desired(NEW) == 0
        stage.script(Start(), name=NEW)
        stage.loop.wake(NEW)
        await asyncio.sleep(2)
        assert stage.ready(NEW) == 1


async def test_a_bad_canary_loses_its_share_and_its_replica_within_seconds() -> None:
    async with edge(canary(50, steps=())) as stage:
        await asyncio.sleep(2.5)
        stage.answered((30, 30), (30, 0))
        await asyncio.sleep(2)
        assert stage.shares() == {OLD: 100, NEW: 0}
        assert stage.desired(NEW) == 0
        assert stage.rollouts.events["m", NEW, "rolled-back"] == 1


async def test_starts_that_keep_failing_take_it_out() -> None:
    async with edge(canary(), start_attempts=1) as stage:
        stage.script(Start(failure="no such model"), name=NEW)
        await asyncio.sleep(30)
        assert stage.kinds == ["begun", "rolled-back"]
        assert "no such model" in stage.events[-1].event.why


async def test_a_restart_by_hand_tries_starts_that_failed_again() -> None:
    async with edge(canary(), start_attempts=1) as stage:
        stage.script(Start(failure="no such model"), name=NEW)
        await asyncio.sleep(30)
        stage.script(Start(), name=NEW)
        assert stage.rollouts.restart("m").startswith("m-2 gets 1 %")
        await asyncio.sleep(3)
        assert stage.kinds == ["begun", "rolled-back", "restarted", "warm"]


async def test_nothing_is_published_while_nothing_moves() -> None:
    async with edge(canary(5, steps=(), guard=None)) as stage:
        await asyncio.sleep(5)
        published = len(stage.published)
        await asyncio.sleep(20)
        assert len(stage.published) == published


async def test_each_time_the_shares_change_the_comparison_begins_anew_on_both_sides() -> None:
    async with edge(canary()) as stage:
        numbers = []
        stage.script(Start(delay=5.0), name=NEW)
        for second in range(40):
            stage.answered((3, 0) if second > 6 else (0, 0), (20, 0))
            await asyncio.sleep(1)
            shares = stage.published[-1].table.services[0].shares
            numbers.append({share.revision.compared for share in shares})
        assert all(len(number) == 1 for number in numbers)
        assert [*dict.fromkeys(number.pop() for number in numbers)] == [1, 2, 3, 4, 5, 6][
            : stage.kinds.count("step") + 2
        ]


async def test_what_was_counted_before_the_rollout_is_not_held_against_it() -> None:
    async with edge(canary(50, steps=())) as stage:
        stage.put()
        stage.answered((100, 100), (100, 0))
        await asyncio.sleep(3)
        stage.put(canary(50, steps=()))
        await asyncio.sleep(5)
        assert stage.shares()[NEW] == 50


async def test_swap_mode_never_has_more_than_one_replica_beyond_those_of_the_stable_revision() -> None:
    of = canary(steps=(50,), swap=True, guard=None, step_requests=0, step_seconds=60.0)
    async with edge(replace(of, goal=0)) as stage:
        for name in (OLD, NEW):
            stage.script(Start(delay=5.0, ending=3.0), name=name)
        busy = stage.arrive(3, OLD)
        await asyncio.sleep(30)
        assert stage.counts == (3, 0)
        stage.most = 0
        stage.put(of)
        moved = []
        for request in busy:
            stage.leave([request])
            moved += stage.arrive(1, NEW)
            await asyncio.sleep(30)
        assert stage.counts == (1, 3)
        assert stage.most == 4
        stage.leave(moved)


async def test_after_it_both_have_what_they_need() -> None:
    of = canary(steps=(), swap=True, guard=None, step_requests=0, step_seconds=5.0)
    async with edge(of) as stage:
        await asyncio.sleep(20)
        assert stage.rollouts.rollouts["m"].phase is Phase.COMPLETE
        assert {each.bounds.cap for each in stage.published[-1].plans.values()} == {None}
        stage.arrive(5, NEW)
        await asyncio.sleep(10)
        assert stage.ready(NEW) == 5


async def test_a_restart_of_the_edge_goes_on_where_it_was() -> None:
    async with edge(canary()) as stage:
        for _ in range(12):
            stage.answered((5, 0), (20, 0))
            await asyncio.sleep(1)
        assert stage.shares()[NEW] == 5
        saved = json.loads(json.dumps(stage.rollouts.dump()))
        before = stage.rollouts.rollouts["m"]
        stage.rollouts = stage.new_rollouts()
        stage.rollouts.restore(saved)
        assert stage.canary is not None
        assert stage.put(stage.canary) == []
        assert stage.rollouts.rollouts["m"] == before
        assert stage.shares()[NEW] == 5


async def test_a_service_that_is_gone_for_a_while_comes_back_as_it_was() -> None:
    async with edge(canary()) as stage:
        stage.rollouts.roll_back("m")
        stage.rollouts.configure(Catalog(Table(), stage.plans))
        assert stage.rollouts.dump()["m"]["phase"] == "rolled-back"
        stage.put(canary())
        assert stage.shares()[NEW] == 0
        assert stage.kinds == ["begun", "rolled-back"]


async def test_a_service_that_comes_late_goes_on_where_it_was() -> None:
    async with edge(canary()) as stage:
        stage.rollouts.roll_back("m")
        saved = stage.rollouts.dump()
        stage.rollouts = stage.new_rollouts()
        stage.rollouts.restore(saved)
        stage.rollouts.configure(Catalog(Table(), stage.plans))
        assert stage.rollouts.dump() == saved
        stage.put(canary())
        assert stage.shares()[NEW] == 0


async def test_a_canary_that_is_taken_out_of_the_file_is_forgotten() -> None:
    async with edge(canary()) as stage:
        stage.rollouts.roll_back("m")
        stage.put()
        assert stage.rollouts.dump() == {}
        stage.put(canary())
        assert stage.shares()[NEW] == 1


async def test_a_saved_rollout_that_makes_no_sense_begins_anew_and_says_so() -> None:
    async with edge(canary()) as stage:
        stage.rollouts = stage.new_rollouts()
        stage.rollouts.restore({"m": {"percent": 7}})
        assert stage.canary is not None
        (problem,) = stage.put(stage.canary)
        assert "The saved rollout of m cannot be used, it begins anew" in problem
        assert stage.shares()[NEW] == 1


async def test_a_service_without_a_canary_has_nothing_to_move() -> None:
    async with edge(canary()) as stage:
        with pytest.raises(KeyError):
            stage.rollouts.promote("n")


async def test_what_a_canary_calls_is_warm_before_it_gets_its_share() -> None:
    async with edge(canary(5, steps=())) as stage:
        stage.plans["m-behind"] = plan(
            "m-behind", spec=spec(tick=1.0, stable_window=6.0), bounds=bounds(idle_period=30.0)
        )
        stage.plans[NEW] = replace(stage.plans[NEW], wakes=("m-behind",))
        stage.loop.configure(stage.plans)
        stage.script(Start(delay=4.0), name=NEW)
        stage.script(Start(delay=20.0), name="m-behind")
        stage.put(canary(6, steps=()))
        await asyncio.sleep(10)
        assert (stage.ready(NEW), stage.desired("m-behind")) == (1, 1)
        assert "warm" not in stage.kinds
        await asyncio.sleep(15)
        assert stage.kinds[-1] == "warm"
        await asyncio.sleep(90)
        assert stage.desired("m-behind") == 0


async def test_a_canary_whose_chain_cannot_be_started_is_taken_out() -> None:
    async with edge(canary(5, steps=()), start_attempts=2) as stage:
        behind = plan("m-behind", spec=spec(tick=1.0, stable_window=6.0), bounds=bounds(start_attempts=2))
        stage.plans["m-behind"] = behind
        stage.plans[NEW] = replace(stage.plans[NEW], wakes=("m-behind",))
        stage.loop.configure(stage.plans)
        stage.script(*(Start(failure="no such model") for _ in range(9)), name="m-behind")
        stage.put(canary(6, steps=()))
        await asyncio.sleep(120)
        assert stage.kinds[-1] == "rolled-back"
        assert "its starts keep failing" in stage.events[-1].event.why


async def test_what_happened_to_a_canary_is_counted_for_as_long_as_its_revision_is_there() -> None:
    async with edge(canary()) as made:
        assert made.rollouts.events["m", NEW, "begun"] == 1
        made.put()
        assert made.rollouts.events["m", NEW, "begun"] == 1
        del made.plans[NEW]
        made.rollouts.configure(Catalog(Table(), made.plans))
        assert not made.rollouts.events
