from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.kpa import delay
from activator.kpa.delay import Maxima, Maximum

histories = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=40)


def recorded(wanted: list[tuple[int, int]], buckets: int) -> Maxima:
    maxima: Maxima = ()
    for bucket, replicas in wanted:
        maxima = delay.record(maxima, Maximum(bucket, replicas), buckets)
    return maxima


@pytest.mark.parametrize(
    ("seconds", "tick", "buckets"),
    [(300, 10, 30), (30, 15, 2), (61, 10, 7), (1, 10, 1), (0.6, 0.2, 3), (1.1, 0.1, 11), (30, 2.5, 12), (8.2, 4.1, 2)],
)
def test_a_delay_is_covered_by_whole_ticks(seconds: float, tick: float, buckets: int) -> None:
    assert delay.size(seconds, tick) == buckets


@pytest.mark.parametrize(("now", "tick", "bucket"), [(0, 10, 0), (9.9, 10, 0), (10, 10, 1), (0.3, 0.1, 3), (7, 2.5, 2)])
def test_time_is_cut_into_buckets_of_a_tick(now: float, tick: float, bucket: int) -> None:
    assert delay.bucket(now, tick) == bucket


def test_a_smaller_number_does_not_count_until_the_larger_is_out_of_date() -> None:
    assert [delay.largest(recorded([(0, 4), (n, 1)], 3)) for n in (1, 2, 3)] == [4, 4, 1]


def test_one_bucket_keeps_its_larger_number() -> None:
    assert delay.largest(recorded([(5, 1), (5, 3), (5, 2)], 1)) == 3


def test_time_alone_forgets_nothing() -> None:
    maxima = recorded([(0, 4)], 3)
    assert delay.largest(maxima) == 4
    assert delay.until(maxima, 30, 10) == 30


def test_a_number_wanted_again_counts_from_the_last_time() -> None:
    assert delay.until(recorded([(0, 4), (2, 4)], 3), 30, 10) == 50


@given(histories, st.integers(1, 6))
def test_the_largest_is_the_maximum_over_the_last_buckets(steps: list[tuple[int, int]], buckets: int) -> None:
    maxima: Maxima = ()
    wanted: list[tuple[int, int]] = []
    now = 0
    for step, replicas in steps:
        now += step
        wanted.append((now, replicas))
        maxima = delay.record(maxima, Maximum(now, replicas), buckets)
        assert delay.largest(maxima) == max(most for at, most in wanted if now - at < buckets)
        assert len(maxima) <= buckets
