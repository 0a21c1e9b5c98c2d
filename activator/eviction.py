"""Whose GPU a held request may have: of the services that allow it, the one that has been idle for longest.

Never a busy one, never one that is kept by min-scale, and none before it has had its least time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Standing:
    """A revision that holds a GPU someone else needs. Times are clock seconds; `desired` is what was last asked for,
    `min_scale` what its bounds want in any case, `open` its requests, `awake_since` when it became ready after it was
    at zero (None = it has not)."""

    name: str
    evictable: bool
    min_scale: int
    min_residency: float
    desired: int
    open: int
    awake_since: float | None
    idle_since: float | None


def choose(standings: Iterable[Standing], now: float) -> str | None:
    """Return the revision to put to zero; None when none may be."""
    able = [each for each in standings if _may_go(each, now)]
    return min(able, key=_idle_since).name if able else None


def _may_go(each: Standing, now: float) -> bool:
    if not each.evictable or each.min_scale or not each.desired or each.open or each.awake_since is None:
        return False
    return now - each.awake_since >= each.min_residency


def _idle_since(each: Standing) -> tuple[float, str]:
    return max(each.idle_since or 0.0, each.awake_since or 0.0), each.name
