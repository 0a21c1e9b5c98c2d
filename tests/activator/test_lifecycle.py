from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.kpa.decide import Decision
from activator.kpa.spec import Bounds, Spec
from activator.lifecycle import PRE_WARM, SHARED_ROOM, START_FAILS, Life, Outcome, failing, present, settle
from activator.scalers.base import Phase, Replica, ReplicaSet
from router.ports import Endpoint, RevisionStats, UpstreamTls
from tests.activator.stage import BOUNDS, NAME, SPEC, bounds, spec

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1000.0
AWAKE = Life(initialized=True, awake_since=0.0)
QUIET = RevisionStats(idle_since=900.0)
BUSY = RevisionStats(open=1)
TAGGED = RevisionStats(idle_since=900.0, tagged_since=900.0)


def wants(desired: int, *, valid: bool = True) -> Decision:
    return Decision(at=NOW, valid=valid, ready=1, target=1.0, desired=desired)


def replicas(*phases: Phase, desired: int | None = None, since: float = 0.0, **facts: Any) -> ReplicaSet:
    members = tuple(Replica(f"m-1-{n}", phase, since, "127.0.0.1", 9000 + n) for n, phase in enumerate(phases))
    return ReplicaSet(NAME, len(phases) if desired is None else desired, members, **facts)


ONE = replicas(Phase.READY)
NONE = replicas()


def settled(
    desired: int | Decision,
    seen: ReplicaSet = ONE,
    stats: RevisionStats = QUIET,
    *,
    life: Life = AWAKE,
    of: Spec = SPEC,
    within: Bounds = BOUNDS,
) -> Outcome:
    decision = desired if isinstance(desired, Decision) else wants(desired)
    return settle((of, within), life, decision, (seen, stats), NOW)[1]


def rules(outcome: Outcome) -> list[str]:
    return [rule.name for rule in outcome.rules]


class TestRollouts:
    def test_a_revision_that_is_about_to_get_traffic_is_kept_ready(self) -> None:
        outcome = settled(0, NONE, life=Life(), within=bounds(pre_warm=1))
        assert (outcome.replicas, rules(outcome)) == (1, [PRE_WARM])

    def test_more_than_that_is_left_alone(self) -> None:
        assert rules(settled(3, within=bounds(pre_warm=1))) == []

    def test_max_scale_bounds_it(self) -> None:
        assert settled(0, NONE, within=bounds(pre_warm=5, max_scale=2)).replicas == 2

    def test_a_start_that_keeps_failing_is_given_up_all_the_same(self) -> None:
        outcome = settled(0, replicas(desired=1, failures=5), life=Life(), within=bounds(pre_warm=1))
        assert (outcome.replicas, rules(outcome)) == (0, [PRE_WARM, START_FAILS])

    @pytest.mark.parametrize(("cap", "number"), [(None, 4), (5, 4), (3, 3), (0, 0)])
    def test_room_for_another_revision_bounds_all_else(self, cap: int | None, number: int) -> None:
        away = RevisionStats(idle_since=-1e6)
        outcome = settled(4, within=bounds(cap=cap, min_scale=2), stats=away)
        assert outcome.replicas == number
        assert (SHARED_ROOM in rules(outcome)) is (number < 4)

    def test_an_open_request_keeps_one_even_without_room(self) -> None:
        assert settled(4, stats=BUSY, within=bounds(cap=0)).replicas == 1


