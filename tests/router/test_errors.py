from __future__ import annotations

from collections import Counter
from math import ceil

from router.errors import STATUS, Reason, spread


def test_every_reason_has_a_status() -> None:
    assert set(STATUS) == set(Reason)


def test_those_who_are_refused_together_come_back_spread_evenly() -> None:
    seconds = Counter(ceil(spread(number)) for number in range(1, 601))
    assert set(seconds) == {5, 6, 7, 8, 9, 10}
    assert all(95 <= count <= 105 for count in seconds.values())
