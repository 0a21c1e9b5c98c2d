from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from activator.explain import _CLAUSES, tell
from activator.kpa.decide import Observation, State, decide
from activator.kpa.decision import Clamp
from activator.lifecycle import Life, Outcome, settle
from activator.scalers.base import Phase, Replica, ReplicaSet
from router.ports import RevisionStats
from tests.activator.stage import BOUNDS, SPEC, bounds, spec

if TYPE_CHECKING:
    from activator.kpa.spec import Bounds, Spec

NOW = 1000.0
AWAKE = Life(initialized=True, awake_since=0.0)
QUIET = RevisionStats(idle_since=900.0)
BUSY = RevisionStats(open=1)


def told(
    load: float,
    seen: tuple[ReplicaSet, RevisionStats],
    life: Life = AWAKE,
    *,
    of: Spec = SPEC,
    within: Bounds = BOUNDS,
) -> str:
    """Return the sentence for an average of `load` requests."""
    ready = seen[0].count(Phase.READY)
    _, decision = decide(of, State(), Observation(ready, load, load), NOW)
    _, outcome = settle((of, within), life, decision, seen, NOW)
    return tell(outcome, NOW)


def some(*phases: Phase, **facts: object) -> ReplicaSet:
    members = tuple(Replica(f"m-1-{n}", phase, 0.0) for n, phase in enumerate(phases))
    return ReplicaSet("m-1", len(phases), members, **facts)  # type: ignore[arg-type]


ONE, TWO = some(Phase.READY), some(Phase.READY, Phase.READY)


def test_a_load_that_is_carried() -> None:
    assert told(1.4, (TWO, BUSY)) == (
        "Wants 2 because 1.4 requests on average over the stable window ask for 2 at a target of 1 per replica."
    )


def test_the_first_request_of_a_sleeping_revision() -> None:
    assert told(1.0, (some(), BUSY), Life(True)) == (
        "Wants 1 because 1 request on average over the stable window asks for 1 at a target of 1 per replica."
    )


def test_max_scale() -> None:
    assert told(2.5, (TWO, BUSY), within=bounds(max_scale=2)) == (
        "Wants 3 because 2.5 requests on average over the stable window ask for 3 at a target of 1 per replica; "
        "max-scale allows 2."
    )


def test_min_scale() -> None:
    assert told(0, (ONE, QUIET), within=bounds(min_scale=1)) == (
        "Wants 0 because the stable window saw no requests; min-scale asks for 1."
    )


def test_initial_scale() -> None:
    assert told(0, (some(), RevisionStats()), Life(), within=bounds(initial_scale=2)) == (
        "Wants 0 because the stable window saw no requests; "
        "initial-scale asks for 2 until so many have been ready once."
    )


def test_the_idle_period() -> None:
    assert told(0, (ONE, QUIET)) == (
        "Wants 0 because the stable window saw no requests; "
        "the last one stays until its idle period ends, 4 min from now."
    )


def test_the_end_of_the_idle_period() -> None:
    assert told(0, (ONE, RevisionStats(idle_since=600.0))) == "Wants 0 because the stable window saw no requests."


def test_an_open_request_without_load() -> None:
    assert told(0, (ONE, BUSY)) == (
        "Wants 0 because the stable window saw no requests; one is kept for the requests that are held or running."
    )


def test_a_start_that_nobody_waits_for() -> None:
    assert told(0, (some(Phase.STARTING), QUIET), Life(True)) == (
        "Wants 0 because the stable window saw no requests; the one that is starting may finish its start."
    )


def test_scale_to_zero_off() -> None:
    assert told(0, (ONE, QUIET), within=bounds(enable_scale_to_zero=False)) == (
        "Wants 0 because the stable window saw no requests; one is always there because enable-scale-to-zero is off."
    )