class TestBounds:
    @pytest.mark.parametrize(
        ("desired", "within", "number", "named"),
        [
            (2, BOUNDS, 2, []),
            (0, bounds(min_scale=2), 2, ["min-scale"]),
            (5, bounds(min_scale=2), 5, []),
            (9, bounds(max_scale=4), 4, ["max-scale"]),
            (0, bounds(min_scale=6, max_scale=4), 4, ["min-scale", "max-scale"]),
        ],
    )
    def test_a_decision_is_bounded(self, desired: int, within: Bounds, number: int, named: list[str]) -> None:
        outcome = settled(desired, within=within)
        assert (outcome.replicas, rules(outcome)) == (number, named)

    def test_initial_scale_counts_until_it_was_reached_once(self) -> None:
        within = bounds(initial_scale=3)
        assert settled(1, NONE, life=Life(), within=within).replicas == 3
        assert settled(1, replicas(*[Phase.READY] * 3), life=Life(), within=within).replicas == 1

    def test_an_initial_scale_that_there_are_no_gpus_for_does_not_keep_it_awake(self) -> None:
        within = bounds(initial_scale=3)
        assert settled(3, replicas(room=2), life=Life(), within=within).replicas == 2
        two = replicas(Phase.READY, Phase.READY, room=2)
        assert settled(0, two, RevisionStats(), life=Life(), within=within).replicas == 0

    def test_without_traffic_neither_min_nor_initial_scale_counts(self) -> None:
        outcome = settled(0, NONE, life=Life(), of=spec(reachable=False), within=bounds(min_scale=2, initial_scale=3))
        assert (outcome.replicas, rules(outcome)) == (0, [])

    def test_where_nothing_was_measured_the_number_stays(self) -> None:
        assert settled(wants(0, valid=False), replicas(*[Phase.READY] * 3)).replicas == 3


class TestToZero:
    def test_the_last_one_stays_for_the_idle_period(self) -> None:
        outcome = settled(0)
        assert (outcome.replicas, rules(outcome), outcome.zero_at) == (1, ["idle period"], 1200.0)

    def test_the_last_one_goes_in_the_moment_the_period_is_over(self) -> None:
        assert settled(0, stats=RevisionStats(idle_since=700.0)).replicas == 0

    def test_the_period_of_one_that_never_had_a_request_runs_from_its_readiness(self) -> None:
        assert settled(0, stats=RevisionStats(), life=Life(True, 900.0)).zero_at == 1200.0

    def test_the_period_of_one_that_became_ready_after_its_last_request_runs_from_its_readiness(self) -> None:
        assert settled(0, life=Life(True, 950.0)).zero_at == 1250.0

    def test_a_decision_for_zero_that_has_to_be_agreed_to_begins_no_new_period(self) -> None:
        seen_late = replicas(Phase.READY, since=NOW - 1)  # by an edge that was started again
        long_idle = RevisionStats(idle_since=100.0)
        life, first = settle((SPEC, BOUNDS), AWAKE, wants(0), (seen_late, long_idle), NOW)
        _, second = settle((SPEC, BOUNDS), life, wants(0), (seen_late, long_idle), NOW + 0.01)
        assert (first.replicas, second.replicas) == (0, 0)

    def test_one_that_comes_after_zero_begins_a_period_of_its_own(self) -> None:
        life, _ = settle((SPEC, BOUNDS), AWAKE, wants(0), (replicas(desired=0), QUIET), NOW)
        anew = replicas(Phase.READY, since=NOW + 5)
        life, _ = settle((SPEC, BOUNDS), life, wants(1), (anew, QUIET), NOW + 6)
        assert life.awake_since == NOW + 5

    def test_several_fall_to_one_for_the_idle_period(self) -> None:
        assert settled(0, replicas(Phase.READY, Phase.READY)).replicas == 1

    @pytest.mark.parametrize("within", [BOUNDS, bounds(enable_scale_to_zero=False)])
    @pytest.mark.parametrize("reachable", [True, False])
    def test_an_open_request_keeps_one(self, within: Bounds, reachable: bool) -> None:
        outcome = settled(0, stats=BUSY, of=spec(reachable=reachable), within=within)
        assert (outcome.replicas, rules(outcome)) == (1, ["open requests"])

    def test_an_open_request_wakes_one(self) -> None:
        assert settled(0, NONE, BUSY, life=Life(True)).replicas == 1

    def test_a_start_is_not_given_up_for_silence(self) -> None:
        outcome = settled(0, replicas(Phase.STARTING, since=990.0), RevisionStats(idle_since=0.0), life=Life(True))
        assert (outcome.replicas, rules(outcome)) == (1, ["starting"])

    def test_with_scale_to_zero_off_one_stays(self) -> None:
        within = bounds(enable_scale_to_zero=False)
        outcome = settled(0, stats=RevisionStats(idle_since=0.0), within=within)
        assert (outcome.replicas, rules(outcome)) == (1, ["enable-scale-to-zero"])

    def test_with_scale_to_zero_off_one_is_started_for_it_as_by_knative_if_it_has_traffic_and_room(self) -> None:
        never = bounds(enable_scale_to_zero=False)
        outcome = settled(0, NONE, RevisionStats(), within=never)
        assert (outcome.replicas, rules(outcome)) == (1, ["enable-scale-to-zero"])
        assert settled(0, NONE, RevisionStats(), of=spec(reachable=False), within=never).replicas == 0
        assert settled(0, NONE, RevisionStats(), within=replace(never, cap=0)).replicas == 0


