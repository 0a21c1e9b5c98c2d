"""The log tells when requests are refused: at once, and ever more rarely while it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from activator import logs
from activator.refusals import MEANS, Refusals
from router.errors import STATUS, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def refusals() -> Refusals:
    return Refusals(logs.logger("edge"))


def told(refusals: Refusals, now: float, totals: Mapping[str, int], **revisions: Mapping[str, int]) -> list[Any]:
    with capture_logs() as lines:
        refusals.look(totals, revisions, now)
    return [(line["reason"], line["requests"], line["revisions"]) for line in lines]


def test_the_first_one_is_told_at_once_with_its_status_and_what_it_means(refusals: Refusals) -> None:
    with capture_logs() as lines:
        refusals.look({"queue_full": 8}, {"m-1": {"queue_full": 8}}, 1.0)
    assert lines == [
        {
            "component": "edge",
            "event": "requests were not answered by a replica",
            "log_level": "warning",
            "reason": "queue_full",
            "status": 503,
            "requests": 8,
            "revisions": ["m-1"],
            "means": MEANS[Reason.QUEUE_FULL],
        }
    ]


def test_while_it_lasts_it_is_told_ever_more_rarely_with_how_many_more_there_were(refusals: Refusals) -> None:
    lines = [(second, *told(refusals, float(second), {"start_failed": second + 1})) for second in range(1000)]
    assert [(line[0], line[1][1]) for line in lines if len(line) > 1] == [
        (0, 1),
        (60, 60),
        (180, 120),
        (420, 240),
        (900, 480),
    ]


def test_after_a_quiet_time_it_is_told_at_once_again(refusals: Refusals) -> None:
    told(refusals, 0.0, {"hold_timeout": 1})
    assert told(refusals, 59.0, {"hold_timeout": 2}) == []
    assert told(refusals, 60.0, {"hold_timeout": 2}) == [("hold_timeout", 1, [])]
    assert told(refusals, 1000.0, {"hold_timeout": 2}) == []
    assert told(refusals, 1001.0, {"hold_timeout": 3}) == [("hold_timeout", 1, [])]
    assert told(refusals, 1061.0, {"hold_timeout": 4}) == [("hold_timeout", 1, [])]


def test_the_revisions_that_had_most_of_them_since_are_named(refusals: Refusals) -> None:
    assert told(refusals, 0.0, {"queue_full": 3}, a={"queue_full": 3}, b={}) == [("queue_full", 3, ["a"])]
    many = {f"c-{number}": {"queue_full": number} for number in range(9)}
    totals = {"queue_full": 3 + 2 + sum(range(9))}
    names = ["c-8", "c-7", "c-6", "c-5", "c-4"]
    assert told(refusals, 99.0, totals, a={"queue_full": 3}, b={"queue_full": 2}, **many) == [("queue_full", 38, names)]


def test_counts_of_a_revision_that_left_are_not_told_again(refusals: Refusals) -> None:
    told(refusals, 0.0, {"queue_full": 3}, a={"queue_full": 3})
    assert told(refusals, 99.0, {"queue_full": 3}) == []
    assert told(refusals, 99.0, {"queue_full": 4}, a={"queue_full": 1}) == [("queue_full", 1, ["a"])], "it came anew"


def test_what_clients_do_wrong_is_not_told(refusals: Refusals) -> None:
    assert told(refusals, 0.0, dict.fromkeys(("bad_request", "unknown_host", "models", "request_timeout"), 9)) == []
    assert all(STATUS[reason] >= 500 or reason is Reason.TOO_MANY_FROM_SOURCE for reason in MEANS)
