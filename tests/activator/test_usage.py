from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.usage import DAY, Ledger, Row

NAMES = ("m", "m-1")
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def minutes(ledger: Ledger) -> dict[object, tuple[object, object]]:
    return {row["day"]: (row["replica_minutes"], row["idle_replica_minutes"]) for row in ledger.table()}


def test_running_and_idle_replicas_are_added_up() -> None:
    ledger = Ledger()
    for second in range(60):
        ledger.add(NAMES, (3, 1), 1.0, MIDNIGHT + 3600 + second)
    assert ledger.table() == [
        {
            "day": "2026-03-01",
            "service": "m",
            "revision": "m-1",
            "replica_minutes": 3.0,
            "idle_replica_minutes": 1.0,
        }
    ]


def test_a_revision_without_replicas_has_no_row() -> None:
    ledger = Ledger()
    ledger.add(NAMES, (0, 0), 1.0, MIDNIGHT)
    assert ledger.table() == []


def test_a_period_over_midnight_in_utc_is_split() -> None:
    ledger = Ledger()
    ledger.add(NAMES, (1, 1), 180.0, MIDNIGHT + 60)
    assert minutes(ledger) == {"2026-02-28": (2.0, 2.0), "2026-03-01": (1.0, 1.0)}


def test_a_period_that_ends_at_midnight_belongs_to_the_day_before() -> None:
    ledger = Ledger()
    ledger.add(NAMES, (1, 0), 60.0, MIDNIGHT)
    assert minutes(ledger) == {"2026-02-28": (1.0, 0.0)}


def test_a_period_of_several_days_fills_each() -> None:
    ledger = Ledger()
    ledger.add(NAMES, (1, 0), 2.0 * DAY + 60, MIDNIGHT + 30)
    assert minutes(ledger) == {
        "2026-02-26": (0.5, 0.0),
        "2026-02-27": (1440.0, 0.0),
        "2026-02-28": (1440.0, 0.0),
        "2026-03-01": (0.5, 0.0),
    }


def test_the_total_of_a_revision_is_over_all_days() -> None:
    ledger = Ledger()
    ledger.add(NAMES, (2, 1), 100.0, MIDNIGHT + 50)
    ledger.add(("m", "m-2"), (5, 0), 10.0, MIDNIGHT + 50)
    assert ledger.total("m", "m-1") == Row(200.0, 100.0)
    assert ledger.total("m", "nobody") == Row()


def test_rows_are_in_order_of_day_service_and_revision() -> None:
    ledger = Ledger()
    for names, wall in ((("z", "z-1"), MIDNIGHT + 9), (("a", "a-2"), MIDNIGHT + 9), (("z", "z-1"), MIDNIGHT - 9)):
        ledger.add(names, (1, 0), 1.0, wall)
    assert [(row["day"], row["revision"]) for row in ledger.table()] == [
        ("2026-02-28", "z-1"),
        ("2026-03-01", "a-2"),
        ("2026-03-01", "z-1"),
    ]


def test_a_ledger_survives_a_restart_and_goes_on() -> None:
    ledger, after = Ledger(), Ledger()
    ledger.add(NAMES, (2, 1), 90.0, MIDNIGHT + 60)
    after.restore(json.loads(json.dumps(ledger.dump())))
    assert after.dump() == ledger.dump()
    after.add(NAMES, (2, 1), 30.0, MIDNIGHT + 90)
    assert minutes(after)["2026-03-01"] == (3.0, 1.5)


def test_the_total_is_what_was_counted_in_this_run_and_never_jumps_or_falls() -> None:
    ledger, earlier = Ledger(), Ledger()
    earlier.add(NAMES, (5, 0), 9 * DAY, MIDNIGHT)
    ledger.add(NAMES, (2, 1), 30.0, MIDNIGHT)
    ledger.clear()
    ledger.restore(earlier.dump())
    assert ledger.total("m", "m-1") == Row(60.0, 30.0)
    assert ledger.dump() == earlier.dump()


def test_days_that_are_over_are_saved_as_they_were_before_and_are_not_made_anew() -> None:
    ledger = Ledger()
    ledger.add(NAMES, (1, 0), 60.0, MIDNIGHT - 9)
    ledger.add(NAMES, (1, 0), 9.0, MIDNIGHT + 9)
    over, today = ledger.dump()["rows"]
    ledger.add(NAMES, (1, 0), 1.0, MIDNIGHT + 10)
    rows = ledger.dump()["rows"]
    assert rows[0] is over
    assert (today[-2:], rows[1][-2:]) == ([9.0, 0.0], [10.0, 0.0])
    ledger.add(NAMES, (1, 1), 1.0, MIDNIGHT - 9)
    assert ledger.dump()["rows"][0] == ["2026-02-28", "m", "m-1", 61.0, 1.0]
    ledger.clear()
    assert ledger.dump()["rows"] == []


def test_the_text_of_a_ledger_is_what_it_dumps_and_is_made_anew_only_where_something_was_added() -> None:
    ledger = Ledger()
    assert json.loads(b"".join(ledger.text())) == ledger.dump()
    ledger.add(NAMES, (1, 0), 60.0, MIDNIGHT - 9)
    ledger.add(NAMES, (1, 0), 9.0, MIDNIGHT + 9)
    before = ledger.text()
    ledger.forget()
    assert ledger.text() is before
    ledger.add(("m", "m-\udc80"), (1, 0), 1.0, MIDNIGHT + 10)
    after = ledger.text()
    assert b"".join(after) == json.dumps(ledger.dump()).encode()
    assert after[1] is before[1]
    ledger.forget(1)
    assert b"".join(ledger.text()) == json.dumps(ledger.dump()).encode()
    ledger.clear()
    assert json.loads(b"".join(ledger.text())) == ledger.dump()


def test_nothing_saved_is_nothing_restored() -> None:
    ledger = Ledger()
    ledger.restore(None)
    assert ledger.table() == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "expected an object"),
        ({"rows": []}, "version"),
        ({"version": 2, "rows": []}, "version 2 is not 1"),
        ({"version": 1}, "rows"),
        ({"version": 1, "rows": [["2026-03-01", "m", "m-1", 1.0]]}, "got 4 values"),
        ({"version": 1, "rows": [["2026-03-01", "m", "m-1", 1.0, -1.0]]}, "usage.rows"),
        ({"version": 1, "rows": [["2026-03-01", "m", "m-1", 1.0, 0.0], 7]}, "expected a list"),
    ],
)
def test_what_is_no_ledger_is_refused_as_a_whole(data: object, words: str) -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match=words):
        ledger.restore(data)
    assert ledger.table() == []


@given(st.lists(st.tuples(st.floats(0.001, 300_000), st.integers(1, 5), st.floats(0, 1e6))))
def test_no_second_is_lost_or_counted_twice(periods: list[tuple[float, int, float]]) -> None:
    ledger = Ledger()
    for seconds, running, offset in periods:
        ledger.add(NAMES, (running, 0), seconds, MIDNIGHT + offset)
    spent = sum(seconds * running for seconds, running, _ in periods)
    assert ledger.total("m", "m-1").running == pytest.approx(spent)
    rows = ledger.dump()["rows"]
    assert sum(row[3] for row in rows) == pytest.approx(spent)
