"""Times of another machine on our clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.peers import messages as m
from activator.peers.clocks import Offset
from activator.peers.pacts import Pulse

seconds = st.floats(0.0, 0.5)


@given(ahead=st.floats(-1e6, 1e6), there=seconds, back=seconds, stay=seconds)
def test_the_error_is_at_most_half_of_the_way(ahead: float, there: float, back: float, stay: float) -> None:
    offset, sent = Offset(), 1000.0
    came = sent + there + ahead
    left = came + stay
    offset.sample(sent, came, left, left - ahead + back)
    assert abs(offset.ahead - ahead) <= (there + back) / 2 + 1e-6


def test_the_fastest_of_the_last_samples_counts() -> None:
    offset = Offset()
    for way in (0.2, 0.002, 0.1):
        offset.sample(10.0, 510.0 + way, 510.0 + way, 10.0 + way)
    assert offset.ahead == pytest.approx(500.0, abs=0.002)


def test_a_clock_that_drifts_is_followed() -> None:
    offset = Offset()
    for number in range(100):
        now = 10.0 + number
        offset.learn(Pulse(now + 500.0 + 0.001 * number, now - 0.002, 0.001, leads=False), now)
    assert offset.ahead == pytest.approx(500.0 + 0.099, abs=0.02)


def test_the_first_pulse_tells_nothing() -> None:
    offset = Offset(7.0)
    offset.learn(Pulse(1.0, None, 0.0, leads=False), 5.0)
    assert offset.ahead == 7.0


def test_times_in_messages_are_translated_and_nothing_else() -> None:
    offset = Offset(100.0)
    claim = m.Claim(1, "a", 105.0, 3)
    assert offset.translate(claim) == m.Claim(1, "a", 5.0, 3)
    count = m.Count("a", 103.0, 1.0, 2, 0, 102.0, 0, None, {}, {}, {}, ([], 0.0))
    told = offset.translate(count)
    assert isinstance(told, m.Count)
    assert (told.at, told.idle_since, told.tagged_since, told.area) == (3.0, 2.0, None, 1.0)
    poke = m.Poke("a")
    assert offset.translate(poke) is poke
