"""How what was measured is told."""

from __future__ import annotations

from statistics import median, quantiles


def spread(milliseconds: list[float]) -> str:
    """Return a sentence's worth of a distribution."""
    if len(milliseconds) < 2:
        return "too few to say"
    high = quantiles(milliseconds, n=10)[-1]
    return f"median {median(milliseconds):.1f} ms, p90 {high:.1f} ms, most {max(milliseconds):.1f} ms"
