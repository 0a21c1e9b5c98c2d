from __future__ import annotations

from dataclasses import replace

import pytest

from activator.eviction import Standing, choose

IDLE = Standing("n", True, 0, 60.0, desired=1, open=0, awake_since=100.0, idle_since=200.0)


def test_the_one_that_has_been_idle_for_longest_goes() -> None:
    other = replace(IDLE, name="o", idle_since=150.0)
    assert choose([IDLE, other], 1000.0) == "o"


def test_one_that_never_had_a_request_is_idle_since_it_woke() -> None:
    other = replace(IDLE, name="o", awake_since=180.0, idle_since=None)
    assert choose([IDLE, other], 1000.0) == "o"


def test_a_wake_after_the_last_request_counts_as_use() -> None:
    woken = replace(IDLE, name="a", awake_since=500.0, idle_since=50.0)
    assert choose([IDLE, woken], 1000.0) == "n"


@pytest.mark.parametrize(
    "kept",
    [
        replace(IDLE, evictable=False),
        replace(IDLE, open=1),
        replace(IDLE, min_scale=1),
        replace(IDLE, desired=0),
        replace(IDLE, awake_since=None),
        replace(IDLE, awake_since=950.0),
    ],
)
def test_who_is_busy_or_kept_or_new_never_goes(kept: Standing) -> None:
    assert choose([kept], 1000.0) is None


def test_its_least_time_is_over_when_it_is() -> None:
    assert choose([replace(IDLE, awake_since=940.0)], 1000.0) == "n"
