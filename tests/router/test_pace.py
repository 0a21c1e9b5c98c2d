from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.pace import Pace, Standstill


def test_nothing_at_all_is_borne_for_the_grace_and_no_longer() -> None:
    pace = Pace(1024, 5.0, 0, 100.0)
    assert pace.keeps_up(0, 104.9, reading=True)
    assert not pace.keeps_up(0, 105.1, reading=True)


def test_the_least_rate_keeps_up_for_ever() -> None:
    pace = Pace(1024, 5.0, 0, 0.0)
    assert all(pace.keeps_up(1024 * second, float(second), reading=True) for second in range(1, 1000))


def test_half_of_the_rate_uses_up_the_grace_in_twice_its_time() -> None:
    pace = Pace(1024, 5.0, 0, 0.0)
    kept = [pace.keeps_up(512 * second, float(second), reading=True) for second in range(1, 12)]
    assert kept == [True] * 9 + [False] * 2


def test_a_burst_earns_no_more_than_the_grace() -> None:
    pace = Pace(1024, 5.0, 0, 0.0)
    assert pace.keeps_up(1 << 30, 1.0, reading=True)
    assert not pace.keeps_up(1 << 30, 6.1, reading=True)


def test_time_in_which_nothing_was_read_does_not_count() -> None:
    pace = Pace(1024, 5.0, 0, 0.0)
    assert pace.keeps_up(0, 1000.0, reading=False)
    assert pace.keeps_up(0, 1004.0, reading=True)
    assert not pace.keeps_up(0, 1005.1, reading=True)


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0.01, 2.0)), max_size=50))
def test_whoever_is_refused_was_below_the_rate_over_the_whole_grace(steps: list[tuple[int, float]]) -> None:
    pace, received, now = Pace(1000, 5.0, 0, 0.0), 0, 0.0
    seen = [(0.0, 0)]
    for size, seconds in steps:
        received, now = received + size, now + seconds
        seen.append((now, received))
        if not pace.keeps_up(received, now, reading=True):
            assert any(now - at >= 4.999 and received - before <= 1000 * (now - at) for at, before in seen)
            return


def test_what_changes_does_not_stand_still() -> None:
    standstill = Standstill("a", 0.0)
    assert standstill.lasts("a", 10.0) == 10
    assert standstill.lasts("b", 11.0) == 0
    assert standstill.lasts("b", 13.0) == 2
