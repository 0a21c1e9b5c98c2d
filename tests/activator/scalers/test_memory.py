from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from activator.scalers.base import Phase, ReplicaSpec
from activator.scalers.memory import MemoryScaler, Start
from tests.activator.scalers.contract import LocalContract, failed, gone, phases, ready, started
from tests.activator.scalers.fakes import FakeRouting, Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.looptime


class MemoryStage:
    def __init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.routing = FakeRouting()
        self.scaler = MemoryScaler(self.routing, clock=self.clock)
        self.watcher = Watcher(self.scaler, self.clock, patience=1000)
        self.specs = {name: ReplicaSpec(command=(name,)) for name in ("good", "slow", "doomed")}
        self.scaler.declare(self.specs)
        self.scaler.script("good", self._starts())
        self.scaler.script("slow", [Start(delay=3600)])
        self.scaler.script("doomed", [Start(failure="command 'doomed' not found", doomed=True)])
        self._broken = False

    def _starts(self) -> Iterator[Start]:
        while True:
            yield Start(delay=0.01, failure="out of memory" if self._broken else "", ending=0.01)

    def break_starts(self) -> None:
        self._broken = True

    def mend_starts(self) -> None:
        self._broken = False

    def crash(self, replica: str) -> None:
        self.scaler.crash(replica, f"{replica} crashed")


@pytest.fixture
async def stage() -> AsyncIterator[MemoryStage]:
    stage = MemoryStage()
    yield stage
    await stage.scaler.close(drain=0)


class TestMemoryScaler(LocalContract):
    pass


async def test_names_count_up(stage: MemoryStage) -> None:
    assert await started(stage, 2) == ["good-1", "good-2"]


async def test_an_unschedulable_replica_is_pending_until_there_is_room(stage: MemoryStage) -> None:
    stage.scaler.script("good", [Start(unschedulable=60, reason="no GPU", delay=5)])
    stage.scaler.scale("good", 1)
    assert stage.scaler.replicas("good").count(Phase.PENDING) == 1
    await asyncio.sleep(59)
    (replica,) = stage.scaler.replicas("good").replicas
    assert (replica.phase, replica.message, replica.since, replica.port) == (Phase.PENDING, "no GPU", 0, 0)
    await asyncio.sleep(2)
    (replica,) = stage.scaler.replicas("good").replicas
    assert (replica.phase, replica.message, replica.since) == (Phase.STARTING, "", 60)
    (replica,) = (await stage.watcher.until("good", ready(1))).replicas
    assert replica.since == 65


async def test_a_pending_replica_is_ended_before_a_starting_one(stage: MemoryStage) -> None:
    stage.scaler.script("good", [Start(unschedulable=60), Start(delay=60)])
    stage.scaler.scale("good", 2)
    stage.scaler.scale("good", 1)
    await asyncio.sleep(1)
    assert list(phases(stage.scaler.replicas("good"))) == ["good-2"]


async def test_starts_follow_the_script_and_then_its_last_line(stage: MemoryStage) -> None:
    stage.scaler.script("good", [Start(delay=1), Start(delay=7)])
    stage.scaler.scale("good", 3)
    await stage.watcher.until("good", ready(3))
    assert [replica.since for replica in stage.scaler.replicas("good").replicas] == [1, 7, 7]


async def test_a_replica_is_where_its_script_says(stage: MemoryStage) -> None:
    stage.scaler.script("good", [Start(host="127.0.0.2", port=8080)])
    stage.scaler.scale("good", 1)
    (replica,) = (await stage.watcher.until("good", ready(1))).replicas
    assert (replica.host, replica.port) == ("127.0.0.2", 8080)


async def test_a_start_without_a_script_takes_no_time(stage: MemoryStage) -> None:
    stage.scaler.declare({"plain": ReplicaSpec()})
    stage.scaler.scale("plain", 1)
    assert (await stage.watcher.until("plain", ready(1))).replicas[0].since == 0


async def test_a_replica_that_stops_answering_is_out_until_it_answers_again(stage: MemoryStage) -> None:
    (name,) = await started(stage, 1)
    stage.scaler.unready(name, "hangs")
    (replica,) = stage.scaler.replicas("good").replicas
    assert (replica.phase, replica.message) == (Phase.STARTING, "hangs")
    stage.scaler.ready(name)
    assert stage.scaler.replicas("good").count(Phase.READY) == 1


