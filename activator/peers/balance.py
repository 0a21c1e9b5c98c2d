"""Which of several processes that share a listening socket accepts the next client.

The kernel wakes them all, and whoever comes first gets it. So one that is ahead of the others steps back, and one that
is full leaves the rest to those who have room. Both are looked at with every client that comes, and told at once: in a
burst they take turns, a few clients each.
"""

from __future__ import annotations

LEAD = 4  # connections by which one may be ahead of the one that has fewest
LEAD_SHARE = 8  # or an eighth of those


def accepts(connections: int, places: int, fewest: int | None, *, room: bool) -> bool:
    """Tell whether a process with so many `connections` and `places` should accept more. `fewest` is what the least
    loaded of the others has (None = there is no other), `room` whether one of them has a free place."""
    if fewest is None:
        return True
    if connections >= places:
        return not room
    return connections <= fewest + max(LEAD, fewest // LEAD_SHARE)