def test_a_revision_without_traffic_that_was_called_by_tag() -> None:
    seen = RevisionStats(idle_since=990.0, tagged_since=990.0)
    assert told(0.5, (ONE, seen), of=spec(reachable=False)) == (
        "Wants 1 because 0.5 requests on average over the stable window ask for 1 at a target of 1 per replica; "
        "no traffic is assigned to this revision and no request is open, so it needs none; "
        "the last one stays until its idle period ends, 5 min from now."
    )


def test_starts_that_keep_failing() -> None:
    assert told(0.5, (some(failures=5, retry_at=1004.0), QUIET), Life(True)) == (
        "Wants 1 because 0.5 requests on average over the stable window ask for 1 at a target of 1 per replica; "
        "its starts keep failing and nobody waits, so none is started until a request comes."
    )


def test_starts_that_keep_failing_are_told_with_what_the_last_one_died_of() -> None:
    assert told(0.5, (some(failures=5, retry_at=1004.0, last_failure="CUDA is missing"), QUIET), Life(True)).endswith(
        "; its starts keep failing (CUDA is missing) and nobody waits, so none is started until a request comes."
    )


def test_nothing_is_said_to_start_or_to_stay_once_all_starts_have_failed() -> None:
    crashed = ReplicaSet("m-1", desired=1, failures=5, last_failure="CUDA is missing")
    fails = (
        "Wants 0 because the stable window saw no requests; "
        "its starts keep failing (CUDA is missing) and nobody waits, so none is started until a request comes."
    )
    waits = (
        "Wants 0 because the stable window saw no requests; "
        "its last start failed and the next one is not due yet, so none is started."
    )
    assert told(0, (crashed, QUIET), Life(True)) == fails
    assert told(0, (crashed, QUIET), AWAKE) == fails
    assert told(0, (replace(crashed, failures=1), QUIET), Life(True, retry_at=NOW + 4)) == waits


def test_a_start_that_is_not_due_yet() -> None:
    assert told(1.0, (some(), BUSY), Life(True, retry_at=1004.0)) == (
        "Wants 1 because 1 request on average over the stable window asks for 1 at a target of 1 per replica; "
        "its last start failed and the next one is not due yet, so none is started."
    )


def test_a_start_that_took_too_long() -> None:
    assert told(1.0, (some(Phase.STARTING), BUSY), Life(True), within=bounds(progress_deadline=600)) == (
        "Wants 1 because 1 request on average over the stable window asks for 1 at a target of 1 per replica; "
        "its start took longer than the progress deadline, so it is given up."
    )


def test_a_start_that_took_too_long_is_told_with_what_was_wrong_with_it() -> None:
    asked = ReplicaSet("m-1", 1, (Replica("m-1-0", Phase.STARTING, 0.0, message="GET /helth answered 404"),))
    assert told(1.0, (asked, BUSY), Life(True), within=bounds(progress_deadline=600)).endswith(
        "; its start took longer than the progress deadline (GET /helth answered 404), so it is given up."
    )


@pytest.mark.parametrize(
    ("left", "words"), [(0.2, "1 s"), (60, "60 s"), (120, "120 s"), (121, "3 min"), (1500, "25 min"), (7200, "120 min")]
)
def test_the_time_left_is_in_a_unit_that_is_easy_to_read(left: float, words: str) -> None:
    _, decision = decide(SPEC, State(), Observation(1, 0, 0), NOW)
    text = tell(Outcome(decision, 1, (Clamp("idle period", 0, 1),), zero_at=NOW + left), NOW)
    assert text.endswith(f"ends, {words} from now.")


@pytest.mark.parametrize("rule", _CLAUSES)
def test_every_rule_is_told_in_one_sentence(rule: str) -> None:
    _, decision = decide(SPEC, State(), Observation(1, 0, 0), NOW)
    text = tell(Outcome(decision, 1, (Clamp(rule, 0, 1),), zero_at=NOW + 10), NOW)
    assert text.endswith(".")
    assert ". " not in text
    assert "{" not in text
