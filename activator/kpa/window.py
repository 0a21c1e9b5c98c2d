"""Averages over the last seconds: how much traffic there was lately, without keeping every request.

Both kinds are Knative's (pkg/autoscaler/aggregation: TimedFloat64Buckets and WeightedFloat64Buckets) with
buckets of one second, down to the order of the additions: a decision rounds up, so the last bit can be a
replica. Two of their habits surprise. Silence shortens the divisor, so an average does not decay while
nothing is recorded; and a hole between two records counts as zeros.
"""

from __future__ import annotations

from math import ceil, floor, modf
from typing import TYPE_CHECKING, Self

from activator.kpa import checks
from activator.kpa.spec import Algorithm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activator.kpa.spec import Spec

LONGEST = 86_400.0

_NEVER = -(1 << 62)
_LEAST_SMOOTHING = 0.2
_WEIGHT_LEFT_OUT = 0.0001
_HEAD = 256
_HALF_ULP = 2.0**-54


class Window:
    """The plain average over the last `window` seconds, rounded to 6 decimals."""

    __slots__ = ("_buckets", "_first", "_last", "_total", "window")

    def __init__(self, window: float) -> None:
        self._clear(window)

    def _clear(self, window: float) -> None:
        self.window = window
        self._buckets = [0.0] * ceil(window)
        self._total = 0.0
        self._first = _NEVER
        self._last = _NEVER

    def record(self, now: float, value: float) -> None:
        """Add `value` to the second of `now`. What is a window older than the newest record is ignored."""
        second = floor(now)
        gap = second - self._last
        if gap > 0:
            self._advance(second, gap)
        elif gap <= -self.window:
            return
        elif second < self._first:
            self._first = second
        self._buckets[second % len(self._buckets)] += value
        self._total += value

    def average(self, now: float) -> float:
        """Return the average per second; 0 when nothing was recorded for a whole window."""
        lag = floor(now) - self._last
        if lag >= self.window:
            return 0.0
        buckets, total, eligible = self._buckets, self._total, len(self._buckets)
        if lag > 0:
            for second in range(self._last + 1, self._last + lag + 1):
                total -= buckets[second % len(buckets)]
            eligible -= lag
        return _round6(total / min(self._last - self._first + 1, eligible))

    def is_empty(self, now: float) -> bool:
        """Tell whether nothing was recorded for longer than the window."""
        return floor(now) - self._last > self.window

    def resize(self, window: float, now: float) -> None:
        """Change the length to `window` seconds and keep what fits; what is stale by now is forgotten.

        As in Knative the whole old window then counts as recorded, even if it was not yet full.
        """
        if window == self.window:
            return
        last, kept = self._last, [] if self.is_empty(now) else self._newest()
        self._clear(window)
        self._fill(kept[: len(self._buckets)], last)

    def dump(self, now: float) -> dict[str, object]:
        """Return the contents in JSON's types: `values` newest first, `age` in whole seconds."""
        filled = 0 if self.is_empty(now) else min(self._last - self._first + 1, len(self._buckets))
        return {
            "window": self.window,
            "age": floor(now) - self._last if filled else 0,
            "values": self._newest()[:filled],
        }

    @classmethod
    def load(cls, data: object, now: float) -> Self:
        """Return what `dump` gave, as if no time had passed since; ValueError if `data` is not like that."""
        fields = checks.mapping(data, "window")
        window = cls(checks.number(checks.field(fields, "window", "window"), "window.window", 1, LONGEST))
        age = checks.whole(checks.field(fields, "age", "window"), "window.age", 0)
        values = checks.sequence(checks.field(fields, "values", "window"), "window.values")
        if len(values) > ceil(window.window):
            raise ValueError(f"window.values: expected at most {ceil(window.window)} values, got {len(values)}")
        window._fill([checks.number(value, "window.values", -1e18, 1e18) for value in values], floor(now) - age)
        return window

    def _advance(self, second: int, gap: int) -> None:
        if gap >= self.window:
            self._clear(self.window)
            self._first = second
        else:
            buckets = self._buckets
            for passed in range(self._last + 1, second + 1):
                index = passed % len(buckets)
                self._total -= buckets[index]
                buckets[index] = 0.0
        self._last = second

    def _fill(self, newest: Iterable[float], last: int) -> None:
        for age, value in enumerate(newest):
            self._last, self._first = last, last - age
            self._buckets[self._first % len(self._buckets)] = value
            self._total += value

    def _newest(self) -> list[float]:
        at = self._last % len(self._buckets)
        return self._buckets[at::-1] + self._buckets[:at:-1]