class TestNoTraffic:
    def test_replicas_nobody_uses_go_at_once(self) -> None:
        outcome = settled(3, of=spec(reachable=False))
        assert (outcome.replicas, rules(outcome)) == (0, ["no traffic assigned"])

    def test_those_in_use_stay(self) -> None:
        assert settled(3, stats=BUSY, of=spec(reachable=False)).replicas == 3

    def test_requests_by_tag_have_an_idle_period(self) -> None:
        outcome = settled(2, stats=TAGGED, of=spec(reachable=False))
        assert (outcome.replicas, outcome.zero_at) == (1, 1200.0)

    def test_only_requests_by_tag_restart_its_clock(self) -> None:
        seen = RevisionStats(idle_since=950.0, tagged_since=690.0)
        assert settled(2, stats=seen, of=spec(reachable=False)).replicas == 0


class TestFailedStarts:
    FAILED = replicas(desired=1, failures=5, last_failure="boom", retry_at=1004.0)

    def test_nobody_waits_so_none_is_started_until_the_retry_is_due(self) -> None:
        life, outcome = settle((SPEC, BOUNDS), Life(True), wants(1), (self.FAILED, QUIET), NOW)
        assert (outcome.replicas, rules(outcome)) == (0, ["start fails"])
        assert life.retry_at == 1004.0

    def test_before_the_retry_is_due_even_a_request_starts_none(self) -> None:
        outcome = settled(1, NONE, BUSY, life=Life(True, retry_at=1004.0))
        assert (outcome.replicas, rules(outcome)) == (0, ["start waits"])

    def test_somebody_waits_so_it_goes_on(self) -> None:
        assert settled(1, self.FAILED, BUSY, life=Life(True)).replicas == 1

    def test_min_scale_makes_it_go_on(self) -> None:
        assert settled(0, self.FAILED, life=Life(True), within=bounds(min_scale=1)).replicas == 1

    def test_a_replica_that_is_ready_proves_that_starts_do_not_fail(self) -> None:
        assert settled(1, replicas(Phase.READY, failures=5)).replicas == 1
        assert not failing(BOUNDS, AWAKE, replicas(Phase.READY, failures=5), NOW)

    def test_after_a_start_that_took_too_long_the_waits_double_up_to_five_minutes(self) -> None:
        life, waits, now = Life(True), [], NOW
        for _ in range(8):
            seen = replicas(Phase.STARTING, since=now - 101.0)
            life, outcome = settle((SPEC, bounds(progress_deadline=100.0)), life, wants(1), (seen, BUSY), now)
            assert (outcome.replicas, rules(outcome)) == (0, ["progress-deadline"])
            assert life.retry_at is not None
            waits.append(life.retry_at - now)
            now = life.retry_at + 101.0
        assert waits == [10, 20, 40, 80, 160, 300, 300, 300]

    def test_a_start_that_took_too_long_counts_once_however_long_it_takes_to_agree_that_its_replica_goes(self) -> None:
        plan, seen = (SPEC, bounds(progress_deadline=100.0)), (replicas(Phase.STARTING), BUSY)
        life, _ = settle(plan, Life(True), wants(1), seen, NOW)
        again, outcome = settle(plan, life, wants(1), seen, NOW + 30)
        assert (again.overdue, again.retry_at, outcome.replicas) == (1, NOW + 10, 0)

    def test_a_start_that_took_too_long_is_told_with_what_its_probe_last_said(self) -> None:
        plan, seen = (SPEC, bounds(progress_deadline=100.0)), replicas(Phase.STARTING)
        asked = replace(seen, replicas=(replace(seen.replicas[0], message="GET /helth answered 404"),))
        life, _ = settle(plan, Life(True), wants(1), (asked, BUSY), NOW)
        told = present(plan[1], life, NONE, NOW).start.message
        assert told == "no replica became ready within 100 s (progress-deadline): GET /helth answered 404"

    def test_one_that_is_given_up_as_nobody_waits_is_told_with_what_was_wrong_with_the_last_start(self) -> None:
        late = Life(True, overdue=1, retry_at=NOW - 1, complaint="GET /helth answered 404")
        for last, complaint in (("", "GET /helth answered 404"), ("exit code 1", "exit code 1")):
            outcome = settled(1, replicas(desired=1, last_failure=last), life=late)
            assert (outcome.replicas, rules(outcome), outcome.complaint) == (0, [START_FAILS], complaint)

    def test_what_is_decided_again_once_all_have_agreed_that_starts_are_given_up_is_that_once_more(self) -> None:
        plan, seen = (SPEC, BOUNDS), replicas(desired=1, failures=5, retry_at=NOW + 8, last_failure="exit code 1")
        life, first = settle(plan, Life(True), wants(1), (seen, QUIET), NOW)
        _, again = settle(plan, life, wants(1), (seen, QUIET), NOW)
        assert (rules(first), again) == ([START_FAILS], first)

    def test_what_was_wrong_with_a_start_that_took_too_long_is_told_until_one_succeeds(self) -> None:
        late = Life(True, overdue=1, retry_at=NOW - 1, complaint="GET /helth answered 404")
        start = present(bounds(progress_deadline=100.0), late, NONE, NOW).start
        assert (start.phase, start.attempts) == ("asleep", 1)
        assert start.message == "no replica became ready within 100 s (progress-deadline): GET /helth answered 404"
        life, _ = settle((SPEC, BOUNDS), late, wants(1), (replicas(Phase.READY), BUSY), NOW)
        assert present(BOUNDS, life, NONE, NOW).start.message == ""

    def test_a_start_that_took_too_long_says_nothing_of_another_edition(self) -> None:
        plan, seen = (SPEC, bounds(progress_deadline=100.0)), replace(replicas(Phase.STARTING), edition=1)
        life, outcome = settle(plan, Life(True), wants(1), (seen, BUSY), NOW)
        assert (life.overdue, outcome.replicas) == (1, 0)
        same, other = replace(NONE, edition=1), replace(NONE, edition=2)
        assert [failing(plan[1], life, each, NOW + 1) for each in (same, other)] == [True, False]
        assert [present(plan[1], life, each, NOW + 1).start.phase for each in (same, other)] == ["failing", "asleep"]
        life, outcome = settle(plan, life, wants(1), (other, BUSY), NOW + 1)
        assert (life.overdue, life.retry_at, outcome.replicas) == (0, None, 1)

    def test_after_two_weeks_of_starts_that_took_too_long_the_wait_is_still_five_minutes(self) -> None:
        plan = (SPEC, bounds(progress_deadline=100.0))
        life, _ = settle(plan, Life(True, overdue=1024), wants(1), (replicas(Phase.STARTING), BUSY), NOW)
        assert (life.overdue, life.retry_at) == (1025, NOW + 300)

    @pytest.mark.parametrize(
        "seen", [replicas(Phase.PENDING), replicas(Phase.READY, Phase.STARTING), replicas(Phase.STARTING, since=950.0)]
    )
    def test_neither_pending_nor_beside_a_ready_one_nor_in_time_a_start_is_overdue(self, seen: ReplicaSet) -> None:
        assert settled(1, seen, BUSY, within=bounds(progress_deadline=100.0)).replicas == 1


