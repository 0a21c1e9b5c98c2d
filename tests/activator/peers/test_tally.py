from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.peers import messages as m
from activator.peers.tally import Tally
from router.concurrency import Demand


def count(at: float, area: float = 0.0, requests: int = 0, is_open: int = 0, **more: object) -> m.Count:
    facts: dict[str, object] = {
        "idle_since": None,
        "tagged_open": 0,
        "tagged_since": None,
        "busy": {},
        "reasons": {},
        "durations": {},
        "holds": ([], 0.0),
    }
    return m.Count("a-1", at, area, requests, is_open, **{**facts, **more})  # type: ignore[arg-type]


def test_what_was_counted_is_shared_over_the_period() -> None:
    tally = Tally(0.0)
    tally.add("x", count(0.5, area=1.0, requests=4))
    tally.add("y", count(0.9, area=0.5, requests=1))
    assert tally.collect(1.0) == (1.5, 5)
    assert tally.collect(2.0) == (0.0, 0)


def test_open_requests_are_carried_forward_to_the_end_of_the_period() -> None:
    tally = Tally(0.0)
    tally.add("x", count(0.6, area=1.2, requests=2, is_open=2))
    assert tally.collect(1.0)[0] == pytest.approx(2.0)


def test_what_was_carried_forward_in_vain_is_taken_from_the_next_period() -> None:
    tally = Tally(0.0)
    tally.add("x", count(0.8, area=8.0, is_open=10))
    assert tally.collect(1.0)[0] == pytest.approx(10.0)
    tally.add("x", count(1.3, area=1.0))  # they had ended at 0.9
    tally.add("y", count(1.5, area=4.0))
    assert tally.collect(2.0)[0] == pytest.approx(8 + 1 + 4 - 10)


def test_more_than_a_period_has_is_taken_from_the_one_after_it() -> None:
    tally = Tally(0.0)
    tally.add("x", count(0.8, area=8.0, is_open=10))
    tally.collect(1.0)
    tally.add("x", count(1.2, area=0.5))
    assert tally.collect(2.0)[0] == 0.0
    tally.add("x", count(2.5, area=4.0))
    assert tally.collect(3.0)[0] == pytest.approx(8 + 0.5 + 4 - 10)


def test_the_last_that_ended_anywhere_sets_the_idle_clock() -> None:
    tally = Tally(0.0)
    tally.add("x", count(5.0, idle_since=4.0, tagged_since=1.0))
    tally.add("y", count(5.0, idle_since=3.0))
    stats = tally.stats(0.0, 0, 0, 0)
    assert (stats.idle_since, stats.tagged_since) == (4.0, 1.0)


def test_it_is_not_idle_while_anyone_has_a_request_or_the_owner_knows_of_one() -> None:
    tally = Tally(0.0)
    tally.add("x", count(5.0, idle_since=4.0))
    tally.add("y", count(5.0, is_open=1))
    assert tally.stats(0.0, 0, 0, 0).idle_since is None
    tally.lose("y", 6.0)
    assert tally.stats(0.0, 0, 0, 1).idle_since is None
    assert tally.stats(0.0, 0, 0, 0).idle_since == 6.0


@dataclass
class Claimer:
    """Counts as a process does."""

    demand: Demand

    def report(self, now: float) -> m.Count:
        area, requests = self.demand.take(now)
        return count(now, area, requests, self.demand.now_open)


step = st.tuples(st.integers(0, 2), st.sampled_from(["enter", "leave", "report", "wait"]))


@given(steps=st.lists(step, max_size=60))
def test_over_time_several_count_what_one_would_have(steps: list[tuple[int, str]]) -> None:
    now, one, tally = 0.0, Demand(0.0), Tally(0.0)
    several = [Claimer(Demand(0.0)) for _ in range(3)]
    ours = theirs = arrivals = 0.0
    for who, what in steps:
        now += 0.125
        claimer = several[who]
        if what == "enter":
            one.enter(now)
            claimer.demand.enter(now)
        elif what == "leave" and claimer.demand.now_open:
            one.leave(now)
            claimer.demand.leave(now)
        elif what == "report":
            tally.add(who, claimer.report(now))
        if now % 1.0 == 0:
            average, requests = tally.collect(now)
            ours, arrivals = ours + average, arrivals + requests
            theirs += one.collect(now)[0]
    one.enter(now)
    several[0].demand.enter(now)
    for _ in range(100):  # one request goes on, so that the periods pay back what was carried forward
        now += 1.0 - now % 1.0
        for who, claimer in enumerate(several):
            while claimer.demand.now_open > (who == 0):
                claimer.demand.leave(now)
                one.leave(now)
            tally.add(who, claimer.report(now))
        average, requests = tally.collect(now)
        ours, arrivals = ours + average, arrivals + requests
        theirs += one.collect(now)[0]
    assert ours == pytest.approx(theirs)
    assert arrivals == sum(what == "enter" for _, what in steps) + 1
