from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.concurrency import Demand


@dataclass
class Steps:
    """The naive reference: every instant at which the number of requests changed."""

    changes: list[tuple[float, int]] = field(default_factory=list)
    open: int = 0

    def change(self, now: float, by: int) -> None:
        self.open += by
        self.changes.append((now, self.open))

    def average(self, start: float, end: float) -> float:
        points = [(max(at, start), count) for at, count in self.changes]
        area = sum(
            count * (max(start, following) - at)
            for (at, count), (following, _) in zip(points, [*points[1:], (end, 0)], strict=True)
        )
        return area / (end - start)


moves = st.lists(st.tuples(st.sampled_from("+-c"), st.floats(0.001, 50)), max_size=40)


@given(moves)
def test_the_average_equals_a_naive_integral_over_every_period(history: list[tuple[str, float]]) -> None:
    now = started = 100.0
    demand, reference, arrivals = Demand(now), Steps([(now, 0)]), 0
    for move, pause in [*history, ("c", 1.0)]:
        now += pause
        if move == "+":
            demand.enter(now)
            reference.change(now, 1)
            arrivals += 1
        elif move == "-" and reference.open:
            demand.leave(now)
            reference.change(now, -1)
        elif move == "c":
            average, counted = demand.collect(now)
            assert average == pytest.approx(reference.average(started, now), abs=1e-9)
            assert counted == arrivals
            started, arrivals = now, 0
    assert demand.now_open == reference.open


def test_a_request_for_half_of_the_period_is_half_a_request() -> None:
    demand = Demand(10.0)
    demand.enter(10.25)
    demand.leave(10.75)
    assert demand.collect(11.0) == (0.5, 1)


def test_an_open_request_goes_on_counting_in_the_next_period() -> None:
    demand = Demand(10.0)
    demand.enter(10.5)
    assert demand.collect(11.0) == (0.5, 1)
    assert demand.collect(12.0) == (1.0, 0)


def test_a_period_of_no_length_tells_what_is_open() -> None:
    demand = Demand(10.0)
    demand.enter(10.0)
    assert demand.collect(10.0) == (1.0, 1)


def test_a_revision_that_never_had_a_request_has_no_idle_clock() -> None:
    assert Demand(10.0).idle_since is None


def test_the_idle_clock_runs_from_the_last_request_that_ended() -> None:
    demand = Demand(10.0)
    demand.enter(11.0)
    demand.enter(12.0)
    demand.leave(13.0)
    seen = [demand.idle_since]
    demand.leave(14.0)
    seen.append(demand.idle_since)
    demand.enter(15.0)
    seen.append(demand.idle_since)
    assert seen == [None, 14.0, None]


def test_requests_by_tag_have_a_clock_of_their_own() -> None:
    demand = Demand(10.0)
    demand.enter(11.0, tagged=True)
    demand.enter(11.0)
    demand.leave(12.0, tagged=True)
    assert (demand.tagged_open, demand.tagged_since, demand.idle_since) == (0, 12.0, None)
    demand.leave(13.0)
    assert (demand.tagged_since, demand.idle_since) == (12.0, 13.0)


def test_a_request_that_arrived_before_the_last_change_counts_from_its_arrival() -> None:
    demand = Demand(0.0)
    demand.enter(1.0)
    demand.leave(3.0)
    demand.enter(2.0)
    demand.leave(4.0)
    assert demand.collect(4.0) == (1.0, 2)
    demand.enter(3.0)
    demand.leave(5.0)
    assert demand.collect(6.0) == (0.5, 1)


def test_what_is_withdrawn_was_never_there() -> None:
    demand = Demand(100.0)
    demand.enter(100.3)
    demand.leave(100.4)
    demand.withdraw(100.3, 100.4)
    assert demand.collect(101.0) == (0.0, 0)


def test_what_is_withdrawn_takes_nothing_from_the_others() -> None:
    demand = Demand(100.0)
    demand.enter(100.0)
    demand.enter(100.25)
    demand.leave(100.5)
    demand.withdraw(100.25, 100.5)
    assert demand.collect(101.0) == (1.0, 1)
