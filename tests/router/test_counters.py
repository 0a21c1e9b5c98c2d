from __future__ import annotations

from router.counters import MOST_STATUSES, SECONDS, Counters, Histogram, RevisionCounters
from tests.router.fakes import Clock, exchange, revision, service


def test_a_histogram_puts_each_duration_in_its_bucket() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.005, 0.006, 600.0, 601.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 1, *[0] * (len(SECONDS) - 3), 1, 1]
    assert histogram.total == sum((0.0, 0.005, 0.006, 600.0, 601.0))


def test_the_counters_of_a_revision_that_left_the_table_stay_while_it_has_requests() -> None:
    clock = Clock()
    counters = Counters(clock)
    counters.replace([revision("a-1"), revision("a-2")])
    asked = exchange()
    asked.assign(service(), revision("a-1"), tagged=False)
    counters.enter(asked, clock.now)
    counters.replace([])
    assert counters.revisions.keys() == {"a-1"}
    counters.leave(asked, clock.now)
    counters.replace([])
    assert counters.revisions == {}


def test_what_a_revision_was_refused_for_counts_on_when_it_has_left_the_table() -> None:
    counters = Counters(Clock())
    counters.replace([revision("a-1")])
    counters.revisions["a-1"].reasons["queue_full"] = 2
    for _ in range(2):
        counters.replace([])
        assert counters.refusals == {"queue_full": 2}


def test_what_is_known_of_a_revision_outlives_a_new_table() -> None:
    counters = Counters(Clock())
    counters.replace([revision("a-1")])
    first = counters.revisions["a-1"]
    counters.replace([revision("a-1"), revision("a-2")])
    assert counters.revisions["a-1"] is first


def test_what_belongs_to_no_revision_is_counted_by_reason() -> None:
    counters = Counters(Clock())
    asked = exchange()
    asked.reason = "unknown_host"
    counters.leave(asked, 1000.0)
    assert counters.refusals == {"unknown_host": 1}
    assert counters.revisions == {}


def test_the_end_of_a_request_is_counted_with_its_times() -> None:
    clock = Clock()
    counters = Counters(clock)
    counters.replace([revision("a-1")])
    asked = exchange(now=clock.now)
    asked.assign(service(), revision("a-1"), tagged=False)
    counters.enter(asked, clock.now)
    asked.dispatched, asked.status, asked.reason = clock.now + 20.0, 502, "upstream_broke"
    counters.leave(asked, clock.now + 25.0)
    counted = counters.revisions["a-1"]
    assert counted.reasons == {"upstream_broke": 1}
    assert {status: (each.count, each.total) for status, each in counted.durations.items()} == {502: (1, 25.0)}
    assert counted.holds.total == 20.0


def test_a_request_that_comes_back_to_its_revision_has_arrived_once() -> None:
    clock = Clock()
    counters = Counters(clock)
    counters.replace([revision("a-1")])
    asked = exchange()
    asked.assign(service(), revision("a-1"), tagged=False)
    counters.enter(asked, clock.now)
    counters.move(asked, revision("a-1"), clock.now, tagged=False)
    demand = counters.revisions["a-1"].demand
    assert (demand.now_open, demand.arrivals) == (1, 1)


def test_a_request_that_moves_is_demand_of_its_new_revision_only() -> None:
    clock = Clock()
    counters = Counters(clock)
    counters.replace([revision("a-1"), revision("a-2")])
    asked = exchange()
    asked.assign(service(), revision("a-1"), tagged=False)
    counters.enter(asked, clock.now)
    counters.move(asked, revision("a-2"), clock.now, tagged=True)
    asked.assign(service(), revision("a-2"), tagged=True)
    old, new = counters.revisions["a-1"].demand, counters.revisions["a-2"].demand
    assert [(demand.now_open, demand.tagged_open) for demand in (old, new)] == [(0, 0), (1, 1)]
    counters.leave(asked, clock.now)
    assert [(demand.now_open, demand.tagged_open) for demand in (old, new)] == [(0, 0), (0, 0)]


def test_a_status_that_nobody_has_defined_counts_for_its_class() -> None:
    clock = Clock()
    counters = Counters(clock)
    counters.replace([revision()])
    for status in (200, 299, 404, 499, 503, 599, 600, 999, 0):
        ended = exchange()
        ended.assign(service(), revision(), tagged=False)
        counters.enter(ended, clock())
        ended.status = status
        counters.leave(ended, clock())
    counted = counters.revisions[revision().name].durations
    assert {status: each.count for status, each in counted.items()} == {200: 2, 404: 1, 400: 1, 503: 1, 500: 3, 0: 1}


def test_no_revision_has_more_than_so_many_durations_however_many_statuses_its_model_thinks_of() -> None:
    durations = RevisionCounters("a-1", 0.0).durations
    for status in range(200, 600):
        durations[status].observe(0.01)
    assert len(durations) == MOST_STATUSES + 3
    assert (durations[200].count, durations[300].count, durations[500].count) == (81, 100, 100)
    assert 503 not in durations
