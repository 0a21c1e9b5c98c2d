"""Evidence stays low by chance alone, however often one looks, and grows fast where there is a difference."""

from __future__ import annotations

import json
from itertools import product
from math import comb, exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.traffic.evidence import (
    FLOOR,
    LIFTS,
    Evidence,
    Sample,
    against_bound,
    against_stable,
    look,
    one_sample,
    two_samples,
    upper_bound,
)

parts = st.floats(0.001, 0.999)
sizes = st.integers(0, 6)


def chance(sample: Sample, part: float) -> float:
    return comb(sample.number, sample.bad) * part**sample.bad * (1 - part) ** (sample.number - sample.bad)


def outcomes(number: int) -> list[Sample]:
    return [Sample(number, bad) for bad in range(number + 1)]


@given(sizes, sizes, parts, parts, parts, parts)
def test_a_factor_loses_on_average_whenever_the_canary_is_no_worse(
    canary: int, stable: int, one: float, other: float, guess: float, lift: float
) -> None:
    """The whole sample space is summed up, so this is the theorem itself at these points, and no simulation."""
    if not canary:
        return
    no_worse, at_least = sorted((one, other))
    worse = guess + (1 - guess) * lift
    mean = sum(
        chance(mine, no_worse) * chance(its, at_least) * exp(two_samples(mine, its, worse, guess))
        for mine, its in product(outcomes(canary), outcomes(stable))
    )
    assert mean <= 1 + 1e-9


@given(st.integers(1, 8), parts, parts, parts)
def test_a_factor_against_a_bound_loses_on_average_below_it(number: int, one: float, other: float, lift: float) -> None:
    true, bound = sorted((one, other))
    bet = bound + (1 - bound) * lift
    assert sum(chance(s, true) * exp(one_sample(s, bet, bound)) for s in outcomes(number)) <= 1 + 1e-9


@given(sizes, parts, parts)
def test_a_factor_without_requests_of_the_stable_revision_is_one(number: int, guess: float, lift: float) -> None:
    worse = guess + (1 - guess) * lift
    for sample in outcomes(number) if number else ():
        assert two_samples(sample, Sample(0, 0), worse, guess) == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4), st.floats(0.05, 0.5), st.floats(0.0, 1.0))
def test_evidence_is_on_average_at_most_one_at_every_look(stable: list[int], part: float, lucky: float) -> None:
    """Over all courses of a few looks, a canary as bad as the stable revision: the mean of the evidence against "no
    worse" never exceeds what was put in."""
    guess = 0.02 + 0.9 * lucky
    courses = [(1.0, Evidence())]
    for number in stable:
        after = []
        for weight, evidence in courses:
            for mine, its in product(outcomes(1), outcomes(number)):
                bets = against_stable(mine, its, guess)
                chances = chance(mine, part) * chance(its, part)
                after.append((weight * chances, look(evidence, mine, bets, against_bound(mine, 0.5))))
        courses = after
        assert sum(weight * exp(evidence.stable_ln) for weight, evidence in courses) <= 1 + 1e-9


def test_what_is_put_in_over_all_looks_together_is_one() -> None:
    assert sum(1 / (looks * (looks + 1)) for looks in range(1, 100_000)) == pytest.approx(1.0, abs=1e-4)


def run(*blocks: tuple[Sample, Sample], limit: float = 0.01) -> Evidence:
    evidence = Evidence()
    for canary, stable in blocks:
        evidence = look(evidence, canary, against_stable(canary, stable, 0.02), against_bound(canary, limit))
    return evidence


def test_a_canary_that_fails_often_is_found_out_after_a_handful_of_requests() -> None:
    assert run(*[(Sample(1, 1), Sample(19, 0))] * 6).ln > log(250)


def test_one_failure_is_no_evidence() -> None:
    assert run((Sample(1, 1), Sample(19, 0))).ln < log(10)


def test_equal_failures_are_no_evidence() -> None:
    assert run(*[(Sample(10, 3), Sample(10, 3))] * 50).ln < 0


def test_failures_within_the_limit_are_no_evidence_however_much_better_the_stable_revision_is() -> None:
    blocks = [(Sample(1000, 9), Sample(100_000, 0))] * 50
    assert run(*blocks, limit=1e-9).ln > log(1e6)
    assert run(*blocks, limit=0.01).ln < 0


def test_a_canary_that_turns_bad_late_is_found_out_all_the_same() -> None:
    good, bad = (Sample(5, 0), Sample(95, 1)), (Sample(5, 2), Sample(95, 1))
    assert run(*[good] * 2000).ln < log(10)
    assert run(*[good] * 2000, *[bad] * 10).ln > log(250)


def test_a_period_without_requests_of_the_canary_is_no_look() -> None:
    before = run((Sample(1, 1), Sample(19, 0)))
    assert look(before, Sample(0, 0), against_stable(Sample(0, 0), Sample(5, 0), 0.1), lambda _: 0.0) == before


def test_numbers_stay_numbers_over_a_long_time() -> None:
    evidence = run(*[(Sample(10_000, 0), Sample(10_000, 10_000))] * 100)
    assert min(evidence.stable) >= FLOOR
    assert run(*[(Sample(10_000, 10_000), Sample(10_000, 0))] * 100).ln > 1e5


@pytest.mark.parametrize(("number", "bad"), [(10, 0), (100, 1), (1000, 10), (50, 50), (20, 10)])
@pytest.mark.parametrize("risk", [0.05, 0.002])
def test_the_upper_bound_holds_with_its_probability(number: int, bad: int, risk: float) -> None:
    bound = upper_bound(Sample(number, bad), risk)
    at_most = sum(chance(Sample(number, each), min(bound, 1 - 1e-12)) for each in range(bad + 1))
    assert bound >= bad / number
    assert bad == number or at_most <= risk


def test_nothing_is_known_without_a_request() -> None:
    assert upper_bound(Sample(0, 0), 0.01) == 1.0


def test_evidence_survives_json() -> None:
    evidence = run((Sample(3, 1), Sample(19, 0)))
    assert Evidence.load(json.loads(json.dumps(evidence.dump())), "x") == evidence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"looks": -1}, "x.looks"),
        ({"stable": [0.0]}, f"x.stable: expected {len(LIFTS)} numbers, got 1"),
        ({"limit": ["a"] * len(LIFTS)}, "x.limit"),
        ({"limit": None}, "x.limit"),
    ],
)
def test_evidence_that_makes_no_sense_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Evidence.load({**Evidence().dump(), **change}, "x")
