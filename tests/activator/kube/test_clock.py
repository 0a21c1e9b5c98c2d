from __future__ import annotations

from email.utils import formatdate

import pytest

from activator.kube.clock import ServerClock


def test_until_the_api_server_has_answered_our_own_clock_counts() -> None:
    assert ServerClock(clock=lambda: 5.0, own=lambda: 100.0)() == 100.0


def test_then_its_clock_counts_whatever_ours_says_and_goes_on_by_what_never_jumps() -> None:
    now = [5.0]
    clock = ServerClock(clock=lambda: now[0], own=lambda: 100.0)
    clock.hear(formatdate(1_700_000_000, usegmt=True))
    now[0] += 7.5
    assert clock() == 1_700_000_007.5


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Nov 2023 22:13:20 GMT"])
def test_a_date_that_is_none_changes_nothing(date: str) -> None:
    clock = ServerClock(clock=lambda: 0.0, own=lambda: 100.0)
    clock.hear(date)
    assert clock() == 100.0
