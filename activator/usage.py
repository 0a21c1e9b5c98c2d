"""Replica-minutes, the basis of per-minute billing: how long replicas ran, and how much of that without a request.

A replica runs from the start of its process or container until its end, whatever it does meanwhile; it is idle while it
is ready and has no request. Time is added up per service, revision and UTC day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE = "usage.json"


@dataclass(slots=True)
class Row:
    """Seconds that replicas of one revision ran on one day, and those of them that were idle."""

    running: float = 0.0
    idle: float = 0.0


class Ledger:
    """Usage of all revisions, by (day, service, revision); `day` is an ISO date in UTC."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}

    def add(self, names: tuple[str, str], counts: tuple[int, int], seconds: float, wall: float) -> None:
        """Add `seconds` before `wall` (Unix seconds) with `counts` = (running, idle) replicas of (service,
        revision)."""
        running, idle = counts
        if not running:
            return
        midnight = wall - wall % 86400
        today = min(seconds, wall - midnight)
        for end, part in ((wall, today), (midnight - 1, seconds - today)):
            if part > 0:
                row = self.rows.setdefault((_day(end), *names), Row())
                row.running += running * part
                row.idle += idle * part

    def total(self, revision: str) -> Row:
        """Return the sum over all days."""
        rows = [row for (_, _, name), row in self.rows.items() if name == revision]
        return Row(sum(row.running for row in rows), sum(row.idle for row in rows))

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
            for (day, service, revision), row in sorted(self.rows.items())
        ]

    def dump(self) -> dict[str, Any]:
        """Return the rows in JSON's types."""
        return {"version": 1, "rows": [[*key, row.running, row.idle] for key, row in sorted(self.rows.items())]}

    @classmethod
    def load(cls, data: Mapping[str, Any] | None) -> Ledger:
        """Return what `dump` gave. ValueError when `data` is not like that."""
        ledger = cls()
        try:
            rows: Iterable[Any] = data["rows"] if data is not None else ()
            for day, service, revision, running, idle in rows:
                ledger.rows[str(day), str(service), str(revision)] = Row(float(running), float(idle))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a usage ledger: {error!r}") from error
        return ledger


def _day(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).date().isoformat()
