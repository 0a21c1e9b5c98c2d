"""The other edges of a Deployment, from its pods: known also while the API server is away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from activator.settings.places import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from activator.kube.resources import Object
    from activator.kube.store import Store

PER_REPLICA_SET = frozenset(("pod-template-hash", "controller-revision-hash"))
ENDED = frozenset(("Succeeded", "Failed"))
GATED = "ReadinessGatesNotReady"  # why kubelet says that a pod is not ready whose containers are


class EdgePods:
    """Tells `on_change` the addresses of all pods that carry the labels of our own, which `POD_NAME` names."""

    def __init__(self, pods: Store, port: int, on_change: Callable[[Collection[str]], None]) -> None:
        self._pods = pods
        self._port = port
        self._on_change = on_change
        self._told: frozenset[str] | None = None
        self._own = os.environ.get("POD_NAME", "")
        pods.subscribe(lambda old, new: self._look() if self._concerns(old, new) else None)
        self._look()

    def _concerns(self, *pods: Object | None) -> bool:
        """Tell whether a change can be one of edges; most are of models."""
        labels = self._labels()
        return labels is None or any(pod is not None and _carries(pod, labels) for pod in pods)

    def _look(self) -> None:
        labels = self._labels()
        if labels is None:
            return
        names = frozenset(
            str(Address(pod["status"]["podIP"], self._port))
            for pod in self._pods.objects.values()
            if _carries(pod, labels) and _lives(pod)
        )
        if names != self._told:
            self._told = names
            self._on_change(names)

    def _labels(self) -> Mapping[str, str] | None:
        own = self._pods.objects.get(self._own)
        labels = own["metadata"].get("labels", {}) if own is not None else {}
        return {key: value for key, value in labels.items() if key not in PER_REPLICA_SET} or None


def _carries(pod: Object, labels: Mapping[str, str]) -> bool:
    carried: Mapping[str, str] = pod["metadata"].get("labels", {})
    return labels.items() <= carried.items()


def _lives(pod: Object) -> bool:
    """Tell whether a pod can be reached, as far as the API knows. One whose containers are ready while it is not was
    given up by the control plane, because its node is gone, unless it waits for a readiness gate, as of a load
    balancer."""
    status: Mapping[str, Any] = pod.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    ready, containers = (conditions.get(kind, {}) for kind in ("Ready", "ContainersReady"))
    given_up = ready.get("status") != "True" and containers.get("status") == "True" and ready.get("reason") != GATED
    return bool(status.get("podIP")) and status.get("phase") not in ENDED and not given_up
