"""Which of several processes that share a listening socket accepts the next client.

The kernel wakes them all, and whoever comes first gets it. So one that is ahead of the others steps back, and one that
is full leaves the rest to those who have room. Both are looked at with every client that comes, and told at once: in a
burst they take turns, a few clients each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

FRESH_SECONDS = 0.75
LEAD = 4  # connections by which one may be ahead of the one that has fewest
LEAD_SHARE = 8  # or an eighth of those


class Load(Protocol):
    """What is known of one process: its clients, how many it can take, and when that was heard (clock seconds)."""

    connections: int
    places: int
    heard: float


def neighbours(others: Collection[Load], now: float) -> tuple[int | None, bool]:
    """Return what a process is told of the others: the fewest connections that one of them has of which was heard just
    now (None = there is no such), and whether any has a free place, even if it has been silent for a moment."""
    fewest = min((other.connections for other in others if now - other.heard < FRESH_SECONDS), default=None)
    return fewest, any(other.connections < other.places for other in others)


def accepts(connections: int, places: int, fewest: int | None, *, room: bool) -> bool:
    """Tell whether a process with so many `connections` and `places` should accept more, by what it was told of its
    neighbours. When all are full it does, to say so."""
    if connections >= places:
        return not room
    return fewest is None or connections <= fewest + max(LEAD, fewest // LEAD_SHARE)
