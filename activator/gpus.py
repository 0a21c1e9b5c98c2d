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
        self._pods: dict[str, Counter[str]] = {}
        self._held: dict[str, dict[str, Counter[str]]] = {}
        taken: dict[str, Counter[str]] = {}
        for holder in holders:
            self._pods.setdefault(holder.revision, Counter())[holder.node] += 1
            self._held.setdefault(holder.revision, {}).setdefault(holder.node, Counter()).update(holder.gpus)
            taken.setdefault(holder.node, Counter()).update(holder.gpus)
        self._free = {name: _less(each.gpus, taken.get(name, NOTHING)) for name, each in self._machines.items()}
        self._fits: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}

    def room(self, need: Need) -> int | None:
        """Return how many replicas of a revision there can be in all, those that run included; None = there is no
        bound: it needs no GPU, or no node matches (a pool that may grow from nothing)."""
        fitting = need.nodes & self._machines.keys()
        if not need.gpus or not fitting:
            return None
        own, fits = self._pods.get(need.revision, NOTHING), self._fitting(need.gpus)
        strange = sum(fits[node] for node in fitting if node not in own)
        return strange + sum(
            max(count, _times(need.gpus, self._without(node, need.revision)) if node in fitting else 0)
            for node, count in own.items()
        )

    def rivals(self, need: Need) -> frozenset[str]:
        """Return the revisions whose end would leave enough GPUs on one node for a replica more. Where no node is
        known, it is taken to be enough what they hold themselves."""
        if not need.gpus:
            return frozenset()
        others = [name for name in self._held if name not in {"", need.revision}]
        return frozenset(name for name in others if any(self._frees(need, name, node) for node in self._held[name]))

    def _frees(self, need: Need, revision: str, node: str) -> bool:
        if not self._machines:
            return _times(need.gpus, self._held[revision][node]) > 0
        known = node in need.nodes and node in self._machines
        return known and _times(need.gpus, self._without(node, revision)) > 0

    def _fitting(self, gpus: Mapping[str, int]) -> Mapping[str, int]:
        """Return by node how often a need fits into what is free now."""
        key = tuple(sorted(gpus.items()))
        if key not in self._fits:
            self._fits[key] = {node: _times(gpus, free) for node, free in self._free.items()}
        return self._fits[key]

    def _without(self, node: str, revision: str) -> Mapping[str, int]:
        """Return what would be free on a node without the pods of a revision."""
        own = self._held[revision][node]
        return {name: count + own[name] for name, count in self._free[node].items()}


def _less(gpus: Mapping[str, int], taken: Counter[str]) -> dict[str, int]:
    return {name: count - taken[name] for name, count in gpus.items()}


def _times(gpus: Mapping[str, int], free: Mapping[str, int]) -> int:
    """Return how often a need fits into what is free on one node."""
    return max(0, min(free.get(name, 0) // count for name, count in gpus.items()))
