"""A new leader goes on where the old one was, and only a leader writes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from activator import logs
from activator.catalog.merge import Deployments
from activator.catalog.model import Catalog
from activator.kube.errors import ApiError, UnreachableError
from activator.kube.saved import DamagedError
from activator.shared_savings import GOOD_DEPLOYMENTS, SAVE_SECONDS, SOON, SharedSavings
from activator.usage import DAY, KEPT_DAYS, Ledger
from router.table import Revision, Service, Share, Table
from tests.activator.catalog.deployed import SETTINGS, deployment
from tests.activator.stage import NAME, bounds, no_rollouts, on_stage, plan
from tests.activator.traffic.canaries import canary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from activator.catalog.model import Canary
    from tests.activator.stage import Stage

pytestmark = pytest.mark.looptime
WALL = 1_700_000_000.0


class Map:
    """A ConfigMap in memory; `failures` are raised in turn, one a call."""

    name = "gpu-activator-state"

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.failures: list[Exception | None] = []
        self.writes: list[float] = []
        self.reads = 0

    async def read(self) -> dict[str, Any]:
        self.reads += 1
        self._fail()
        return self.documents

    async def write(self, documents: dict[str, Any], may: Callable[[], bool]) -> bool:
        self._fail()
        if may():
            self.documents = documents
            self.writes.append(asyncio.get_running_loop().time())
        return may()

    def _fail(self) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure


class Leader:
    """The savings of one edge, and whether it holds the Lease."""

    def __init__(self, stage: Stage, shared: Map) -> None:
        self.holds = False
        self.ledger = Ledger()
        self.deployments = Deployments()
        self.rollouts = no_rollouts(stage.loop, stage.traffic, stage.scaler)
        self.rollouts.leads = lambda: self.holds and self.savings.taken_over
        self.savings = SharedSavings(
            shared,  # type: ignore[arg-type]
            (stage.loop, self.ledger, self.rollouts, {GOOD_DEPLOYMENTS: self.deployments}),
            lambda: self.holds,
            lambda: WALL + asyncio.get_running_loop().time(),
            logs.logger("edge"),
        )
        stage.loop.leads = lambda: self.holds and self.savings.taken_over


@asynccontextmanager
async def leader(stage: Stage, shared: Map) -> AsyncIterator[Leader]:
    edge = Leader(stage, shared)
    with capture_logs():
        task = asyncio.create_task(edge.savings.keep())
        try:
            yield edge
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_only_who_leads_reads_and_writes_and_not_more_often_than_every_few_seconds() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        await asyncio.sleep(100)
        assert (shared.reads, shared.writes) == (0, [])
        edge.holds = True
        await asyncio.sleep(100)
        assert shared.reads == 1
        assert 9 <= len(shared.writes) <= 100 / SAVE_SECONDS
        edge.holds = False
        count = len(shared.writes)
        await asyncio.sleep(100)
        assert len(shared.writes) == count


async def test_what_an_edge_that_starts_must_know_is_saved_within_a_second_and_no_more_often() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(10.5)
        count = len(shared.writes)
        for _ in range(20):
            edge.savings.hurry()
            await asyncio.sleep(0.1)
        assert 1 <= len(shared.writes) - count <= 2
        assert shared.writes[count] <= asyncio.get_running_loop().time() - 2 + SOON + 0.1


async def test_who_takes_over_tells_of_it_once_what_was_good_is_known() -> None:
    shared = Map()
    shared.documents = {GOOD_DEPLOYMENTS: {"m": {}}}
    told: list[object] = []
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.savings.on_taken_over = lambda: told.append(edge.deployments._saved)
        await asyncio.sleep(10)
        assert told == []
        edge.holds = True
        await asyncio.sleep(100)
        assert told == [{"m": {}}]


async def test_the_idle_clock_goes_on_with_a_new_leader_and_the_model_sleeps_when_it_should() -> None:
    shared, plans = Map(), plan(bounds=bounds(idle_period=300))
    async with on_stage(plans) as stage:
        async with leader(stage, shared) as first:
            first.holds = True
            stage.leave(stage.arrive())
            await asyncio.sleep(200)
            first.ledger.add(("m", NAME), (1, 1), 60.0, WALL)
            await asyncio.sleep(10)
        await stage.stop()
        stage.new_loop(plans)
        stage.traffic._demands.clear()
        stage._task = asyncio.create_task(stage.loop.run())
        async with leader(stage, shared) as second:
            await asyncio.sleep(20)
            assert stage.ready() == 1
            second.holds = True
            await asyncio.sleep(60)
            assert stage.ready() == 1
            await asyncio.sleep(20)
            assert stage.desired() == 0
            assert stage.changes[-1][0] == pytest.approx(300, abs=2)
            assert [row["replica_minutes"] for row in second.ledger.table()] == [1.0]


async def test_an_edge_that_starts_goes_on_with_a_deployment_that_has_a_mistake_as_it_last_was_good() -> None:
    shared, good, bad = Map(), deployment("m-1", "m", hosts="m.example"), deployment("m-1", "m", hosts="!")
    async with on_stage() as stage, leader(stage, shared) as first:
        first.holds = True
        before = first.deployments.merge(SETTINGS, [good])
        first.deployments.merge(SETTINGS, [bad])
        await asyncio.sleep(SAVE_SECONDS + 1)
        second = Leader(stage, shared)
        await second.savings.follow()
        assert second.deployments.merge(SETTINGS, [bad]).settings == before.settings
        shared.documents["deployments.json"] = "damaged"
        third = Leader(stage, shared)
        await third.savings.follow()
        assert third.deployments.merge(SETTINGS, [bad]).settings == SETTINGS


async def test_nothing_is_decided_until_the_old_leaders_state_is_known() -> None:
    shared = Map()
    shared.failures = [UnreachableError("away"), ApiError(500, "", "")]
    async with on_stage(plan(bounds=bounds(idle_period=1))) as stage:
        stage.loop.leads = lambda: False
        stage.scaler.scale(NAME, 2)
        async with leader(stage, shared) as edge:
            edge.holds = True
            await asyncio.sleep(3)
            assert not edge.savings.taken_over
            assert stage.ready() == 2
            await asyncio.sleep(2)
            assert edge.savings.taken_over


@pytest.mark.parametrize(
    "documents", [{"revisions.json": {"version": 9}}, {"revisions.json": []}, {"usage.json": "x"}, DamagedError("gone")]
)
async def test_a_state_that_cannot_be_used_is_told_and_the_edge_leads_all_the_same(documents: Any) -> None:
    shared = Map()
    if isinstance(documents, Exception):
        shared.failures = [documents]
    else:
        shared.documents = documents
    async with on_stage() as stage:
        edge = Leader(stage, shared)
        edge.holds = True
        with capture_logs() as lines:
            await edge.savings._take_over()
        assert edge.savings.taken_over
        assert lines[0]["event"].endswith("starts afresh")


async def test_usage_that_cannot_be_read_does_not_cost_the_idle_clocks() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        stage.leave(stage.arrive())
        await asyncio.sleep(SAVE_SECONDS + 1)
        shared.documents = {**shared.documents, "usage.json": "damaged"}
        stage.traffic.forget()
        await edge.savings._take_over()
        assert stage.traffic.look(NAME).idle_since == pytest.approx(0, abs=0.1)


async def test_when_somebody_else_has_written_it_is_read_again_before_anything_is_decided() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(1)
        shared.failures = [ApiError(409, "Conflict", ""), None]
        await asyncio.sleep(2 * SAVE_SECONDS)
        assert shared.reads == 2
        assert edge.savings.taken_over


async def test_a_write_that_fails_is_tried_at_the_next_time() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(1)
        shared.failures = [UnreachableError("away"), ApiError(403, "Forbidden", "")]
        await asyncio.sleep(4 * SAVE_SECONDS)
        assert shared.writes
        assert shared.reads == 1


async def test_what_is_too_much_for_a_config_map_is_saved_without_the_usage_of_older_days() -> None:
    shared = Map()
    async with on_stage() as stage:
        edge = Leader(stage, shared)
        edge.holds = edge.savings.taken_over = True
        for days in range(60):
            edge.ledger.add(("m", NAME), (1, 0), 60.0, WALL - days * DAY)
        shared.failures = [ApiError(422, "Invalid", "Too long")]
        with capture_logs() as lines:
            assert await edge.savings.save()
            assert await edge.savings.save()
        rows = shared.documents["usage.json"]["rows"]
        assert (len(rows), rows[0][0], rows[-1][0]) == (46, "2023-09-30", "2023-11-14")
        assert [(line["event"], line["days"]) for line in lines] == [
            ("usage of earlier days is not saved any more", 46)
        ]
        assert len(edge.ledger.table()) == 60


async def test_what_is_too_much_without_usage_is_told() -> None:
    shared = Map()
    async with on_stage() as stage:
        edge = Leader(stage, shared)
        edge.holds = edge.savings.taken_over = True
        shared.failures = [ApiError(422, "Invalid", "Too long")] * 8
        with capture_logs() as lines:
            assert not await edge.savings.save()
        assert [line.get("days") for line in lines] == [46, 23, 11, 5, 2, 1, 0, None]
        assert lines[-1]["event"] == "state cannot be saved"


async def test_a_right_that_is_missing_is_told_once_while_it_is() -> None:
    shared = Map()
    async with on_stage() as stage:
        edge = Leader(stage, shared)
        edge.holds = edge.savings.taken_over = True
        shared.failures = [ApiError(403, "Forbidden", "configmaps is forbidden")] * 3
        with capture_logs() as lines:
            for _ in range(3):
                assert not await edge.savings.save()
        assert [line["event"] for line in lines] == ["state cannot be saved"]
        assert not edge.savings.saved
        assert await edge.savings.save()
        assert edge.savings.saved


async def test_what_is_refused_for_another_reason_costs_no_usage() -> None:
    shared = Map()
    async with on_stage() as stage:
        edge = Leader(stage, shared)
        edge.holds = edge.savings.taken_over = True
        edge.ledger.add(("m", NAME), (1, 0), 60.0, WALL - 91 * DAY)
        shared.failures = [ApiError(422, "Invalid", "field is immutable when `immutable` is set")]
        with capture_logs() as lines:
            assert not await edge.savings.save()
            assert await edge.savings.save()
        assert [line["event"] for line in lines] == ["state cannot be saved", "state is saved again"]
        assert len(shared.documents["usage.json"]["rows"]) == 1


async def test_one_that_led_before_does_not_count_usage_twice() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(1)
        edge.ledger.add(("m", NAME), (1, 0), 60.0, WALL)
        await edge.savings.save()
        edge.holds = False
        await asyncio.sleep(SAVE_SECONDS + 1)
        edge.holds = True
        await asyncio.sleep(5)
        assert shared.reads == 2
        assert [row["replica_minutes"] for row in edge.ledger.table()] == [1.0]


async def test_one_that_lost_the_lead_for_a_moment_reads_again_what_another_may_have_written() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(1)
        edge.savings.let_go()
        assert not stage.loop.leads()
        await asyncio.sleep(SAVE_SECONDS + 1)
        assert (shared.reads, stage.loop.leads()) == (2, True)


async def test_what_is_read_too_late_is_not_used() -> None:
    shared = Map()
    async with on_stage() as stage:
        edge = Leader(stage, shared)
        edge.ledger.add(("m", NAME), (1, 0), 60.0, WALL)
        await edge.savings._take_over()
        assert not edge.savings.taken_over
        assert [row["replica_minutes"] for row in edge.ledger.table()] == [1.0]


async def test_two_that_save_at_once_do_not_get_in_each_others_way() -> None:
    shared = Map()
    writing = 0

    async def write(documents: dict[str, Any], may: Callable[[], bool]) -> bool:
        nonlocal writing
        writing += 1
        assert writing == 1
        await asyncio.sleep(1)
        writing -= 1
        return may()

    shared.write = write  # type: ignore[method-assign]
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(SAVE_SECONDS + 0.5)
        await asyncio.gather(edge.savings.save(), edge.savings.save())
        assert edge.savings.taken_over


async def test_usage_of_long_ago_is_not_kept_for_ever() -> None:
    shared = Map()
    async with on_stage() as stage, leader(stage, shared) as edge:
        edge.holds = True
        await asyncio.sleep(1)
        for days in range(KEPT_DAYS + 2):
            edge.ledger.add(("m", NAME), (1, 0), 60.0, WALL - days * DAY)
        await edge.savings.save()
        assert len(shared.documents["usage.json"]["rows"]) == KEPT_DAYS


class TestRollouts:
    SERVICE = Service("m", ("m.example",), (Share(Revision("m-1", "m"), 0), Share(Revision("m-2", "m"), 100)))

    def put(self, edge: Leader) -> None:
        plans = {name: plan(name) for name in ("m-1", "m-2")}
        assert edge.rollouts.configure(Catalog(Table((self.SERVICE,)), plans, {"m": canary()})) == []

    async def test_those_who_do_not_lead_follow_within_seconds(self) -> None:
        shared = Map()
        async with on_stage(plan("m-1"), plan("m-2")) as stage, leader(stage, shared) as first:
            self.put(first)
            first.holds = True
            await asyncio.sleep(1)
            first.rollouts.roll_back("m")
            await first.savings.save()
            async with leader(stage, shared) as second:
                self.put(second)
                await asyncio.sleep(3)
                assert second.rollouts.shares("m") == (0, 100)
                first.rollouts.promote("m")
                await first.savings.save()
                await asyncio.sleep(3)
                assert second.rollouts.shares("m") == (100, 0)

    async def test_one_that_starts_knows_before_it_is_configured(self) -> None:
        shared = Map()
        async with on_stage(plan("m-1"), plan("m-2")) as stage:
            first, second = Leader(stage, shared), Leader(stage, shared)
            self.put(first)
            first.rollouts.roll_back("m")
            shared.documents = {"rollouts.json": first.rollouts.dump()}
            await second.savings.follow()
            self.put(second)
            assert second.rollouts.shares("m") == (0, 100)

    async def test_a_new_leader_goes_on_where_the_old_one_was(self) -> None:
        shared = Map()
        async with on_stage(plan("m-1"), plan("m-2")) as stage, leader(stage, shared) as edge:
            self.put(edge)
            saved = edge.rollouts.dump()
            shared.documents = {"rollouts.json": {"m": {**saved["m"], "percent": 25, "requests": 7}}}
            edge.holds = True
            await asyncio.sleep(1)
            assert edge.rollouts.shares("m") == (25, 75)
            assert edge.rollouts.rollouts["m"].requests == 7

    @pytest.mark.parametrize(
        ("before", "leads"),
        [({}, True), ({"m": replace(canary(), identity="another")}, True), ({"m": canary(50)}, False)],
    )
    async def test_one_that_hears_of_a_canary_later_than_the_former_leader_does_not_begin_it_anew(
        self, before: dict[str, Canary], leads: bool
    ) -> None:
        shared = Map()
        async with on_stage(plan("m-1"), plan("m-2")) as stage, leader(stage, shared) as late:
            first = Leader(stage, shared)
            self.put(first)
            first.rollouts.roll_back("m")
            shared.documents = {"rollouts.json": first.rollouts.dump()}
            plans = {name: plan(name) for name in ("m-1", "m-2")}
            former = Catalog(Table((self.SERVICE,)), plans, before)
            late.rollouts.configure(former)
            late.holds = leads
            await asyncio.sleep(5)
            late.rollouts.configure(former)  # as with any change of a Deployment
            self.put(late)
            assert late.rollouts.shares("m") == (0, 100)

    async def test_what_makes_no_sense_or_cannot_be_read_changes_nothing(self) -> None:
        shared = Map()
        shared.documents = {"rollouts.json": {"m": {"percent": 7}}}
        async with on_stage(plan("m-1"), plan("m-2")) as stage, leader(stage, shared) as edge:
            self.put(edge)
            shared.failures = [UnreachableError("away"), DamagedError("damaged")]
            await asyncio.sleep(10)
            assert edge.rollouts.shares("m") == (1, 99)

    async def test_without_a_canary_nothing_is_read(self) -> None:
        shared = Map()
        async with on_stage() as stage, leader(stage, shared):
            await asyncio.sleep(100)
        assert shared.reads == 0
