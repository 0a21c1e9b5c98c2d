from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from activator.revision import KEPT, Revision
from activator.scalers.base import Phase, Replica, ReplicaSet
from router.ports import RevisionStats
from tests.activator.stage import NAME, bounds, plan, spec

READY = ReplicaSet(NAME, 1, (Replica("m-1-1", Phase.READY, 0.0),))
BUSY = RevisionStats(concurrency=1.0, requests=1, open=1)
QUIET = RevisionStats(idle_since=50.0)


def revision(now: float = 0.0, ready: int = 0, **bound: Any) -> Revision:
    return Revision(plan(bounds=bounds(**bound)), ready, now)


def used() -> Revision:
    """Return a revision that worked until second 50."""
    used = revision()
    for second in range(50):
        used.collector.record(BUSY, second)
    used.step(READY, BUSY, 50.0)
    return used


def saved(of: Revision, stats: RevisionStats, now: float) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(of.dump(READY, stats, now)))
    return data


class TestStep:
    def test_a_step_is_remembered_with_its_sentence(self) -> None:
        one = revision()
        record = one.step(READY, BUSY, 3.0)
        assert one.records[-1] is record
        assert record.at == 3.0
        assert record.sentence.endswith("held or running.")

    def test_the_first_decision_is_due_at_once_and_the_next_a_tick_later(self) -> None:
        one = revision(now=7.0)
        assert one.due == 7.0
        one.step(READY, BUSY, 7.0)
        assert one.due == 17.0

    def test_a_poke_leaves_the_tick_where_it_is(self) -> None:
        one = revision()
        one.step(READY, BUSY, 0.0)
        one.step(READY, BUSY, 4.0, poked=True)
        assert one.due == 10.0

    def test_the_end_of_the_idle_period_is_due_before_the_tick(self) -> None:
        one = revision(idle_period=53.5)
        one.step(READY, QUIET, 100.0)
        assert one.due == 103.5
        one.step(READY, BUSY, 103.5)
        assert one.due == 110.0

    def test_more_than_one_ready_replica_at_first_sight_begins_in_panic(self) -> None:
        three = ReplicaSet(NAME, 3, tuple(Replica(f"m-1-{n}", Phase.READY, 0.0) for n in range(3)))
        assert revision(ready=3).step(three, RevisionStats(), 0.0).outcome.replicas == 3

    def test_only_the_last_records_are_kept(self) -> None:
        one = revision()
        for second in range(KEPT + 10):
            one.step(READY, BUSY, second)
        assert len(one.records) == KEPT
        assert one.records[0].at == 10


class TestConfigure:
    def test_a_changed_plan_is_decided_by_at_once(self) -> None:
        one = used()
        one.configure(plan(bounds=bounds(min_scale=1)), 1, 53.0)
        assert one.due == 53.0

    def test_the_same_plan_changes_nothing(self) -> None:
        one = used()
        one.configure(plan(bounds=bounds()), 1, 53.0)
        assert one.due == 60.0

    def test_a_changed_command_forgets_starts_that_took_too_long(self) -> None:
        one = revision(progress_deadline=5.0)
        one.step(ReplicaSet(NAME, 1, (Replica("m-1-1", Phase.STARTING, 0.0),)), BUSY, 10.0)
        assert one.life.overdue == 1
        one.configure(plan(bounds=bounds(progress_deadline=5.0, max_scale=3)), 0, 11.0)
        assert one.life.overdue == 1
        one.configure(plan(bounds=bounds(progress_deadline=5.0), command="better"), 0, 12.0)
        assert (one.life.overdue, one.life.retry_at) == (0, None)

    def test_another_deadline_forgets_starts_that_took_too_long(self) -> None:
        one = revision(progress_deadline=5.0)
        one.step(ReplicaSet(NAME, 1, (Replica("m-1-1", Phase.STARTING, 0.0),)), BUSY, 10.0)
        one.configure(plan(bounds=bounds(progress_deadline=50.0)), 0, 11.0)
        assert (one.life.overdue, one.life.retry_at) == (0, None)

    def test_a_changed_tick_keeps_what_the_scale_down_delay_remembers(self) -> None:
        patient = spec(scale_down_delay=60.0, stable_window=6.0, panic_window=2.0)
        one = Revision(plan(spec=patient), 0, 90_000.0)
        one.collector.record(RevisionStats(concurrency=2.0, open=2), 90_000.0)
        assert one.step(READY, BUSY, 90_000.0).outcome.replicas == 2
        one.configure(plan(spec=replace(patient, tick=4.0)), 2, 90_001.0)
        assert one.step(READY, QUIET, 90_050.0).outcome.replicas == 2
        assert one.step(READY, QUIET, 90_070.0).outcome.replicas == 0


class TestRestart:
    def test_ages_are_saved_and_become_times_again(self) -> None:
        one = revision()
        data = saved(used(), QUIET, 60.0)
        assert data["idle_age"] == 10.0
        memory = one.load(data, 1, 5.0, 1000.0)
        assert (memory.desired, memory.idle_since, memory.tagged_since) == (1, 985.0, None)
        assert one.life.awake_since == 935.0
        assert one.life.initialized

    def test_a_request_that_was_open_ended_when_the_state_was_saved(self) -> None:
        assert revision().load(saved(used(), BUSY, 60.0), 1, 5.0, 1000.0).idle_since == 995.0

    def test_windows_go_on_as_if_no_time_had_passed(self) -> None:
        one, other = used(), revision()
        other.load(saved(one, BUSY, 55.0), 1, 100.0, 1000.0)
        assert other.collector.averages(1000.0) == one.collector.averages(55.0)

    def test_after_more_than_a_stable_window_nothing_measured_is_left(self) -> None:
        other = revision()
        other.load(saved(used(), BUSY, 55.0), 1, 120.5, 1000.0)
        assert other.collector.averages(1000.0) == (0.0, 0.0)

    def test_the_next_tick_comes_when_it_would_have_but_not_in_the_past(self) -> None:
        data = saved(used(), BUSY, 53.0)
        for away, due in ((0.0, 1007.0), (4.0, 1003.0), (30.0, 1000.0)):
            one = revision()
            one.load(data, 1, away, 1000.0)
            assert one.due == due

    def test_a_tick_that_was_shortened_meanwhile_is_kept(self) -> None:
        one = Revision(plan(spec=spec(tick=2.0)), 0, 1000.0)
        one.load(saved(used(), BUSY, 50.0), 1, 0.0, 1000.0)
        assert one.due == 1002.0

    def test_an_idle_period_of_292_years_is_gone_on_with(self) -> None:
        sleepless = revision(idle_period=9.2e9)
        sleepless.step(READY, QUIET, 60.0)
        assert revision().load(saved(sleepless, QUIET, 60.0), 1, 5.0, 1000.0).desired == 1

    def test_what_is_nested_too_deep_to_be_shown_is_damaged(self) -> None:
        deep: list[Any] = []
        for _ in range(10_000):
            deep = [deep]
        with pytest.raises(ValueError, match="got list that is nested too deep"):
            revision().load({**saved(used(), BUSY, 60.0), "desired": deep}, 1, 5.0, 1000.0)

    def test_what_is_damaged_changes_nothing(self) -> None:
        one = revision()
        data = saved(used(), BUSY, 60.0)
        for key in data:
            with pytest.raises(ValueError, match=key):
                one.load({name: value for name, value in data.items() if name != key}, 1, 0.0, 60.0)
        assert one.dump(READY, BUSY, 60.0) == revision().dump(READY, BUSY, 60.0)
