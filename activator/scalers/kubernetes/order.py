"""Which pods a ReplicaSet would end next: its own order, so that the number is only lowered when that hits the right
ones.

The order is that of ActivePodsWithRanks (Kubernetes: pkg/controller/controller_utils.go), without the rank by node, of
which we know nothing: pods that are equal up to there are all said to be possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activator.scalers.kubernetes.pods import Pod


def may_go(pods: Iterable[Pod], count: int) -> set[str]:
    """Return the names of all pods that may be among the `count` which the ReplicaSet ends next."""
    if count <= 0:
        return set()
    active = sorted((pod for pod in pods if pod.active and not pod.ending), key=_rank)
    if count >= len(active):
        return {pod.name for pod in active}
    last = _rank(active[count - 1])
    return {pod.name for pod in active if _rank(pod) <= last}


def _rank(pod: Pod) -> tuple[bool, bool, bool, int]:
    """Return what a pod is judged by first: whether it has a node, runs, is ready, and what its end costs."""
    return bool(pod.node), pod.running, pod.ready, pod.cost
