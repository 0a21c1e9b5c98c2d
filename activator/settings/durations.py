"""Times and sizes as people write them. Kubernetes and Knative files say `1m30s` and `64Mi`; so do ours.

Durations are those of Go's time.ParseDuration: numbers with units (`1.5h`, `20ms`, `1h30m`), or `0`.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

NANOSECONDS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ns": 1,
}
BYTES = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
LONGEST = (2**63 - 1) / 10**9
LARGEST = 2**63 - 1

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PARTS = rf"0|(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+"
DURATION_PATTERN = rf"^(?:{_PARTS})$"
SIZE_PATTERN = rf"^{_NUMBER} ?(?:[KMGT]i|[KMGT]iB|[kMGT]B|B)?$"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"[-+]?(?:{_PARTS})", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)", re.ASCII)
_MAX_LENGTH = 64


def parse_duration(text: str) -> float:
    """Return seconds for a Go duration, to the nanosecond. ValueError for anything else, or beyond 292 years."""
    if len(text) > _MAX_LENGTH or not _DURATION.fullmatch(text):
        raise ValueError("not a duration")
    nanoseconds = sum(Decimal(number) * NANOSECONDS[unit] for number, unit in _PART.findall(text))
    seconds = int(nanoseconds) / 10**9
    if seconds > LONGEST:
        raise ValueError("too long")
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """Return the shortest Go duration for `seconds`, to the nanosecond: `2m`, `1m30s`, `20ms`, `0s`."""
    rest = int((Decimal(repr(abs(float(seconds)))) * 10**9).to_integral_value(ROUND_HALF_EVEN))
    if rest == 0:
        return "0s"
    sign = "-" if seconds < 0 else ""
    if rest < NANOSECONDS["s"]:
        unit = next(unit for unit in ("ms", "us", "ns") if rest >= NANOSECONDS[unit])
        return f"{sign}{_decimal(rest, NANOSECONDS[unit])}{unit}"
    hours, rest = divmod(rest, NANOSECONDS["h"])
    minutes, rest = divmod(rest, NANOSECONDS["m"])
    parts = (
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{_decimal(rest, NANOSECONDS['s'])}s" if rest else "",
    )
    return sign + "".join(parts)


def parse_size(text: str) -> int:
    """Return bytes for a number with a unit (`64MiB`, `1.5Gi`, `10MB`, `4096`). ValueError for anything else."""
    found = _SIZE.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None or found[2] not in BYTES:
        raise ValueError("not a size")
    size = Fraction(Decimal(found[1])) * BYTES[found[2]]
    if size.denominator != 1 or size > LARGEST:
        raise ValueError("not a whole number of bytes")
    return int(size)


def format_size(size: int) -> str:
    """Return bytes in the largest binary unit that needs no fraction: `64MiB`, `1000B`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return f"{size}B"


def _decimal(amount: int, unit: int) -> str:
    text = f"{Decimal(amount) / unit:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
