"""The scale-down delay: what was wanted lately still counts, so a short lull takes no replica away.

Knative's sliding maximum (pkg/autoscaler/aggregation/max) as an immutable value. Time is cut into buckets of
one tick. Only maxima that can still matter are kept: buckets ascend and wanted replicas descend, so the first
is the largest. A bucket is forgotten when something is recorded, not by the passing of time.

Unlike Knative, whose tick is always 2 s, a tick need not be whole seconds.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple


class Maximum(NamedTuple):
    """The most replicas wanted in one bucket."""

    bucket: int
    replicas: int


Maxima = tuple[Maximum, ...]


def size(delay: float, tick: float) -> int:
    """Return how many buckets of one `tick` cover `delay` (both in seconds)."""
    return ceil(_nanoseconds(delay) / _nanoseconds(tick))


def bucket(now: float, tick: float) -> int:
    """Return the number of the bucket that `now` falls into."""
    return _nanoseconds(now) // _nanoseconds(tick)


def record(maxima: Maxima, wanted: Maximum, buckets: int) -> Maxima:
    """Return `maxima` with `wanted`, without what is out of date or smaller. One bucket keeps its largest."""
    kept = tuple(old for old in maxima if old.replicas > wanted.replicas and wanted.bucket - old.bucket < buckets)
    if kept and kept[-1].bucket == wanted.bucket:
        return kept
    return (*kept, wanted)


def largest(maxima: Maxima) -> int:
    """Return the most replicas wanted lately. `maxima` is not empty after a `record`."""
    return maxima[0].replicas


def until(maxima: Maxima, delay: float, tick: float) -> float:
    """Return from when on (clock seconds) a `record` forgets the largest of `maxima`, which is not empty."""
    return (maxima[0].bucket + size(delay, tick)) * tick


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
