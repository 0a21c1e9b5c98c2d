"""Replica-minutes, the basis of per-minute billing: how long replicas ran, and how much of that without a request.

A replica runs from the start of its process or container until its end, whatever it does meanwhile; it is idle while it
is ready and has no request. Time is added up per service, revision and UTC day.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from activator.kpa import checks

if TYPE_CHECKING:
    from collections.abc import Collection

VERSION = 1
FILE = "usage.json"
DAY = 86400
LONGEST = 1e15
KEPT_DAYS = 92


@dataclass(slots=True)
class Row:
    """Seconds that replicas of one revision ran on one day, and those of them that were idle."""

    running: float = 0.0
    idle: float = 0.0


class Ledger:
    """Usage of all revisions, by (day, service, revision), also of earlier runs; `day` is an ISO date in UTC."""

    def __init__(self) -> None:
        self._days: dict[str, dict[tuple[str, str], Row]] = {}
        self._dumped: dict[str, list[list[object]]] = {}  # days as they are saved: all but the last one stay so
        self._encoded: dict[str, bytes] = {}  # the same in JSON
        self._text: tuple[bytes, ...] = ()  # all of them, until something is added
        self._totals: dict[tuple[str, str], Row] = {}

    def add(self, names: tuple[str, str], counts: tuple[int, int], seconds: float, wall: float) -> None:
        """Add `seconds` before `wall` (Unix seconds) with `counts` = (running, idle) replicas of (service,
        revision)."""
        running, idle = counts
        if not running:
            return
        end, left = wall, seconds
        while left > 0:
            midnight = ceil(end / DAY - 1) * DAY
            part = min(left, end - midnight)
            self._add(_day(midnight), names, Row(running * part, idle * part))
            end, left = midnight, left - part
        _add(self._totals, names, Row(running * seconds, idle * seconds))

    def total(self, service: str, revision: str) -> Row:
        """Return what was added for a service's revision in this run, over all days."""
        return self._totals.get((service, revision), Row())

    def keep_totals(self, revisions: Collection[str]) -> None:
        """Forget the totals of all revisions but these."""
        self._totals = {key: row for key, row in self._totals.items() if key[1] in revisions}

    def table(self) -> list[dict[str, object]]:
        """Return the rows, oldest day first, with minutes as numbers."""
        return [
            {
                "day": day,
                "service": service,
                "revision": revision,
                "replica_minutes": round(row.running / 60, 3),
                "idle_replica_minutes": round(row.idle / 60, 3),
            }
            for day, rows in sorted(self._days.items())
            for (service, revision), row in sorted(rows.items())
        ]

    def dump(self, days: int = KEPT_DAYS) -> dict[str, Any]:
        """Return the rows of the last so many days that have any, in JSON's types."""
        return {"version": VERSION, "rows": [row for day in sorted(self._last(days)) for row in self._saved(day)]}

    def text(self) -> tuple[bytes, ...]:
        """Return what `dump` gives in JSON, in parts: the same tuple as before while nothing has changed."""
        if not self._text:
            days = [part for day in sorted(self._last(KEPT_DAYS)) for part in (b", ", self._json(day))]
            self._text = (b'{"version": %d, "rows": [' % VERSION, *days[1:], b"]}")
        return self._text

    def forget(self, days: int = KEPT_DAYS) -> None:
        """Drop all rows but those of the last so many days that have any, whatever day it is now: a clock that was
        ahead for a moment must not take all away. Totals stay."""
        for day in self._days.keys() - set(self._last(days)):
            del self._days[day]
            self._changed(day)

    def clear(self) -> None:
        """Drop all rows: somebody else has counted since; totals stay."""
        for day in self._days:
            self._changed(day)
        self._days.clear()

    def restore(self, data: object) -> None:
        """Add what `dump` gave in an earlier run; None = nothing. ValueError, and no change, when `data` is not like
        that."""
        if data is None:
            return
        fields = checks.mapping(data, "usage")
        if checks.field(fields, "version", "usage") != VERSION:
            raise ValueError(f"usage: version {fields['version']!r} is not {VERSION}")
        rows = [_row(each) for each in checks.sequence(checks.field(fields, "rows", "usage"), "usage.rows")]
        for (day, service, revision), row in rows:
            self._add(day, (service, revision), row)

    def _add(self, day: str, names: tuple[str, str], more: Row) -> None:
        _add(self._days.setdefault(day, {}), names, more)
        self._changed(day)

    def _changed(self, day: str) -> None:
        self._dumped.pop(day, None)
        self._encoded.pop(day, None)
        self._text = ()

    def _last(self, days: int) -> list[str]:
        return sorted(self._days, reverse=True)[:days]

    def _saved(self, day: str) -> list[list[object]]:
        """Return the rows of a day in JSON's types. A quarter of a year of many revisions takes a tenth of a second to
        make, every few seconds, while nobody is served."""
        if day not in self._dumped:
            self._dumped[day] = self._rows(day)
        return self._dumped[day]

    def _json(self, day: str) -> bytes:
        if day not in self._encoded:
            self._encoded[day] = json.dumps(self._rows(day))[1:-1].encode()
        return self._encoded[day]

    def _rows(self, day: str) -> list[list[object]]:
        return [[day, *names, row.running, row.idle] for names, row in sorted(self._days[day].items())]


def _add(rows: dict[tuple[str, str], Row], key: tuple[str, str], more: Row) -> None:
    row = rows.setdefault(key, Row())
    row.running += more.running
    row.idle += more.idle


def _row(data: object) -> tuple[tuple[str, str, str], Row]:
    columns = checks.sequence(data, "usage.rows")
    if len(columns) != 5:
        raise ValueError(f"usage.rows: expected day, service, revision and two numbers, got {len(columns)} values")
    day, service, revision = map(str, columns[:3])
    running, idle = (checks.number(column, "usage.rows", 0, LONGEST) for column in columns[3:])
    return (day, service, revision), Row(running, idle)


def _day(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).date().isoformat()