class TestPresent:
    def test_only_ready_replicas_are_endpoints(self) -> None:
        seen = present(BOUNDS, AWAKE, replicas(*Phase), NOW)
        assert seen.endpoints == (Endpoint("m-1-2", "127.0.0.1", 9002),)
        assert seen.start.phase == "ready"

    def test_the_router_is_told_which_of_them_are_connected_by_tls_and_how(self) -> None:
        tls = UpstreamTls(name="m.example")
        seen = replicas(Phase.READY, Phase.READY)
        seen = replace(seen, replicas=(seen.replicas[0], replace(seen.replicas[1], tls=tls)))
        assert present(BOUNDS, AWAKE, seen, NOW).tls == {"m-1-1": tls}

    @pytest.mark.parametrize(
        ("seen", "phase"),
        [
            (NONE, "asleep"),
            (replicas(Phase.DRAINING, desired=0), "asleep"),
            (replicas(Phase.PENDING), "pending"),
            (replicas(Phase.PENDING, Phase.STARTING), "starting"),
            (replicas(desired=1, failures=2, retry_at=1001.0), "starting"),
            (replicas(desired=1, failures=5, retry_at=1001.0), "failing"),
            (replicas(desired=1, failures=1, doomed=True, retry_at=1001.0), "failing"),
        ],
    )
    def test_a_start_has_a_phase(self, seen: ReplicaSet, phase: str) -> None:
        assert present(BOUNDS, Life(), seen, NOW).start.phase == phase

    def test_what_a_replica_says_goes_before_the_last_failure(self) -> None:
        seen = replicas(Phase.PENDING, last_failure="boom")
        seen = replace(seen, replicas=(replace(seen.replicas[0], message="no GPU is free"),))
        assert present(BOUNDS, Life(), seen, NOW).start.message == "no GPU is free"
        assert present(BOUNDS, Life(), replicas(last_failure="boom"), NOW).start.message == "boom"

    def test_the_later_retry_is_told(self) -> None:
        start = present(BOUNDS, Life(overdue=2, retry_at=1100.0), replicas(failures=1, retry_at=1001.0), NOW).start
        assert (start.retry_at, start.attempts) == (1100.0, 3)
        assert start.message == "no replica became ready within 3600 s (progress-deadline)"


