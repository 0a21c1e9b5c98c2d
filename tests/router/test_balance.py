from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.balance import first_available, least_of_two, pick, round_robin


@dataclass
class Replica:
    running: int


def loaded(*running: int) -> list[Replica]:
    return [Replica(count) for count in running]


def test_low_limits_pack_the_first_replicas() -> None:
    assert first_available(loaded(1, 0, 0), 1) == 1
    assert first_available(loaded(2, 2, 3), 3) == 0


def test_round_robin_skips_full_replicas_and_wraps_around() -> None:
    assert round_robin(loaded(0, 0, 0), 4, 1) == 1
    assert round_robin(loaded(0, 4, 4), 4, 1) == 0


def test_the_less_loaded_of_two_is_taken_and_the_first_when_they_are_equal() -> None:
    assert least_of_two(loaded(5, 1), 0, 1) == 1
    assert least_of_two(loaded(5, 5), 1, 0) == 1


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 100])
def test_no_replica_is_found_where_there_is_none(limit: int) -> None:
    assert pick([], limit, 7) == -1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(1, 6), st.integers(0, 1000))
def test_a_replica_with_room_is_found_exactly_when_there_is_one(running: list[int], limit: int, turn: int) -> None:
    index = pick(loaded(*running), limit, turn)
    assert (index >= 0) == any(count < limit for count in running)
    assert index < 0 or running[index] < limit


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6), st.integers(0, 1000))
def test_without_a_limit_a_replica_is_always_found(running: list[int], turn: int) -> None:
    assert 0 <= pick(loaded(*running), 0, turn) < len(running)


@pytest.mark.parametrize(("limit", "size"), [(0, 2), (0, 5), (10, 3)])
def test_idle_replicas_share_the_requests_evenly(limit: int, size: int) -> None:
    rounds = 20 * size * max(1, size - 1)
    counts = Counter(pick(loaded(*[0] * size), limit, turn) for turn in range(rounds))
    assert set(counts.values()) == {rounds // size}


def test_without_a_limit_a_busy_replica_is_avoided_by_every_pair_it_is_in() -> None:
    assert {pick(loaded(9, 0, 0), 0, turn) for turn in range(100)} == {1, 2}
