"""Durations, sizes and numbers within their bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from activator.settings import durations, meant
from activator.settings.rules import RefusedError, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INT32 = 2**31 - 1
PERCENT = 100
LARGEST = 1e15
"""Of numbers with a fraction: what is made of them and of numbers of replicas stays finite."""


@dataclass(frozen=True)
class Duration(Rule):
    """Seconds from a Go duration, `low` to `high` (without `low` if `above`); `whole` = whole seconds."""

    low: float = 0.0
    high: float = math.inf
    whole: bool = False
    above: bool = False

    @property
    def allowed(self) -> str:
        """Return the range in words."""
        return _range(self, durations.format_duration) + (", whole seconds" if self.whole else "")

    def read(self, value: object) -> float:
        """Return seconds."""
        if value == 0 and not isinstance(value, bool):
            value = "0"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise RefusedError("needs a unit", self.offer(f"{value:.15g}s") if _finite(value) else "")
        try:
            seconds = durations.parse_duration(value) if isinstance(value, str) else None
        except ValueError:
            seconds = None
        if seconds is None:
            raise RefusedError("must be a duration such as 10s, 1m30s or 0s", self.offer(meant.duration(value)))
        if self.whole and seconds % 1:
            raise RefusedError("must be whole seconds")
        return float(_within(self, seconds))

    def write(self, value: float) -> str:
        """Return a Go duration."""
        return durations.format_duration(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {
            "type": ["string", "integer"],
            "pattern": durations.DURATION_PATTERN,
            "minimum": 0,
            "maximum": 0,
        }


@dataclass(frozen=True)
class Size(Rule):
    """Bytes from a number with a unit, at least `low`."""

    low: int = 0
    high: int = durations.LARGEST
    above: bool = False

    @property
    def allowed(self) -> str:
        """Return the range in words."""
        return f"{durations.format_size(self.low)} or more"

    def read(self, value: object) -> int:
        """Return bytes."""
        try:
            size = None if isinstance(value, bool) else durations.parse_size(str(value))
        except ValueError:
            size = None
        if size is None:
            raise RefusedError("must be a size such as 64MiB, 1GiB or a number of bytes", self.offer(meant.size(value)))
        return int(_within(self, size))

    def write(self, value: int) -> str:
        """Return a number with a unit."""
        return durations.format_size(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": ["string", "integer"], "pattern": durations.SIZE_PATTERN, "minimum": self.low}


@dataclass(frozen=True)
class Whole(Rule):
    """A whole number between `low` and `high`."""

    low: int = 0
    high: int = INT32
    above: bool = False

    @property
    def allowed(self) -> str:
        """Return the range in words."""
        return f"{self.low} or more" if self.high == INT32 else _range(self, str)

    def read(self, value: object) -> int:
        """Return the number."""
        if isinstance(value, str):
            read = _number(value, int)
            value = value if read is None else read
        elif isinstance(value, float) and value.is_integer():
            value = int(value)  # 1e3
        if not isinstance(value, int) or isinstance(value, bool):
            raise RefusedError("must be a whole number", self.offer(meant.number(value)))
        return int(_within(self, value))

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Number(Rule):
    """A number between `low` and `high` (without `low` if `above`), or `other`."""

    low: float = 0.0
    high: float = LARGEST
    above: bool = False
    other: float | None = None

    @property
    def allowed(self) -> str:
        """Return the range in words."""
        return _range(self, "{:g}".format) + (f", or {self.other:g}" if self.other is not None else "")

    def read(self, value: object) -> float:
        """Return the number."""
        if isinstance(value, str):
            read = _number(value, float)
            value = value if read is None else read
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not _finite(value):
            raise RefusedError("must be a number", self.offer(meant.number(value)))
        number = float(value)
        return number if number == self.other else float(_within(self, number))

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        least = "exclusiveMinimum" if self.above else "minimum"
        low: dict[str, object] = {"type": "number", least: self.low, "maximum": self.high}
        return low if self.other is None else {"type": "number", "anyOf": [low, {"const": self.other}]}


def _within(rule: Duration | Size | Whole | Number, value: float) -> Any:
    if value < rule.low or (rule.above and value == rule.low):
        meant_percent = rule.high == PERCENT and rule.low <= value * 100 <= rule.high
        raise RefusedError("is too small", f"{value * 100:g}" if meant_percent else "")
    if value > rule.high:
        unsaid = rule.high in {INT32, LARGEST, durations.LARGEST}  # by `allowed`
        raise RefusedError(f"is more than {rule.high:.16g}" if unsaid else "is too large")
    return value


def _range(rule: Duration | Whole | Number, write: Callable[[Any], str]) -> str:
    low, high = write(rule.low), "" if rule.high in (LARGEST, math.inf) else write(rule.high)
    if rule.above:
        return f"more than {low}" + (f", at most {high}" if high else "")
    return f"{low} to {high}" if high else f"{low} or more"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _number(text: str, kind: type[int] | type[float]) -> float | None:
    try:
        return kind(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
