"""Checks on data from outside: a trace that somebody typed, a state file that an older version wrote.

Each names the place, the value and what would be right, so that the message is enough to repair the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

INT32_MAX = (1 << 31) - 1


def mapping(value: object, where: str) -> Mapping[str, object]:
    """Return `value` if it is an object; ValueError otherwise."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected an object, got {_shown(value)}")
    return value


def field(data: Mapping[str, object], key: str, where: str) -> object:
    """Return `data[key]`; ValueError if it is missing."""
    if key not in data:
        raise ValueError(f"{where}: {key!r} is missing; add it")
    return data[key]


def sequence(value: object, where: str) -> Sequence[object]:
    """Return `value` if it is a list; ValueError otherwise."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: expected a list, got {_shown(value)}")
    return value


def number(value: object, where: str, low: float, high: float) -> float:
    """Return `value` if it is a number from `low` to `high`; ValueError otherwise. NaN and true are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{where}: expected a number from {low:.15g} to {high:.15g}, got {_shown(value)}")
    return value


def whole(value: object, where: str, low: int, high: int = INT32_MAX) -> int:
    """Return `value` as an integer from `low` to `high`; ValueError otherwise. 2.0 is whole, 2.5 is not."""
    found = number(value, where, low, high)
    if found != int(found):
        raise ValueError(f"{where}: expected a whole number from {low} to {high}, got {_shown(value)}")
    return int(found)


def truth(value: object, where: str) -> bool:
    """Return `value` if it is a boolean; ValueError otherwise."""
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = "that is nested too deep"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
