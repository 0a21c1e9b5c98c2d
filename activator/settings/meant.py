"""The value that was meant, where one can be told: `1d` is 24h to Kubernetes' people, `64M` is 64MB, `100%` is 100.

A guess is only offered, never taken. "" = there is none.
"""

from __future__ import annotations

import re

from activator.settings import durations

_SECONDS = {
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
}
_SIZES = {unit.lower(): unit for unit in durations.BYTES} | {"k": "kB", "m": "MB", "g": "GB", "t": "TB"}
_PART = re.compile(r"([0-9]{1,9}(?:[.,][0-9]{1,9})?)\s*([A-Za-z]+)\s*", re.ASCII)
_LONGEST = 64
_FLAGS = {**dict.fromkeys(("yes", "y", "on", "1"), "true"), **dict.fromkeys(("no", "n", "off", "0"), "false")}
_URL = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#\s]+)(\S*)", re.IGNORECASE)


def duration(value: object) -> str:
    """Return the Go duration for `1d`, `30 min`, `10 seconds`, `1,5h`, and the text `10`, as annotations have it."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return f"{value}s"
    total = 0.0
    for number, unit in _parts(value):
        if unit.lower() not in _SECONDS:
            return ""
        total += float(number) * _SECONDS[unit.lower()]
    return durations.format_duration(total) if 0 < total <= durations.LONGEST else ""


def size(value: object) -> str:
    """Return the size for `64M`, `64mb`, `1 g`: as in Kubernetes, only a unit with an i is one of powers of two."""
    parts = _parts(value)
    if len(parts) != 1:
        return ""
    number, unit = parts[0]
    found = _SIZES.get(unit.lower().removesuffix("s")) or _SIZES.get(unit.lower().removesuffix("ytes"), "")
    return f"{number}{found}" if found else ""


def number(value: object) -> str:
    """Return the number for `70%`, and for `60s` where only seconds can be meant."""
    text = value.strip() if isinstance(value, str) and len(value) <= _LONGEST else ""
    bare = text.removesuffix("%").removesuffix("s").rstrip()
    return bare if bare != text and re.fullmatch(r"[0-9]+(\.[0-9]+)?", bare) else ""


def flag(value: object) -> str:
    """Return the flag for what YAML 1.1 and people take for one."""
    return _FLAGS.get(str(value).lower(), "")


def of_url(value: str) -> tuple[str, str]:
    """Return host with port, and path, of a URL where only one of them belongs; ("", "") if it is none."""
    found = _URL.fullmatch(value) if len(value) <= 2 * _LONGEST else None
    return (found[1].rpartition("@")[2], found[2]) if found else ("", "")


def _parts(value: object) -> list[tuple[str, str]]:
    """Return the numbers and units of a text that consists of nothing else."""
    text = value.strip() if isinstance(value, str) and len(value) <= _LONGEST else ""
    found = [(each[1].replace(",", "."), each[2]) for each in _PART.finditer(text)]
    return found if "".join(each[0] for each in _PART.finditer(text)) == text else []