class WeightedWindow(Window):
    """An average in which each second weighs a fifth less than the next, or even less. It is not rounded.

    Past the newest 256 seconds the weights are so small that values are only added where they could change a bit.
    """

    __slots__ = ()

    @property
    def smoothing(self) -> float:
        """The newest second's weight: a full window covers 99.99 % of all weights, but it is at least 0.2."""
        uncovered: float = _WEIGHT_LEFT_OUT ** (1 / ceil(self.window))
        return max(1 - uncovered, _LEAST_SMOOTHING)

    def average(self, now: float) -> float:
        """Return the weighted average per second; 0 when nothing was recorded for longer than the window."""
        lag = max(floor(now) - self._last, 0)
        if lag > self.window:
            return 0.0
        smoothing, values = self.smoothing, self._newest()
        values = values[: len(values) - lag]
        weight, decay = smoothing * (1 - smoothing) ** lag, 1 - smoothing
        average = 0.0
        for value in values[:_HEAD]:
            average += value * weight
            weight *= decay
        rest = values[_HEAD:]
        if rest and max(rest) * weight >= average * _HALF_ULP:
            for value in rest:
                average += value * weight
                weight *= decay
        return average


class Windows:
    """A revision's two averages: the stable one, and the shorter one that notices a burst."""

    __slots__ = ("panic", "stable")

    def __init__(self, spec: Spec) -> None:
        kind = _kind(spec)
        self.stable: Window = kind(spec.stable_window)
        self.panic: Window = kind(spec.panic_window)

    def record(self, now: float, value: float) -> None:
        """Add what was measured in the second that ends at `now`; several values in one second add up."""
        self.stable.record(now, value)
        self.panic.record(now, value)

    def averages(self, now: float) -> tuple[float, float] | None:
        """Return the stable and the panic average; None if a whole stable window passed without a record."""
        if self.stable.is_empty(now):
            return None
        return self.stable.average(now), self.panic.average(now)

    def configure(self, spec: Spec, now: float) -> None:
        """Follow a changed `spec` and keep what was recorded."""
        kind = _kind(spec)
        if type(self.stable) is not kind:
            self.stable, self.panic = (
                kind.load(self.stable.dump(now), now),
                kind.load(self.panic.dump(now), now),
            )
        self.stable.resize(spec.stable_window, now)
        self.panic.resize(spec.panic_window, now)

    def dump(self, now: float) -> dict[str, object]:
        """Return the contents in JSON's types, with ages relative to `now` in seconds."""
        return {"stable": self.stable.dump(now), "panic": self.panic.dump(now)}

    @classmethod
    def load(cls, spec: Spec, data: object, now: float) -> Self:
        """Return what `dump` gave, as if no time had passed since; ValueError if `data` is not like that."""
        fields = checks.mapping(data, "windows")
        windows = cls(spec)
        windows.stable = _kind(spec).load(checks.field(fields, "stable", "windows"), now)
        windows.panic = _kind(spec).load(checks.field(fields, "panic", "windows"), now)
        windows.configure(spec, now)
        return windows


def _kind(spec: Spec) -> type[Window]:
    return WeightedWindow if spec.algorithm is Algorithm.WEIGHTED else Window


def _round6(value: float) -> float:
    fraction, whole = modf(value * 1e6)
    if fraction >= 0.5:
        whole += 1
    elif fraction <= -0.5:
        whole -= 1
    return whole / 1e6
