from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.traffic.rollout import Phase, Rollout, begin, follow, percents, promote, restart, roll_back
from tests.activator.traffic.canaries import Course, canary, side


class TestSteps:
    def test_a_rollout_begins_with_the_first_step(self) -> None:
        assert Course(canary()).percent == 1

    def test_without_steps_it_begins_with_its_goal(self) -> None:
        assert Course(canary(5, steps=())).percent == 5

    def test_steps_beyond_the_goal_are_left_out(self) -> None:
        assert canary(20).ladder == (1, 5, 20)

    def test_a_step_needs_time_and_requests(self) -> None:
        course = Course(canary())
        course.seconds(9)
        assert course.percent == 1
        course.second()
        assert course.percent == 5
        course.seconds(30, side(0))
        assert course.percent == 5
        course.second(side(20))
        assert course.percent == 25

    def test_a_step_that_has_had_its_time_and_lacks_requests_is_told_of_once(self) -> None:
        course = Course(canary(5, steps=()))
        course.seconds(30, side(0))
        assert course.kinds == ["warm", "held"]
        wanted = course.canary.step_requests
        assert course.whys[-1] == f"m-2 stays at 5 %: 0 requests in 10 s, {wanted} are needed."

    def test_time_without_a_ready_replica_does_not_count(self) -> None:
        course = Course(canary())
        course.seconds(50, side(5, ready=0))
        assert (course.percent, course.rollout.seconds) == (1, 0.0)

    def test_it_goes_all_the_way_and_is_complete(self) -> None:
        course, seen = Course(canary()), [1]
        while course.rollout.phase is Phase.RUNNING:
            course.second()
            seen += [course.percent] if course.percent != seen[-1] else []
        assert seen == [1, 5, 25, 50, 100]
        assert course.kinds == ["warm", "step", "step", "step", "step", "complete"]
        assert "50 requests in 10 s at 1 % showed nothing against m-2: it gets 5 %." in course.whys

    def test_a_canary_that_shall_have_nothing_stays_at_nothing(self) -> None:
        course = Course(canary(0))
        course.seconds(30)
        assert (course.percent, course.kinds) == (0, [])

    def test_the_first_replica_is_told(self) -> None:
        course = Course(canary(5, steps=()))
        course.second(side(0, ready=0))
        assert (course.rollout.warm, course.kinds) == (False, [])
        course.second()
        assert (course.rollout.warm, course.kinds) == (True, ["warm"])
        assert course.whys == ["The canary has a replica and takes its 5 %."]


class TestGuard:
    def test_a_bad_canary_loses_its_share_at_once(self) -> None:
        course = Course(canary(50, steps=()))
        course.seconds(10, side(5, 5), side(5))
        assert course.percent == 0
        assert course.kinds[-1] == "rolled-back"
        assert course.whys[-1].startswith("m-2 was rolled back to 0 %: it fails more often than the stable revision")
        assert course.rollout.why == course.whys[-1]

    def test_at_100_percent_it_is_compared_with_what_is_known_of_the_stable_revision(self) -> None:
        course = Course(canary(steps=(50,)))
        course.seconds(10, side(20), side(20))
        assert course.percent == 100
        course.seconds(5, side(20, 10), side(0))
        assert course.percent == 0

    def test_once_complete_at_100_percent_it_is_judged_no_more(self) -> None:
        course = Course(canary(steps=()))
        course.seconds(10, side(20), side(0))
        assert course.rollout.phase is Phase.COMPLETE
        course.seconds(20, side(20, 20), side(0))
        assert course.percent == 100

    def test_beside_a_stable_revision_it_is_judged_for_ever(self) -> None:
        course = Course(canary(30, steps=()))
        course.seconds(50)
        assert course.rollout.phase is Phase.COMPLETE
        course.seconds(20, side(5, 5))
        assert course.percent == 0

    def test_without_a_guard_it_is_not_judged(self) -> None:
        course = Course(canary(50, steps=(), guard=None))
        course.seconds(30, side(5, 5, failing="no"), side(5))
        assert course.percent == 50

    def test_starts_that_keep_failing_take_it_out(self) -> None:
        course = Course(canary())
        course.second(side(0, ready=0, failing="it exited with status 1"))
        assert course.percent == 0
        assert course.whys == ["m-2 was rolled back to 0 %: its starts keep failing: it exited with status 1."]

    def test_a_canary_that_is_out_stays_out(self) -> None:
        course = Course(canary())
        course.second(side(0, ready=0, failing="no"))
        course.seconds(100)
        assert (course.percent, course.kinds) == (0, ["rolled-back"])