async def test_a_replica_that_was_ready_once_is_drained_even_if_it_does_not_answer_now(stage: MemoryStage) -> None:
    (name,) = await started(stage, 1)
    stage.routing.busy[name] = 1
    stage.scaler.unready(name)
    stage.scaler.scale("good", 0)
    await asyncio.sleep(100)
    assert phases(stage.scaler.replicas("good")) == {name: Phase.DRAINING}
    stage.routing.finish(name)
    await stage.watcher.until("good", gone)


async def test_a_draining_replica_that_does_not_answer_is_not_taken_back(stage: MemoryStage) -> None:
    (name,) = await started(stage, 1)
    stage.routing.busy[name] = 1
    stage.scaler.scale("good", 0)
    stage.scaler.unready(name)
    stage.scaler.scale("good", 1)
    assert list(phases(stage.scaler.replicas("good")).values()) == [Phase.DRAINING, Phase.STARTING]


async def test_a_replica_that_was_told_to_end_is_not_taken_back(stage: MemoryStage) -> None:
    stage.scaler.script("good", [Start(ending=30)])
    (name,) = await started(stage, 1)
    stage.scaler.scale("good", 0)
    await asyncio.sleep(1)
    stage.scaler.scale("good", 1)
    assert phases(stage.scaler.replicas("good")) == {name: Phase.DRAINING, "good-2": Phase.STARTING}
    await stage.scaler.close(drain=100)


async def test_a_replica_that_was_ready_for_long_is_replaced_at_once(stage: MemoryStage) -> None:
    (name,) = await started(stage, 1)
    await asyncio.sleep(10)
    stage.crash(name)
    snapshot = stage.scaler.replicas("good")
    assert snapshot.count(Phase.STARTING) == 1
    assert snapshot.failures == 0
    assert snapshot.last_failure == "good-1 crashed"


async def test_a_replica_that_keeps_crashing_after_it_was_ready_waits_ever_longer(stage: MemoryStage) -> None:
    await started(stage, 1)
    waits = []
    for _ in range(4):
        (replica,) = (await stage.watcher.until("good", ready(1))).replicas
        stage.crash(replica.name)
        waits.append((stage.scaler.replicas("good").retry_at or 0) - stage.clock())
    assert waits == pytest.approx([0.25, 0.5, 1, 2])


async def test_an_old_replica_taken_down_in_peace_ends_a_series_of_failures(stage: MemoryStage) -> None:
    stage.break_starts()
    stage.scaler.scale("good", 1)
    await stage.watcher.until("good", failed(5))
    stage.mend_starts()
    await stage.watcher.until("good", ready(1))
    await asyncio.sleep(20)
    stage.scaler.scale("good", 0)
    await stage.watcher.until("good", gone)
    stage.break_starts()
    stage.scaler.scale("good", 1)
    snapshot = await stage.watcher.until("good", failed(1))
    assert (snapshot.retry_at or 0) - stage.clock() == pytest.approx(0.25)


async def test_starts_that_fail_side_by_side_lengthen_the_wait_once(stage: MemoryStage) -> None:
    stage.break_starts()
    stage.scaler.scale("good", 4)
    snapshot = await stage.watcher.until("good", failed(4))
    assert (snapshot.retry_at or 0) - stage.clock() == pytest.approx(0.25)


async def test_a_start_that_keeps_failing_is_tried_no_more_often_than_every_five_minutes(stage: MemoryStage) -> None:
    stage.break_starts()
    stage.scaler.scale("good", 1)
    await asyncio.sleep(3600)
    failures = stage.scaler.replicas("good").failures
    await asyncio.sleep(3600)
    assert stage.scaler.replicas("good").failures - failures in {11, 12}


async def test_closing_ends_a_pending_retry(stage: MemoryStage) -> None:
    stage.break_starts()
    stage.scaler.scale("good", 1)
    await stage.watcher.until("good", failed(1))
    await stage.scaler.close(drain=0)
    told = len(stage.watcher.seen)
    await asyncio.sleep(1000)
    assert len(stage.watcher.seen) == told


async def test_crashing_nobody_is_an_error(stage: MemoryStage) -> None:
    with pytest.raises(KeyError):
        stage.scaler.crash("good-9")
