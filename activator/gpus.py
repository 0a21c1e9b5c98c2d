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
NOTHING: Counter[str] = Counter()


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


class Inventory:
    """The GPUs of all machines, and who holds them, at one moment."""

    def __init__(self, machines: Iterable[Machine], holders: Iterable[Holder]) -> None:
        self._machines = {machine.name: machine for machine in machines}
        self._pods: Counter[tuple[str, str]] = Counter()
        self._held: dict[tuple[str, str], Counter[str]] = {}
        self._taken: dict[str, Counter[str]] = {}
        for holder in holders:
            self._pods[holder.revision, holder.node] += 1
            self._held.setdefault((holder.revision, holder.node), Counter()).update(holder.gpus)
            self._taken.setdefault(holder.node, Counter()).update(holder.gpus)

    def room(self, need: Need) -> int | None:
        """Return how many replicas of a revision there can be in all, those that run included; None = there is no
        bound: it needs no GPU, or no node matches (a pool that may grow from nothing)."""
        fitting = need.nodes & self._machines.keys()
        if not need.gpus or not fitting:
            return None
        own = {node: count for (revision, node), count in self._pods.items() if revision == need.revision}
        more = {node: _times(need, self._free(node, need.revision)) for node in fitting}
        return sum(max(own.get(node, 0), more.get(node, 0)) for node in own.keys() | more.keys())

    def rivals(self, need: Need) -> frozenset[str]:
        """Return the revisions whose end would leave enough GPUs on one node for a replica more. Where no node is
        known, it is taken to be enough what they hold themselves."""
        if not need.gpus:
            return frozenset()
        others = [(revision, node) for revision, node in self._held if revision not in {"", need.revision}]
        if not self._machines:
            return frozenset(revision for revision, node in others if _times(need, self._held[revision, node]))
        return frozenset(
            revision
            for revision, node in others
            if node in need.nodes and node in self._machines and _times(need, self._free(node, revision))
        )

    def _free(self, node: str, without: str) -> Mapping[str, int]:
        """Return what would be free on a node `without` the pods of one revision."""
        taken, own = self._taken.get(node, NOTHING), self._held.get((without, node), NOTHING)
        return {name: count - taken[name] + own[name] for name, count in self._machines[node].gpus.items()}


def _times(need: Need, free: Mapping[str, int]) -> int:
    """Return how often a need fits into what is free on one node."""
    return max(0, min(free.get(resource, 0) // count for resource, count in need.gpus.items()))