def some_replicas() -> st.SearchStrategy[ReplicaSet]:
    def build(phases: Iterable[Phase], desired: int, failures: int) -> ReplicaSet:
        return replicas(*phases, desired=desired, since=500.0, failures=failures, retry_at=1001.0 if desired else None)

    return st.builds(build, st.lists(st.sampled_from(Phase), max_size=4), st.integers(0, 5), st.integers(0, 7))


LIVES = st.builds(
    Life,
    st.booleans(),
    st.none() | st.floats(0, NOW),
    st.integers(0, 3),
    st.none() | st.floats(0, 2 * NOW),
)
STATS = st.builds(
    RevisionStats,
    open=st.integers(0, 3),
    idle_since=st.none() | st.floats(0, NOW),
    tagged_since=st.none() | st.floats(0, NOW),
)
ALL_BOUNDS = st.builds(
    Bounds,
    min_scale=st.integers(0, 3),
    max_scale=st.sampled_from([0, 3, 5]),
    initial_scale=st.integers(0, 4),
    enable_scale_to_zero=st.booleans(),
    idle_period=st.sampled_from([0.001, 300.0]),
    progress_deadline=st.sampled_from([100.0, 3600.0]),
)


@given(st.integers(0, 9), some_replicas(), STATS, LIVES, ALL_BOUNDS, st.booleans())
def test_whatever_happens_the_outcome_is_within_bounds_and_every_change_is_told(
    desired: int, seen: ReplicaSet, stats: RevisionStats, life: Life, within: Bounds, reachable: bool
) -> None:
    outcome = settled(desired, seen, stats, life=life, of=spec(reachable=reachable), within=within)
    assert outcome.replicas >= 0
    assert not within.max_scale or outcome.replicas <= within.max_scale
    number = desired
    for rule in outcome.rules:
        assert rule.before == number
        number = rule.after
    assert number == outcome.replicas


