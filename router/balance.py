"""Which replica takes the next request: one function a policy.

Each takes replicas by the requests that run there and returns an index, or -1 when none has room. Which applies when
follows Knative's `pkg/activator/net/lb_policy.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Loaded(Protocol):
    """A replica with a number of running requests."""

    running: int


PACKED_UP_TO = 3


def first_available(replicas: Sequence[Loaded], limit: int) -> int:
    """Return the first replica with room: load is packed, so that the last ones fall idle and can go."""
    for index, replica in enumerate(replicas):
        if replica.running < limit:
            return index
    return -1


def round_robin(replicas: Sequence[Loaded], limit: int, start: int) -> int:
    """Return the next replica with room, looking from `start` on."""
    size = len(replicas)
    for offset in range(size):
        index = (start + offset) % size
        if replicas[index].running < limit:
            return index
    return -1


def least_of_two(replicas: Sequence[Loaded], first: int, second: int) -> int:
    """Return the less loaded of two drawn replicas; `first` when they are equal."""
    return second if replicas[second].running < replicas[first].running else first


def pick(replicas: Sequence[Loaded], limit: int, turn: int) -> int:
    """Return the replica for the next request under `limit` requests each (0 = none).

    `turn` counts the requests: the round robin starts there, and it walks through all pairs of two different replicas.
    """
    size = len(replicas)
    if size == 0:
        return -1
    if limit == 0:
        first = turn % size
        return least_of_two(replicas, first, (first + 1 + turn // size % (size - 1)) % size) if size > 1 else 0
    if limit <= PACKED_UP_TO:
        return first_available(replicas, limit)
    return round_robin(replicas, limit, turn % size)
