"""The GPUs, counted anew when nodes, pods or Deployments change: how many replicas they allow, and who has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.gpus import Holder, Inventory, Need
from activator.kube.resources import labels_of, name_of
from activator.scalers.base import Phase
from activator.scalers.kubernetes.labels import selects
from activator.scalers.kubernetes.nodes import could_run, gpus_of, machine, wish_of

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
        self._wishes: dict[str, tuple[Object, str]] = {}
        self._places: dict[str, frozenset[str]] = {}
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

    def _saw_node(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _matters(old) != _matters(new):
            self._places.clear()
            self.look()

    def _count(self) -> None:
        self._timer = None
        self._not_before = asyncio.get_running_loop().time() + PAUSE
        specs = {name: self._spec(name) for name in self._workloads}
        needs = {
            name: Need(name, gpus, self._nodes(name, spec)) for name, spec in specs.items() if (gpus := gpus_of(spec))
        }
        self._wishes = {name: wish for name, wish in self._wishes.items() if name in needs}
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
        """Return where such a pod could run and GPUs are; found once for all that wish for the same."""
        known = self._wishes.get(name)
        if known is None or known[0] != spec:
            known = self._wishes[name] = (spec, wish_of(spec))
        if known[1] not in self._places:
            nodes = self._views.nodes.objects.values()
            found = (name_of(node) for node in nodes if machine(node).gpus and could_run(spec, node))
            self._places[known[1]] = frozenset(found)
        return self._places[known[1]]

    def _holders(self, names: Iterable[str]) -> list[Holder]:
        owners = Owners({name: self._views.deployments.objects[name]["spec"].get("selector") or {} for name in names})
        found = []
        for pod in self._views.pods.objects.values():
            spec = pod.get("spec") or {}
            over = (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}
            if spec.get("nodeName") and not over and (gpus := gpus_of(spec)):
                found.append(Holder(owners.of(labels_of(pod)), str(spec["nodeName"]), gpus))
        return found


class Owners:
    """Finds whose a pod is without trying every selector: by one label that each of them demands."""

    def __init__(self, selectors: Mapping[str, Object]) -> None:
        self._selectors = selectors
        self._by_label: dict[tuple[str, str] | None, list[str]] = {}
        for name, selector in selectors.items():
            demanded = next(iter((selector.get("matchLabels") or {}).items()), None)
            self._by_label.setdefault(demanded, []).append(name)

    def of(self, labels: Mapping[str, str]) -> str:
        """Return the name that goes with the first selector that selects `labels`, "" when none does."""
        for key in (*labels.items(), None):
            for name in self._by_label.get(key, ()):
                if selects(self._selectors[name], labels):
                    return name
        return ""


def _matters(node: Object) -> tuple[object, ...]:
    """Return what of a node says who can run there; the rest changes all the time."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return labels_of(node), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable")
