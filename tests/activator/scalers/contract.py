"""What every scaler promises (activator.scalers.base), as tests that each of them inherits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest

from activator.scalers.base import Phase, ReplicaSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.scalers.base import ReplicaSpec, Scaler
    from tests.activator.scalers.fakes import FakeRouting, Watcher


class Stage(Protocol):
    """A scaler with revisions `good` (starts quickly), `slow` (never ready in a test), `doomed` (no such command)."""

    routing: FakeRouting
    watcher: Watcher
    clock: Callable[[], float]
    specs: dict[str, ReplicaSpec]

    @property
    def scaler(self) -> Scaler: ...

    def break_starts(self) -> None:
        """Let starts of `good` fail from now on, saying `out of memory`."""

    def mend_starts(self) -> None:
        """Let them succeed again."""

    def crash(self, replica: str) -> None:
        """Kill a running replica."""


def ready(count: int) -> Callable[[ReplicaSet], bool]:
    return lambda snapshot: snapshot.count(Phase.READY) == count == len(snapshot.replicas)


def gone(snapshot: ReplicaSet) -> bool:
    return not snapshot.replicas


def failed(times: int) -> Callable[[ReplicaSet], bool]:
    return lambda snapshot: snapshot.failures == times


def phases(snapshot: ReplicaSet) -> dict[str, Phase]:
    return {replica.name: replica.phase for replica in snapshot.replicas}


async def started(stage: Stage, count: int) -> list[str]:
    """Have `count` replicas of `good`; return their names, the oldest first."""
    stage.scaler.scale("good", count)
    snapshot = await stage.watcher.until("good", ready(count))
    return [replica.name for replica in snapshot.replicas]


class ScalerContract:
    """What every scaler promises."""

    async def test_a_declared_revision_has_no_replicas(self, stage: Stage) -> None:
        assert stage.scaler.replicas("good") == ReplicaSet("good")

    async def test_an_unknown_revision_has_an_empty_snapshot(self, stage: Stage) -> None:
        assert stage.scaler.replicas("nobody") == ReplicaSet("nobody")

    async def test_an_unknown_revision_cannot_be_scaled(self, stage: Stage) -> None:
        with pytest.raises(ValueError, match="nobody"):
            stage.scaler.scale("nobody", 1)

    async def test_a_negative_number_of_replicas_is_refused(self, stage: Stage) -> None:
        with pytest.raises(ValueError, match="-1"):
            stage.scaler.scale("good", -1)

    async def test_the_first_start_is_under_way_when_scale_returns(self, stage: Stage) -> None:
        stage.scaler.scale("good", 1)
        snapshot = stage.scaler.replicas("good")
        assert snapshot.desired == 1
        assert [replica.phase for replica in snapshot.replicas] == [Phase.STARTING]
        assert stage.watcher.seen == [snapshot]

    async def test_a_ready_replica_has_an_address_and_the_time_it_became_ready(self, stage: Stage) -> None:
        before = stage.clock()
        stage.scaler.scale("good", 1)
        (replica,) = (await stage.watcher.until("good", ready(1))).replicas
        assert replica.host.startswith("127.")
        assert replica.port > 0
        assert before <= replica.since <= stage.clock()

    async def test_replicas_have_names_and_addresses_of_their_own(self, stage: Stage) -> None:
        stage.scaler.scale("good", 3)
        replicas = (await stage.watcher.until("good", ready(3))).replicas
        assert len({replica.name for replica in replicas}) == 3
        assert len({(replica.host, replica.port) for replica in replicas}) == 3

    async def test_the_present_snapshot_is_the_last_one_told(self, stage: Stage) -> None:
        await started(stage, 2)
        assert stage.watcher.of("good")[-1] is stage.scaler.replicas("good")

    async def test_asking_twice_for_the_same_number_changes_nothing(self, stage: Stage) -> None:
        names = await started(stage, 1)
        stage.scaler.scale("good", 1)
        assert list(phases(stage.scaler.replicas("good"))) == names

    async def test_a_listener_may_scale_and_all_hear_the_newest_snapshot_last(self, stage: Stage) -> None:
        def meddle(snapshot: ReplicaSet) -> None:
            if snapshot.revision == "good" and snapshot.desired == 1:
                stage.scaler.scale("good", 2)

        late: list[ReplicaSet] = []
        stage.scaler.subscribe(meddle)
        stage.scaler.subscribe(late.append)
        stage.scaler.scale("good", 1)
        assert [snapshot.desired for snapshot in late] == [2]
        assert stage.watcher.of("good")[-1] is stage.scaler.replicas("good")

    async def test_a_busy_replica_drains_until_its_last_request_ends(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.scale("good", 0)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.DRAINING}
        await asyncio.sleep(0.2)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.DRAINING}
        stage.routing.finish(name)
        await stage.watcher.until("good", gone)

    async def test_a_replica_is_published_as_draining_before_its_requests_are_awaited(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.scaler.scale("good", 0)
        assert stage.watcher.of("good")[-1].count(Phase.DRAINING) == 1
        assert stage.routing.asked == []
        await stage.watcher.until("good", gone)
        assert stage.routing.asked == [name]

    async def test_idle_replicas_are_ended_first(self, stage: Stage) -> None:
        names = await started(stage, 3)
        stage.routing.busy |= {names[1]: 2, names[2]: 1}
        stage.scaler.scale("good", 1)
        snapshot = stage.scaler.replicas("good")
        assert phases(snapshot)[names[0]] is Phase.DRAINING
        assert phases(snapshot)[names[1]] is Phase.READY
        assert phases(snapshot)[names[2]] is Phase.DRAINING
        stage.routing.finish(names[2])
        await stage.watcher.until("good", ready(1))

    async def test_among_idle_replicas_the_newest_is_ended_first(self, stage: Stage) -> None:
        names = await started(stage, 2)
        stage.scaler.scale("good", 1)
        assert phases(stage.scaler.replicas("good"))[names[1]] is Phase.DRAINING
        snapshot = await stage.watcher.until("good", ready(1))
        assert list(phases(snapshot)) == [names[0]]

    async def test_a_replica_that_was_never_ready_is_ended_without_asking_the_router(self, stage: Stage) -> None:
        stage.scaler.scale("slow", 1)
        await asyncio.sleep(0.1)
        stage.scaler.scale("slow", 0)
        await stage.watcher.until("slow", gone)
        assert stage.routing.asked == []
        assert stage.scaler.replicas("slow").failures == 0

    async def test_scaling_up_takes_back_a_draining_replica(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.scale("good", 0)
        await asyncio.sleep(0.05)
        stage.scaler.scale("good", 1)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.READY}
        stage.routing.finish(name)
        await asyncio.sleep(0.1)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.READY}

    async def test_draining_replicas_do_not_count(self, stage: Stage) -> None:
        names = await started(stage, 2)
        stage.routing.busy |= {names[0]: 1, names[1]: 1}
        stage.scaler.scale("good", 0)
        stage.scaler.scale("good", 3)
        snapshot = stage.scaler.replicas("good")
        assert snapshot.count(Phase.READY) == 2
        assert snapshot.count(Phase.STARTING) == 1

    async def test_a_crash_is_told_and_the_replica_replaced_after_a_wait(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.crash(name)
        snapshot = await stage.watcher.until("good", gone)
        assert name in snapshot.last_failure
        assert snapshot.retry_at is not None
        assert 0 < snapshot.retry_at - stage.watcher.told(snapshot) <= 0.25
        snapshot = await stage.watcher.until("good", ready(1))
        assert snapshot.retry_at is None
        assert snapshot.last_failure == ""

    async def test_a_replica_that_crashes_while_it_drains_is_not_replaced(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.scale("good", 0)
        stage.crash(name)
        snapshot = await stage.watcher.until("good", gone)
        assert snapshot.retry_at is None
        assert snapshot.failures == 0

    async def test_a_failed_start_is_counted_and_says_why(self, stage: Stage) -> None:
        stage.break_starts()
        stage.scaler.scale("good", 1)
        snapshot = await stage.watcher.until("good", failed(1))
        assert "out of memory" in snapshot.last_failure
        assert not snapshot.doomed
        assert snapshot.retry_at is not None

    async def test_the_wait_doubles_with_each_failed_start(self, stage: Stage) -> None:
        stage.break_starts()
        stage.scaler.scale("good", 1)
        waits = []
        for times in (1, 2, 3):
            snapshot = await stage.watcher.until("good", failed(times))
            assert snapshot.retry_at is not None
            waits.append(snapshot.retry_at - stage.watcher.told(snapshot))
        assert waits == pytest.approx([0.25, 0.5, 1.0], rel=0.4)

    async def test_a_start_that_succeeds_clears_the_failures(self, stage: Stage) -> None:
        stage.break_starts()
        stage.scaler.scale("good", 1)
        await stage.watcher.until("good", failed(1))
        stage.mend_starts()
        snapshot = await stage.watcher.until("good", ready(1))
        assert (snapshot.failures, snapshot.last_failure, snapshot.retry_at) == (0, "", None)

    async def test_calls_to_scale_do_not_hasten_the_next_start(self, stage: Stage) -> None:
        stage.break_starts()
        stage.scaler.scale("good", 1)
        due = (await stage.watcher.until("good", failed(1))).retry_at
        assert due is not None
        for _ in range(10):
            stage.scaler.scale("good", 0)
            stage.scaler.scale("good", 1)
        again = await stage.watcher.until("good", lambda snapshot: bool(snapshot.replicas))
        assert stage.watcher.told(again) >= due - 0.1  # of 0.25: a timer counts from when the loop's turn began

    async def test_scaling_to_zero_cancels_the_retry_and_keeps_what_is_known(self, stage: Stage) -> None:
        stage.break_starts()
        stage.scaler.scale("good", 1)
        await stage.watcher.until("good", failed(1))
        stage.scaler.scale("good", 0)
        snapshot = stage.scaler.replicas("good")
        assert snapshot.retry_at is None
        assert snapshot.failures == 1
        assert "out of memory" in snapshot.last_failure
        await asyncio.sleep(0.4)
        assert stage.scaler.replicas("good") is snapshot

    async def test_a_command_that_cannot_work_is_doomed_and_retried_after_a_wait_only(self, stage: Stage) -> None:
        stage.scaler.scale("doomed", 1)
        snapshot = await stage.watcher.until("doomed", failed(1))
        assert snapshot.doomed
        assert "not found" in snapshot.last_failure
        assert snapshot.retry_at is not None
        await stage.watcher.until("doomed", failed(2))

    async def test_failures_of_one_revision_leave_others_alone(self, stage: Stage) -> None:
        stage.scaler.scale("doomed", 1)
        await stage.watcher.until("doomed", failed(1))
        await started(stage, 1)

    async def test_a_changed_spec_leaves_running_replicas_alone(self, stage: Stage) -> None:
        names = await started(stage, 1)
        changed = replace(stage.specs["good"], env={**stage.specs["good"].env, "NEW": "1"})
        stage.scaler.declare({**stage.specs, "good": changed})
        await asyncio.sleep(0.1)
        assert list(phases(stage.scaler.replicas("good"))) == names
        assert len(await started(stage, 2)) == 2

    async def test_a_closed_scaler_knows_no_revision(self, stage: Stage) -> None:
        await stage.scaler.close(drain=0)
        with pytest.raises(ValueError, match="good"):
            stage.scaler.scale("good", 1)

    async def test_closing_twice_is_harmless(self, stage: Stage) -> None:
        await stage.scaler.close(drain=0)
        await stage.scaler.close(drain=0)


class LocalContract(ScalerContract):
    """What a scaler promises besides that runs replicas itself: they are its own, and end with it."""

    async def test_a_replica_that_crashed_is_replaced_by_another(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.crash(name)
        await stage.watcher.until("good", gone)
        assert name not in phases(await stage.watcher.until("good", ready(1)))

    async def test_a_revision_no_longer_declared_drains_to_zero_and_is_unknown(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.declare({"slow": stage.specs["slow"]})
        assert phases(stage.scaler.replicas("good")) == {name: Phase.DRAINING}
        with pytest.raises(ValueError, match="good"):
            stage.scaler.scale("good", 1)
        stage.routing.finish(name)
        await stage.watcher.until("good", gone)
        assert stage.scaler.replicas("good") == ReplicaSet("good")

    async def test_a_revision_declared_again_while_it_drains_goes_on(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.declare({})
        stage.scaler.declare(stage.specs)
        stage.scaler.scale("good", 1)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.READY}

    async def test_a_changed_spec_is_tried_at_once_whatever_failed_before(self, stage: Stage) -> None:
        stage.scaler.scale("doomed", 1)
        await stage.watcher.until("doomed", failed(2))
        stage.scaler.declare({**stage.specs, "doomed": stage.specs["slow"]})
        snapshot = stage.scaler.replicas("doomed")
        assert snapshot.count(Phase.STARTING) == 1
        assert (snapshot.failures, snapshot.doomed) == (0, False)

    async def test_closing_lets_requests_finish(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        closing = asyncio.create_task(stage.scaler.close(drain=10))
        await asyncio.sleep(0.2)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.DRAINING}
        stage.routing.finish(name)
        await closing
        assert stage.scaler.replicas("good").replicas == ()

    async def test_closing_does_not_wait_longer_than_it_was_told_to(self, stage: Stage) -> None:
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.scale("slow", 1)
        before = stage.clock()
        async with asyncio.timeout(20):  # the request lasts for ever
            await stage.scaler.close(drain=0.1)
        assert stage.clock() - before >= 0.1
        assert stage.scaler.replicas("good").replicas == ()
        assert stage.scaler.replicas("slow").replicas == ()