class TestByHand:
    def test_promotion_gives_it_all_that_the_stable_revision_had(self) -> None:
        course = Course(canary(5))
        course.rollout, events = promote(course.canary, course.rollout)
        assert course.shares == (100, 0)
        assert [event.kind for event in events] == ["promoted"]
        course.seconds(50, side(5, 5))
        assert course.percent == 100

    def test_a_canary_that_has_slept_since_is_warmed_first(self) -> None:
        course = Course(canary(5))
        course.second()
        course.rollout, _ = promote(course.canary, course.rollout)
        assert not course.rollout.warm
        course.second()
        assert course.whys[-1] == "The canary has a replica and takes its 100 %."

    def test_other_revisions_keep_their_shares(self) -> None:
        course = Course(canary(5))
        rollout, _ = promote(course.canary, course.rollout)
        assert percents(course.canary, rollout, 65) == (70, 0)

    def test_rolling_back_gives_the_stable_revision_all(self) -> None:
        course = Course(canary(50, steps=()))
        course.rollout, _ = roll_back(course.canary, course.rollout)
        assert course.shares == (0, 100)

    def test_a_restart_begins_with_the_first_step_and_forgets_what_was_seen(self) -> None:
        course = Course(canary())
        course.seconds(10, side(5, 5), side(5))
        course.rollout, events = restart(course.canary, 3)
        assert course.rollout == begin(course.canary, 3)
        assert [event.kind for event in events] == ["restarted"]


class TestAnotherConfiguration:
    def test_the_same_one_changes_nothing(self) -> None:
        course = Course(canary())
        course.seconds(15)
        assert follow(canary(), course.rollout, 1) == (course.rollout, [])

    def test_another_canary_begins_anew(self) -> None:
        course = Course(canary())
        course.seconds(15)
        rollout, events = follow(canary(5), replace(course.rollout, identity="other"), 2)
        assert (rollout.percent, rollout.warm, rollout.room) == (1, False, 2)
        assert [event.kind for event in events] == ["begun"]

    def test_a_first_one_begins(self) -> None:
        rollout, events = follow(canary(5), None, 0)
        assert (rollout.percent, rollout.room) == (1, 1)
        assert events[0].why == "m-2 gets 1 %; until it has a replica, m-1 answers for it."

    def test_a_higher_goal_is_approached_from_where_it_is(self) -> None:
        course = Course(canary(5, steps=(5, 25)))
        course.seconds(15)
        assert course.rollout.phase is Phase.COMPLETE
        rollout, _ = follow(canary(50, steps=(5, 25)), course.rollout, 1)
        assert (rollout.phase, rollout.percent) == (Phase.RUNNING, 5)

    def test_without_steps_a_higher_goal_counts_at_once(self) -> None:
        course = Course(canary(10, steps=()))
        rollout, _ = follow(canary(60, steps=()), course.rollout, 1)
        assert (rollout.phase, rollout.percent) == (Phase.RUNNING, 60)

    def test_a_lower_goal_counts_at_once(self) -> None:
        course = Course(canary(50, steps=()))
        rollout, _ = follow(canary(10, steps=()), course.rollout, 1)
        assert rollout.percent == 10

    def test_other_steps_change_nothing_before_the_next_one(self) -> None:
        course = Course(canary())
        course.seconds(10)
        assert course.percent == 5
        course.canary = canary(steps=(10, 20))
        course.rollout, _ = follow(course.canary, course.rollout, 1)
        assert course.percent == 5
        course.seconds(10)
        assert course.percent == 10

    def test_one_that_was_rolled_back_stays_so_unless_another_share_is_asked_for(self) -> None:
        course = Course(canary(50))
        course.rollout, _ = roll_back(course.canary, course.rollout)
        assert follow(canary(50, steps=(7,)), course.rollout, 1)[0].phase is Phase.ROLLED_BACK
        assert follow(canary(60, steps=(7,)), course.rollout, 1)[0].percent == 7

    def test_a_file_that_says_what_was_done_by_hand_changes_nothing(self) -> None:
        course = Course(canary(5))
        course.rollout, _ = promote(course.canary, course.rollout)
        rollout, _ = follow(canary(100), course.rollout, 1)
        assert (rollout.phase, rollout.percent) == (Phase.COMPLETE, 100)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1)), max_size=60), st.integers(0, 100))
def test_shares_are_percentages_of_all_that_both_have(course_of_things: list[tuple[int, int, int]], goal: int) -> None:
    course = Course(canary(goal))
    for answered, failed, ready in course_of_things:
        course.second(side(answered, min(answered, failed), ready))
        own, rest = course.shares
        assert own + rest == 100
        assert own in {0, *course.canary.ladder}


@given(st.integers(0, 60), st.integers(0, 5))
def test_a_restart_of_the_edge_changes_nothing(seconds: int, failed: int) -> None:
    course = Course(canary())
    course.seconds(seconds, side(9, failed), side(30, 1))
    assert Rollout.load(json.loads(json.dumps(course.rollout.dump()))) == course.rollout


@pytest.mark.parametrize(
    "change",
    [{"phase": "sideways"}, {"percent": 101}, {"goal": -1}, {"warm": 1}, {"seconds": "x"}, {"room": 0}, {"guard": {}}],
    ids=str,
)
def test_a_state_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change)) if "phase" not in change else "sideways"):
        Rollout.load({**begin(canary(), 1).dump(), **change})
