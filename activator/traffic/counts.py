"""What two revisions answered: counts of one period, and those of the recent past that they are added up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from activator.kpa import checks
from router.tally import LAST, bound

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 1e9


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests that ended: how many, how many of them failed, and how many took how long, by `tally.bucket`."""

    answered: int = 0
    failed: int = 0
    durations: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        durations = self.durations
        if other.durations:
            durations = Counter(durations)
            durations.update(other.durations)
        return Counts(self.answered + other.answered, self.failed + other.failed, durations)

    @property
    def timed(self) -> int:
        """How many of the requests have a duration."""
        return sum(self.durations.values())

    def slower(self, number: int) -> int:
        """Return how many took longer than bucket `number`."""
        return sum(count for key, count in self.durations.items() if key > number)

    def quantile(self, part: float) -> int | None:
        """Return the least bucket that `part` of the requests did not exceed; None without any."""
        below, needed = 0, part * self.timed
        for key in sorted(self.durations):
            below += self.durations[key]
            if below >= needed:
                return key
        return None

    @property
    def p95(self) -> float | None:
        """The 95th percentile of the durations, in seconds, rounded up to a bucket's bound."""
        found = self.quantile(0.95)
        return None if found is None else bound(found)

    def dump(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        durations = {str(key): count for key, count in self.durations.items()}
        return {"answered": self.answered, "failed": self.failed, "durations": durations}

    @classmethod
    def load(cls, data: object, where: str) -> Counts:
        """Return what `dump` gave. ValueError when `data` is not like that."""
        fields = checks.mapping(data, where)
        answered = checks.whole(checks.field(fields, "answered", where), f"{where}.answered", 0)
        failed = checks.whole(checks.field(fields, "failed", where), f"{where}.failed", 0, answered)
        durations = checks.mapping(checks.field(fields, "durations", where), f"{where}.durations")
        counts = {_bucket(key, where): checks.whole(value, f"{where}.durations", 0) for key, value in durations.items()}
        return cls(answered, failed, counts)


@dataclass(frozen=True, slots=True)
class Recent:
    """Counts of the last one to two windows. They are let go by the window, and only for as many newer ones as `least`
    requests, so that a revision that no longer gets any is remembered as it was."""

    older: Counts = Counts()
    newer: Counts = Counts()
    age: float = 0.0

    @property
    def all(self) -> Counts:
        """What is remembered."""
        return self.older + self.newer

    @property
    def answered(self) -> int:
        """How many requests are remembered."""
        return self.older.answered + self.newer.answered

    def add(self, counts: Counts, seconds: float, window: float, least: int) -> Recent:
        """Return it with the counts of one more period of `seconds`."""
        if self.age >= window and self.newer.answered >= least:
            return Recent(self.newer, counts, seconds)
        newer = self.newer + counts if counts.answered else self.newer
        return replace(self, newer=newer, age=self.age + seconds)

    def dump(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {"older": self.older.dump(), "newer": self.newer.dump(), "age": self.age}

    @classmethod
    def load(cls, data: object, where: str) -> Recent:
        """Return what `dump` gave. ValueError when `data` is not like that."""
        fields = checks.mapping(data, where)
        older = Counts.load(checks.field(fields, "older", where), f"{where}.older")
        newer = Counts.load(checks.field(fields, "newer", where), f"{where}.newer")
        return cls(older, newer, checks.number(checks.field(fields, "age", where), f"{where}.age", 0, LONGEST))


def _bucket(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > LAST:
        raise ValueError(f"{where}.durations: {text!r} is no bucket")
    return int(text)
