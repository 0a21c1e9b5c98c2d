from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.scalers.backoff import CAP, Crash, History, backoff


def test_the_wait_doubles_up_to_five_minutes() -> None:
    assert [backoff(failures) for failures in range(5)] == [0, 0.25, 0.5, 1, 2]
    assert backoff(11) == 256
    assert backoff(12) == backoff(10**6) == 300


@given(st.integers(0, 10**9))
def test_the_wait_never_shrinks_nor_exceeds_its_cap(failures: int) -> None:
    assert 0 <= backoff(failures) <= backoff(failures + 1) <= CAP


def test_a_failed_start_is_counted_and_waited_after() -> None:
    history = History().crashed(Crash("no memory"), now=100)
    assert history == History(failures=1, streak=1, last="no memory", not_before=100.25)


def test_failures_side_by_side_count_each_but_lengthen_the_wait_once() -> None:
    history = History().crashed(Crash("a", attempt=0), now=100).crashed(Crash("b", attempt=0), now=100)
    assert (history.failures, history.streak, history.not_before) == (2, 1, 100.25)


def test_a_crash_soon_after_ready_is_no_failed_start_but_is_waited_after() -> None:
    history = History(streak=2).ready().crashed(Crash("oops", attempt=2, ready_for=9.9), now=0)
    assert (history.failures, history.streak, history.not_before) == (0, 3, 1)


def test_a_crash_after_ten_ready_seconds_is_not_waited_after() -> None:
    history = History(streak=4).crashed(Crash("oops", attempt=3, ready_for=10), now=50)
    assert (history.failures, history.streak, history.not_before) == (0, 0, 50)


def test_becoming_ready_clears_all_but_the_streak() -> None:
    history = History().crashed(Crash("no such file", doomed=True), now=1)
    assert history.doomed
    assert history.ready() == History(streak=1)
    assert history.ready().steady() == History()


def test_once_the_wait_is_over_only_the_wait_is_forgotten() -> None:
    history = History().crashed(Crash("no memory"), now=100)
    assert history.due() == History(failures=1, streak=1, last="no memory")


@pytest.mark.parametrize("ready_for", [None, 0.0, 5.0])
def test_crashes_one_after_another_wait_ever_longer(ready_for: float | None) -> None:
    history, waits = History(), []
    for _ in range(4):
        history = history.crashed(Crash("oops", history.streak, ready_for), now=0)
        waits.append(history.not_before)
    assert waits == [0.25, 0.5, 1, 2]
