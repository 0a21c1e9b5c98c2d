"""The guard finds bad canaries within few of their requests, and leaves good ones alone however long it watches."""

from __future__ import annotations

import json
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from math import comb
from random import Random
from typing import NamedTuple

import pytest

from activator.catalog.model import GuardKeys
from activator.traffic.counts import Counts
from activator.traffic.guard import Guard, breach, numbers, too_slow, watch
from router.tally import bucket

KEYS = GuardKeys()
SEEDS = 1000


class Second(NamedTuple):
    """Requests that each revision answers in a second, and which part of them is bad."""

    canary: int
    stable: int
    bad: float
    stable_bad: float = 0.01


Make = Callable[[Random, Second], tuple[Counts, Counts]]


@cache
def binomial(number: int, part: float) -> list[float]:
    return list(accumulate(comb(number, k) * part**k * (1 - part) ** (number - k) for k in range(number + 1)))


def drawn(random: Random, number: int, part: float) -> int:
    return min(number, bisect(binomial(number, part), random.random()))


def failing(random: Random, each: Second) -> tuple[Counts, Counts]:
    return (
        Counts(each.canary, drawn(random, each.canary, each.bad)),
        Counts(each.stable, drawn(random, each.stable, each.stable_bad)),
    )


def slow(random: Random, each: Second) -> tuple[Counts, Counts]:
    """Durations of a second, of which the bad ones are ten times as long."""
    made = []
    for number, part in ((each.canary, each.bad), (each.stable, each.stable_bad)):
        bad = drawn(random, number, part)
        made.append(Counts(number, 0, {bucket(0.1): number - bad, bucket(1.0): bad}))
    return made[0], made[1]


def requests_until_breach(
    seed: int, each: Second, most: int, make: Make = failing, keys: GuardKeys = KEYS
) -> int | None:
    """Return how many requests of the canary it took; None when there was no breach within `most`."""
    random, guard, asked = Random(seed), Guard(), 0
    while asked < most:
        guard = watch(keys, guard, make(random, each), each.stable / (each.canary + each.stable), 1.0)
        asked += each.canary
        if breach(keys, guard):
            return asked
    return None


def share_of_seeds(each: Second, most: int, make: Make = failing, seeds: int = SEEDS) -> float:
    return sum(requests_until_breach(seed, each, most, make) is not None for seed in range(seeds)) / seeds


@pytest.mark.parametrize(
    "each", [Second(1, 19, 0.3), Second(5, 95, 0.3), Second(10, 10, 0.3), Second(20, 0, 0.3)], ids=str
)
def test_a_canary_that_fails_three_in_ten_is_found_within_200_of_its_requests(each: Second) -> None:
    if not each.stable:  # at 100 %: the stable revision is known from before
        before = watch(KEYS, Guard(), (Counts(), Counts(500, 5)), 0.5, 1.0)
        found = [_alone(seed, before, each) for seed in range(SEEDS)]
        assert sum(found) / SEEDS >= 0.99
        return
    assert share_of_seeds(each, 200) >= 0.99


