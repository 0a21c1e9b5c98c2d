"""The GPUs, counted anew when nodes, pods or Deployments change: how many replicas they allow, and who has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.gpus import Holder, Inventory, Need
from activator.kube.resources import labels_of, name_of
from activator.scalers.base import Phase
from activator.scalers.kubernetes.labels import selects
from activator.scalers.kubernetes.nodes import could_run, gpus_of, machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from activator.kube.resources import Object
    from activator.kube.views import Views
    from activator.scalers.kubernetes.workload import Workload

SOON = 0.02
PAUSE = 0.25  # between two counts: a hundred services on a hundred nodes take some 20 ms


class Bookkeeper:
    """Tells workloads what the GPUs allow. Changes that come together are counted once."""

    def __init__(self, views: Views, workloads: Mapping[str, Workload]) -> None:
        self._views = views
        self._workloads = workloads
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._places: dict[str, tuple[Object, frozenset[str]]] = {}
        views.nodes.subscribe(self._saw_node)
        for store in (views.pods, views.deployments):
            store.subscribe(lambda _old, _new: self.look())

    def look(self) -> None:
        """Count soon."""
        if self._timer is None and self._workloads:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + SOON, self._not_before), self._count)

    def close(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _saw_node(self, _old: Object | None, _new: Object | None) -> None:
        self._places.clear()
        self.look()

    def _count(self) -> None:
        self._timer = None
        self._not_before = asyncio.get_running_loop().time() + PAUSE
        specs = {name: self._spec(name) for name in self._workloads}
        needs = {
            name: Need(name, gpus, self._nodes(name, spec)) for name, spec in specs.items() if (gpus := gpus_of(spec))
        }
        machines = map(machine, self._views.nodes.objects.values())
        inventory = Inventory(machines, self._holders(needs) if needs else ())
        for name, workload in list(self._workloads.items()):
            need = needs.get(name, Need(name, {}, frozenset()))
            waits = workload.snapshot.count(Phase.PENDING) > 0
            workload.allow(inventory.room(need), inventory.rivals(need) if waits else frozenset())

    def _spec(self, name: str) -> Object:
        """Return what the pods of a Deployment are to be."""
        deployment = self._views.deployments.objects.get(name) or {}
        spec: Object = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
        return spec

    def _nodes(self, name: str, spec: Object) -> frozenset[str]:
        """Return where such a pod could run and GPUs are."""
        known = self._places.get(name)
        if known is None or known[0] != spec:
            nodes = self._views.nodes.objects.values()
            found = frozenset(name_of(node) for node in nodes if machine(node).gpus and could_run(spec, node))
            known = self._places[name] = (spec, found)
        return known[1]

    def _holders(self, names: Iterable[str]) -> list[Holder]:
        deployments = self._views.deployments.objects
        selectors = {name: (deployments[name].get("spec") or {}).get("selector") or {} for name in names}
        found = []
        for pod in self._views.pods.objects.values():
            spec = pod.get("spec") or {}
            over = (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}
            if spec.get("nodeName") and not over and (gpus := gpus_of(spec)):
                labels = labels_of(pod)
                owner = next((name for name, selector in selectors.items() if selects(selector, labels)), "")
                found.append(Holder(owner, str(spec["nodeName"]), gpus))
        return found
