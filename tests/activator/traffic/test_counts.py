from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.traffic.counts import Counts, Recent
from router.tally import LAST, bound, bucket

durations = st.dictionaries(st.integers(0, LAST), st.integers(1, 50), max_size=5)
counts = st.builds(lambda d, failed: Counts(sum(d.values()) + failed, failed, d), durations, st.integers(0, 9))


@given(st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_is_the_least_bucket_with_so_many_at_or_below_it(seconds: list[float], part: float) -> None:
    numbers = sorted(bucket(each) for each in seconds)
    found = Counts(len(seconds), 0, Counter(numbers)).quantile(part)
    assert found is not None
    assert sum(number <= found for number in numbers) >= part * len(numbers)
    assert sum(number < found for number in numbers) < part * len(numbers)


def test_the_95th_percentile_is_told_in_seconds() -> None:
    found = Counts(100, 0, {bucket(0.1): 95, bucket(2.0): 5}).p95
    assert found is not None
    assert 0.1 <= found < 0.11
    assert Counts().p95 is None


def test_slower_counts_what_lies_beyond_a_bucket() -> None:
    assert Counts(6, 0, {1: 1, 2: 2, 3: 3}).slower(2) == 3


def test_what_is_recent_is_let_go_window_by_window() -> None:
    recent = Recent()
    for second in range(25):
        recent = recent.add(Counts(1, int(second < 5)), 1.0, window=10.0, least=1)
    assert 10 <= recent.all.answered <= 20
    assert recent.all.failed == 0


def test_a_revision_that_gets_nothing_any_more_is_remembered_as_it_was() -> None:
    recent = Recent().add(Counts(100, 3, {5: 100}), 1.0, window=10.0, least=20)
    for _ in range(100):
        recent = recent.add(Counts(), 1.0, window=10.0, least=20)
    assert recent.all == Counts(100, 3, {5: 100})


def test_it_is_let_go_only_for_enough_newer_ones() -> None:
    recent = Recent(older=Counts(100, 0))
    for _ in range(19):
        recent = recent.add(Counts(1, 0), 1.0, window=10.0, least=20)
    assert recent.older.answered == 100
    for _ in range(2):
        recent = recent.add(Counts(1, 0), 1.0, window=10.0, least=20)
    assert (recent.older.answered, recent.answered) == (20, 21)


@given(counts, counts)
def test_it_survives_json(older: Counts, newer: Counts) -> None:
    recent = Recent(older, newer, 3.5)
    assert Recent.load(json.loads(json.dumps(recent.dump())), "x") == recent


GOOD: dict[str, Any] = {"answered": 3, "failed": 1, "durations": {"7": 3}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answered": -1}, "x.answered"),
        ({"failed": 4}, "x.failed"),
        ({"durations": {"-1": 1}}, "'-1' is no bucket"),
        ({"durations": {"9999": 1}}, "'9999' is no bucket"),
        ({"durations": {"7": 0.5}}, "x.durations"),
        ({"durations": []}, "x.durations"),
    ],
)
def test_counts_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    assert Counts.load(GOOD, "x") == Counts(3, 1, {7: 3})
    with pytest.raises(ValueError, match=words):
        Counts.load({**GOOD, **change}, "x")


def test_buckets_rise_by_a_tenth() -> None:
    assert [bucket(0.0), bucket(0.001), bucket(1e9)] == [0, 0, LAST]
    for seconds in (0.0011, 0.02, 0.5, 3.0, 77.0):
        assert bound(bucket(seconds)) / 1.1 < seconds <= bound(bucket(seconds)) * (1 + 1e-9)
