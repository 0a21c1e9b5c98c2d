"""The GPUs, counted anew when nodes, pods or Deployments change: how many replicas they allow, and who has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.gpus import Holder, Machine, Need, rivals, room
from activator.kube.resources import labels_of, name_of
from activator.scalers.base import Phase
from activator.scalers.kubernetes.labels import selects
from activator.scalers.kubernetes.nodes import could_run, gpus_of, machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.kube.resources import Object
    from activator.kube.views import Views
    from activator.scalers.kubernetes.workload import Workload

SOON = 0.02


class Inventory:
    """Tells workloads what the GPUs allow. Changes that come together are counted once."""

    def __init__(self, views: Views, workloads: Mapping[str, Workload]) -> None:
        self._views = views
        self._workloads = workloads
        self._timer: asyncio.TimerHandle | None = None
        for store in (views.nodes, views.pods, views.deployments):
            store.subscribe(lambda _old, _new: self.look())

    def look(self) -> None:
        """Count soon."""
        if self._timer is None and self._workloads:
            self._timer = asyncio.get_running_loop().call_later(SOON, self._count)

    def close(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _count(self) -> None:
        self._timer = None
        templates = {name: self._template(name) for name in self._workloads}
        needing = {name: gpus for name, spec in templates.items() if (gpus := gpus_of(spec))}
        holders = self._holders(needing) if needing else []
        machines = [machine(node) for node in self._views.nodes.objects.values()] if needing else []
        for name, workload in list(self._workloads.items()):
            need = Need(name, needing.get(name, {}), self._nodes(templates[name]) if name in needing else frozenset())
            self._tell(workload, need, machines, holders)

    def _tell(self, workload: Workload, need: Need, machines: list[Machine], holders: list[Holder]) -> None:
        waits = workload.snapshot.count(Phase.PENDING) > 0
        workload.allow(
            room(need, machines, holders), rivals(need, machines, holders) if waits and need.gpus else frozenset()
        )

    def _template(self, name: str) -> Object:
        deployment = self._views.deployments.objects.get(name) or {}
        spec: Object = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
        return spec

    def _nodes(self, spec: Object) -> frozenset[str]:
        """Return where a pod could run and GPUs are."""
        nodes = self._views.nodes.objects.values()
        return frozenset(name_of(node) for node in nodes if machine(node).gpus and could_run(spec, node))

    def _holders(self, needing: Mapping[str, object]) -> list[Holder]:
        selectors = {
            name: (self._views.deployments.objects[name].get("spec") or {}).get("selector") or {} for name in needing
        }
        found = []
        for pod in self._views.pods.objects.values():
            spec = pod.get("spec") or {}
            over = (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}
            if spec.get("nodeName") and not over and (gpus := gpus_of(spec)):
                labels = labels_of(pod)
                owner = next((name for name, selector in selectors.items() if selects(selector, labels)), "")
                found.append(Holder(owner, str(spec["nodeName"]), gpus))
        return found
