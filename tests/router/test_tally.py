from __future__ import annotations

import pytest

from router.counters import Counters
from router.errors import Reason
from router.table import Revision
from router.tally import Tally, bucket
from tests.router.fakes import Clock, exchange, revision, service

NOW = 1000.0


def tally(
    status: int = 200, reason: str = "", dispatched: float = NOW, tagged: bool = False, end: float = 2.0
) -> Tally:
    ended = exchange(now=NOW - 60)
    ended.status, ended.reason, ended.dispatched, ended.tagged = status, reason, dispatched, tagged
    made = Tally()
    made.add(ended, NOW + end)
    return made


@pytest.mark.parametrize(
    ("status", "reason", "failed"),
    [
        (200, "", 0),
        (404, "", 0),
        (499, "", 0),
        (500, "", 1),
        (503, "", 1),
        (502, Reason.UPSTREAM_BROKE, 1),
        (200, Reason.UPSTREAM_BROKE, 1),
        (504, Reason.UPSTREAM_TIMEOUT, 1),
        (0, "client_left", 0),
        (200, "client_left", 0),
    ],
)
def test_what_a_replica_did_wrong_has_failed(status: int, reason: str, failed: int) -> None:
    made = tally(status, reason)
    assert (made.answered, made.failed) == (1, failed)


@pytest.mark.parametrize("reason", [Reason.QUEUE_FULL, Reason.HOLD_TIMEOUT, Reason.WAKE_LIMITED, "client_left"])
def test_what_never_reached_a_replica_tells_nothing(reason: str) -> None:
    assert tally(503, reason, dispatched=0.0).answered == 0


def test_a_start_that_failed_is_the_revisions_own_fault() -> None:
    made = tally(503, Reason.START_FAILED, dispatched=0.0)
    assert (made.answered, made.failed, made.durations) == (1, 1, {})


def test_a_duration_begins_with_the_dispatch_and_not_with_the_hold() -> None:
    assert tally(end=2.0).durations == {bucket(2.0): 1}


def test_a_websocket_has_no_duration() -> None:
    made = tally(101, end=3600.0)
    assert (made.answered, made.durations) == (1, {})


def test_requests_by_tag_are_not_compared() -> None:
    assert tally(500, tagged=True).answered == 0


def ended(tally: Tally, dispatched: float, status: int = 200) -> None:
    asked = exchange(now=dispatched)
    asked.dispatched, asked.status = dispatched, status
    tally.add(asked, dispatched + 30)


def test_only_requests_that_were_sent_since_the_comparison_began_count() -> None:
    made = Tally()
    made.begin(1, NOW)
    ended(made, NOW - 1)
    ended(made, NOW + 1)
    assert made.answered == 1
    made.begin(1, NOW + 5)
    ended(made, NOW + 2)
    assert made.answered == 2
    made.begin(2, NOW + 5)
    ended(made, NOW + 4)
    ended(made, NOW + 6)
    assert made.answered == 3


def test_a_start_that_failed_counts_by_when_it_was_asked_for() -> None:
    made = Tally()
    made.begin(1, NOW)
    for arrived in (NOW - 1, NOW + 1):
        asked = exchange(now=arrived)
        asked.status, asked.reason = 503, Reason.START_FAILED
        made.add(asked, NOW + 9)
    assert made.failed == 1


def test_only_revisions_that_are_compared_have_a_tally_and_it_outlives_a_new_table() -> None:
    clock = Clock()
    counters = Counters(clock)
    compared = Revision("a-2", "a", compared=1)
    counters.replace([revision("a-1"), compared])
    clock.now += 10
    asked = exchange()
    asked.assign(service(), compared, tagged=False)
    counters.enter(asked, clock.now)
    asked.status, asked.dispatched = 200, clock.now
    counters.leave(asked, clock.now + 1)
    counters.replace([revision("a-1"), compared])
    found = {name: each.tally for name, each in counters.revisions.items()}
    assert found["a-1"] is None
    assert found["a-2"] is not None
    assert (found["a-2"].answered, found["a-2"].since) == (1, 1000.0)
    counters.replace([revision("a-1"), Revision("a-2", "a", compared=2)])
    assert (found["a-2"].answered, found["a-2"].since) == (1, clock.now)
    counters.replace([revision("a-1"), revision("a-2")])
    assert counters.revisions["a-2"].tally is None