@given(st.integers(0, 9), some_replicas(), STATS, LIVES, ALL_BOUNDS, st.booleans())
def test_a_replica_that_runs_is_not_taken_from_an_open_request(
    desired: int, seen: ReplicaSet, stats: RevisionStats, life: Life, within: Bounds, reachable: bool
) -> None:
    stats = replace(stats, open=max(1, stats.open))
    if seen.count(Phase.READY):
        assert settled(desired, seen, stats, life=life, of=spec(reachable=reachable), within=within).replicas


class TestGpus:
    @pytest.mark.parametrize(
        ("desired", "room", "number", "named"),
        [(5, 2, 2, ["gpu-limit"]), (2, 2, 2, []), (5, None, 5, []), (3, 0, 1, ["gpu-limit"])],
    )
    def test_there_are_no_more_replicas_than_gpus_but_one_for_requests(
        self, desired: int, room: int | None, number: int, named: list[str]
    ) -> None:
        outcome = settled(desired, replicas(Phase.READY, room=room), BUSY)
        assert (outcome.replicas, rules(outcome)) == (number, named)

    def test_without_room_and_requests_there_is_none_unless_min_scale_wants_it(self) -> None:
        waiting = replicas(Phase.PENDING, room=0)
        assert settled(2, waiting, life=Life()).replicas == 0
        assert settled(2, waiting, within=bounds(min_scale=2)).replicas == 1

    def test_one_is_tried_without_room_for_a_canary_that_is_to_be_warm_first(self) -> None:
        outcome = settled(0, replicas(room=0), life=Life(), within=bounds(pre_warm=1))
        assert (outcome.replicas, rules(outcome)) == (1, [PRE_WARM])

    def test_the_limit_can_be_switched_off(self) -> None:
        assert settled(5, replicas(Phase.READY, room=2), BUSY, within=bounds(gpu_limit=False)).replicas == 5

    def test_a_start_that_waits_for_a_gpu_is_withdrawn_when_nobody_waits_for_it(self) -> None:
        assert settled(0, replicas(Phase.PENDING, Phase.PENDING), life=Life()).replicas == 0
        assert settled(0, replicas(Phase.PENDING), BUSY, life=Life()).replicas == 1

    def test_a_start_that_has_begun_may_finish(self) -> None:
        outcome = settled(0, replicas(Phase.PENDING, Phase.STARTING), life=Life())
        assert (outcome.replicas, rules(outcome)) == (1, ["starting"])

    def test_one_that_gave_way_sleeps_until_a_request_comes(self) -> None:
        gone = replace(AWAKE, evicted=True)
        life, outcome = settle((SPEC, BOUNDS), gone, wants(2), (ONE, QUIET), NOW)
        assert (outcome.replicas, rules(outcome), life.evicted) == (0, ["evicted"], True)
        life, outcome = settle((SPEC, BOUNDS), life, wants(1), (NONE, QUIET), NOW)
        assert (outcome.replicas, life.evicted) == (0, True)
        life, outcome = settle((SPEC, BOUNDS), life, wants(1), (NONE, BUSY), NOW)
        assert (outcome.replicas, life.evicted) == (1, False)

    @pytest.mark.parametrize("within", [bounds(min_scale=1), bounds(pre_warm=1)], ids=["min-scale", "pre-warm"])
    def test_one_that_gave_way_comes_back_when_its_bounds_want_it_from_now_on(self, within: Bounds) -> None:
        life, outcome = settle((SPEC, within), Life(True, evicted=True), wants(0), (NONE, QUIET), NOW)
        assert (outcome.replicas, life.evicted) == (1, False)