def _alone(seed: int, guard: Guard, each: Second) -> bool:
    random = Random(seed)
    for _ in range(200 // each.canary):
        guard = watch(KEYS, guard, failing(random, each), 0.0, 1.0)
        if breach(KEYS, guard):
            return True
    return False


@pytest.mark.parametrize("each", [Second(250, 250, 0.01), Second(250, 750, 0.01)], ids=str)
def test_a_canary_that_fails_like_the_stable_revision_is_left_alone_for_10000_of_its_requests(each: Second) -> None:
    assert share_of_seeds(each, 10_000) <= 0.01


@pytest.mark.parametrize("each", [Second(1, 1, 0.3, 0.3), Second(1, 9, 0.1, 0.1), Second(2, 1, 0.5, 0.5)], ids=str)
def test_looking_after_every_request_makes_no_difference(each: Second) -> None:
    assert share_of_seeds(each, 200, seeds=100) <= 0.01


def test_what_the_stable_revision_answered_for_a_cold_canary_is_what_it_is_compared_with_at_100_percent() -> None:
    guard = Guard()
    for _ in range(5):
        guard = watch(KEYS, guard, (Counts(), Counts(100, 0)), 0.0, 1.0)
    assert guard.baseline is None
    guard = watch(KEYS, guard, (Counts(20, 10), Counts()), 0.0, 1.0)
    assert guard.baseline is not None
    assert guard.baseline < 0.02
    assert breach(KEYS, guard)


def test_a_canary_that_is_better_is_left_alone() -> None:
    assert share_of_seeds(Second(50, 50, 0.02, 0.2), 2000, seeds=50) == 0.0


class TestFailuresThatComeAtOnce:
    """Both revisions fail one request in ten after 0.1 s, and answer the others after half a minute. From second 40 on
    the canary has a fifth of the traffic."""

    def rolled_back(self, seed: int, counted_from: float) -> bool:
        random, ends = Random(seed), defaultdict[int, list[int]](lambda: [0] * 4)
        for _ in range(25 * 160):
            at, bad, mine = random.uniform(0, 160), random.random() < 0.1, random.random() < 0.2
            end, side = at + (0.1 if bad else random.uniform(15, 45)), 0 if mine and at >= 40 else 2
            if at >= counted_from:
                ends[int(end)][side] += 1
                ends[int(end)][side + 1] += bad
        guard = watch(KEYS, Guard(), (Counts(), Counts(500, 50)), 0.8, 1.0)
        for second in range(40, 160):
            own, own_bad, others, others_bad = ends[second]
            guard = watch(KEYS, guard, (Counts(own, own_bad), Counts(others, others_bad)), 0.8, 1.0)
            if breach(KEYS, guard):
                return True
        return False

    def test_a_good_canary_is_left_alone_when_both_are_counted_from_the_same_moment_on(self) -> None:
        assert sum(self.rolled_back(seed, counted_from=40.0) for seed in range(50)) == 0

    def test_and_would_not_be_otherwise(self) -> None:
        assert sum(self.rolled_back(seed, counted_from=0.0) for seed in range(10)) > 5


@pytest.mark.parametrize("make", [failing, slow])
def test_an_outage_that_hits_both_is_not_the_canarys_fault(make: Make) -> None:
    random, guard = Random(1), Guard()
    for second in range(200):
        bad = 0.6 if 100 <= second < 130 else 0.01
        guard = watch(KEYS, guard, make(random, Second(5, 95, bad, bad)), 0.95, 1.0)
        assert breach(KEYS, guard) == ""


def test_a_few_failures_more_than_none_are_tolerated() -> None:
    assert share_of_seeds(Second(100, 900, 0.008, 0.0), 10_000, seeds=50) == 0.0
    strict = GuardKeys(tolerated_errors=0.0)
    assert requests_until_breach(1, Second(100, 900, 0.008, 0.0), 10_000, keys=strict) is not None


@pytest.mark.parametrize("tolerated", [1.0, 0.9999999999999999])
def test_where_all_failures_are_tolerated_a_canary_that_only_fails_is_left_alone(tolerated: float) -> None:
    lenient = GuardKeys(tolerated_errors=tolerated)
    assert requests_until_breach(1, Second(100, 900, 1.0, 0.0), 10_000, keys=lenient) is None
    assert requests_until_breach(1, Second(100, 900, 0.008, 0.0), 10_000, keys=lenient) is None


def test_a_canary_of_which_every_fifth_request_is_slow_is_found() -> None:
    assert share_of_seeds(Second(5, 95, 0.2, 0.01), 1000, make=slow, seeds=100) >= 0.99


@pytest.mark.parametrize("each", [Second(50, 50, 0.04, 0.01), Second(50, 50, 0.2, 0.2)], ids=str)
def test_a_canary_whose_95th_percentile_is_no_longer_is_left_alone(each: Second) -> None:
    assert share_of_seeds(each, 2500, make=slow, seeds=100) <= 0.01


def test_durations_are_not_judged_where_nobody_wants_it() -> None:
    keys = GuardKeys(max_slowdown=0.0)
    assert requests_until_breach(1, Second(5, 95, 1.0, 0.0), 1000, make=slow, keys=keys) is None


def test_slow_is_beyond_the_permitted_factor_of_what_the_stable_revision_needs() -> None:
    known = Counts(100, 0, {bucket(1.0): 100})
    assert too_slow(KEYS, known) == bucket(1.5 * (known.p95 or 0))
    assert too_slow(KEYS, Counts(10, 0, {bucket(1.0): 10})) is None


def test_nothing_is_said_before_the_least_number_of_requests() -> None:
    keys = GuardKeys(min_requests=50)
    assert requests_until_breach(1, Second(1, 19, 1.0), 1000, keys=keys) == 50


def test_a_verdict_tells_its_numbers() -> None:
    random, guard = Random(1), Guard()
    for _ in range(30):
        guard = watch(KEYS, guard, failing(random, Second(1, 19, 1.0, 0.0)), 0.95, 1.0)
    text = breach(KEYS, guard)
    assert "30 of 30 requests failed, of the stable one's 0 of 570" in text
    assert "by chance with a probability of at most" in text
    told = numbers(guard)
    assert told["canary"] == {"requests": 30, "failed": 30, "p95_seconds": None}
    assert told["evidence"]["errors"] > 2.6 > told["evidence"]["slowness"]


def test_a_guard_survives_json_and_goes_on_as_if_nothing_had_been() -> None:
    random, guard = Random(1), Guard()
    for _ in range(30):
        guard = watch(KEYS, guard, slow(random, Second(5, 95, 0.03, 0.01)), 0.95, 1.0)
    guard = watch(KEYS, guard, slow(random, Second(5, 0, 0.03, 0.01)), 0.0, 1.0)
    assert guard.baseline is not None
    assert Guard.load(json.loads(json.dumps(guard.dump())), "x") == guard


def test_a_guard_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x\.baseline"):
        Guard.load({**Guard().dump(), "baseline": 2}, "x")
