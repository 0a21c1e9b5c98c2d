"""How many replicas the GPUs of matching nodes allow, and which other revisions hold what one more replica needs.

Pure arithmetic over what is known: nodes where RBAC lets us read them, and the pods of one namespace. Others' pods may
hold GPUs that are counted here as free, so a bound found here is never too low, and may be too high.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GPUS = ("nvidia.com/gpu", "amd.com/gpu")
PARTS = "nvidia.com/mig-"


def is_gpu(resource: str) -> bool:
    """Tell whether an extended resource is a GPU, or a part of one."""
    return resource in GPUS or resource.startswith(PARTS)


@dataclass(frozen=True, slots=True)
class Machine:
    """A node: its allocatable GPUs by resource."""

    name: str
    gpus: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Holder:
    """A pod on a node, with the GPUs it holds. `revision` is "" for a pod of none that is known here."""

    revision: str
    node: str
    gpus: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Need:
    """What one replica of a revision needs, and the names of the nodes where it could run."""

    revision: str
    gpus: Mapping[str, int]
    nodes: frozenset[str]


def room(need: Need, machines: Iterable[Machine], holders: Iterable[Holder]) -> int | None:
    """Return how many replicas of a revision there can be in all, those that run included; None = there is no bound:
    it needs no GPU, or no node matches (a pool that may grow from nothing)."""
    fitting = [machine for machine in machines if machine.name in need.nodes]
    if not need.gpus or not fitting:
        return None
    held = list(holders)
    others = [holder for holder in held if holder.revision != need.revision]
    own = Counter(holder.node for holder in held if holder.revision == need.revision)
    more = {machine.name: _times(need, _free(machine, others)) for machine in fitting}
    return sum(max(own[node], more.get(node, 0)) for node in own.keys() | more.keys())


def rivals(need: Need, machines: Iterable[Machine], holders: Iterable[Holder]) -> frozenset[str]:
    """Return the revisions whose end would leave enough GPUs on one node for a replica more. Where no node is known, it
    is taken to be enough what they hold themselves."""
    if not need.gpus:
        return frozenset()
    known = {machine.name: machine for machine in machines}
    held = list(holders)
    found = set()
    for revision, node in {(holder.revision, holder.node) for holder in held}:
        machine = known.get(node)
        if not revision or revision == need.revision or (known and (machine is None or node not in need.nodes)):
            continue
        there = [holder for holder in held if holder.node == node]
        if machine is None:
            free: Mapping[str, int] = _sum(holder for holder in there if holder.revision == revision)
        else:
            free = _free(machine, [holder for holder in there if holder.revision != revision])
        if _times(need, free):
            found.add(revision)
    return frozenset(found)


def _free(machine: Machine, holders: Iterable[Holder]) -> Mapping[str, int]:
    taken = _sum(holder for holder in holders if holder.node == machine.name)
    return {resource: count - taken.get(resource, 0) for resource, count in machine.gpus.items()}


def _sum(holders: Iterable[Holder]) -> dict[str, int]:
    total: dict[str, int] = {}
    for holder in holders:
        for resource, count in holder.gpus.items():
            total[resource] = total.get(resource, 0) + count
    return total


def _times(need: Need, free: Mapping[str, int]) -> int:
    """Return how often a need fits into what is free on one node."""
    return max(0, min(free.get(resource, 0) // count for resource, count in need.gpus.items()))
