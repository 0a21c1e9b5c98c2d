"""Decisions for recorded traffic: what `activator decide` prints, and the proof that they are Knative's.

A trace is an object with `id`, `spec`, `initial_ready`, `series` (the value measured in second t, null =
none) and `steps` (`[t, ready]`, what follows is ignored). A second's value is recorded before the decision at
that second. Averages are written with 9 decimals, whole ones without any; the decisions are made with all
digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from activator.kpa import checks
from activator.kpa.checks import INT32_MAX, field, number, truth, whole
from activator.kpa.decide import Decision, Observation, decide, initial_state
from activator.kpa.spec import Algorithm, Spec
from activator.kpa.window import LONGEST, Windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LARGEST = 1e15
_LATEST = 1e9
_ALGORITHMS = {
    "linear": Algorithm.LINEAR,
    "weighted": Algorithm.WEIGHTED,
    "weighted-exponential": Algorithm.WEIGHTED,
    "weightedExponential": Algorithm.WEIGHTED,
}


class _Step(NamedTuple):
    at: float
    ready: int


def replay(trace: Mapping[str, object]) -> dict[str, object]:
    """Return `{"id": ..., "steps": [...]}` with one row for each step of `trace`.

    A row is `[t, ready, valid, stable, panic, desired, excess_burst_capacity, panicking]`. ValueError if
    `trace` is not as above; its message names the place, the value and what would be right.
    """
    fields = checks.mapping(trace, "trace")
    spec = _spec(checks.mapping(field(fields, "spec", "trace"), "spec"))
    ready = whole(field(fields, "initial_ready", "trace"), "initial_ready", 0)
    series = checks.sequence(field(fields, "series", "trace"), "series")
    values = [_value(value, second) for second, value in enumerate(series)]
    steps = list(_steps(checks.sequence(field(fields, "steps", "trace"), "steps")))
    return {"id": field(fields, "id", "trace"), "steps": _rows(spec, ready, values, steps)}


def _rows(spec: Spec, initial_ready: int, values: Sequence[float | None], steps: Sequence[_Step]) -> list[list[object]]:
    windows, state = Windows(spec), initial_state(initial_ready, 0.0)
    rows, second = [], 0
    for at, ready in steps:
        while second < len(values) and second <= at:
            value = values[second]
            if value is not None:
                windows.record(second, value)
            second += 1
        stable, panic = windows.averages(at) or (None, None)
        state, made = decide(spec, state, Observation(ready, stable, panic), at)
        rows.append(_row(made))
    return rows


def _row(made: Decision) -> list[object]:
    return [
        made.at,
        made.ready,
        made.valid,
        _average(made.stable),
        _average(made.panic),
        made.desired,
        made.excess_burst_capacity,
        made.panicking,
    ]


def _average(value: float) -> float:
    rounded = round(value, 9)
    return int(rounded) if rounded.is_integer() else rounded


def _spec(given: Mapping[str, object]) -> Spec:
    def get(key: str, low: float, high: float) -> float:
        return number(field(given, key, "spec"), f"spec.{key}", low, high)

    return Spec(
        target=get("target_value", 1e-6, _LARGEST),
        total=get("total_value", 0, _LARGEST),
        max_scale_up_rate=get("max_scale_up_rate", 1, _LARGEST),
        max_scale_down_rate=get("max_scale_down_rate", 1, _LARGEST),
        target_burst_capacity=_burst(get("target_burst_capacity", -1, _LARGEST)),
        panic_threshold=get("panic_threshold", 0, _LARGEST),
        stable_window=get("stable_window_s", 1, LONGEST),
        panic_window=get("panic_window_s", 1, LONGEST),
        scale_down_delay=get("scale_down_delay_s", 0, LONGEST),
        activation_scale=whole(field(given, "activation_scale", "spec"), "spec.activation_scale", 0),
        reachable=truth(field(given, "reachable", "spec"), "spec.reachable"),
        algorithm=_algorithm(field(given, "algorithm", "spec")),
        tick=get("tick_s", 1e-3, LONGEST),
    )


def _burst(capacity: float) -> float:
    if -1 < capacity < 0:
        raise ValueError(f"spec.target_burst_capacity: expected -1, 0 or a positive number, got {capacity!r}")
    return capacity


def _algorithm(name: object) -> Algorithm:
    if not isinstance(name, str) or name not in _ALGORITHMS:
        raise ValueError(f"spec.algorithm: expected 'linear' or 'weighted', got {name!r}")
    return _ALGORITHMS[name]


def _value(value: object, second: int) -> float | None:
    return None if value is None else number(value, f"series[{second}]", 0, _LARGEST)


def _steps(rows: Sequence[object]) -> Iterator[_Step]:
    previous = 0.0
    for place, row in enumerate(rows):
        where = f"steps[{place}]"
        columns = checks.sequence(row, where)
        if len(columns) < 2:
            raise ValueError(f"{where}: expected [t, ready], got {len(columns)} values")
        at = number(columns[0], f"{where}: t", 0, _LATEST)
        if at < previous:
            raise ValueError(f"{where}: t {at!r} comes before {previous!r}; put the steps in order of time")
        previous = at
        yield _Step(at, whole(columns[1], f"{where}: ready", 0, INT32_MAX))
