"""The Kubernetes scaler: one Deployment a revision. Nothing of it is changed but its number of replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.kube.client import FIELD_MANAGER
from activator.kube.resources import name_of
from activator.scalers.base import Listener, ReplicaSet, ReplicaSpec
from activator.scalers.kubernetes.api import ClientApi
from activator.scalers.kubernetes.bookkeeper import Bookkeeper
from activator.scalers.kubernetes.workload import Around, Workload
from activator.scalers.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.kube.resources import Object
    from activator.kube.views import Views
    from activator.scalers.base import Routing
    from activator.scalers.kubernetes.api import Api
    from activator.scalers.kubernetes.member import Ask
    from router.tasks import Tasks


class KubernetesScaler:
    """A Scaler (see base) over watches of Deployments and pods.

    Replicas outlive it: what is no longer declared, and all that runs when it is closed, is let go as it is.
    `leads` tells whether it is ours to scale; from 0 to 1 always is. `on_hindrance` hears, by revision, what keeps us
    from scaling and needs someone to mend it. `api` and `ask` are others in tests.
    """

    def __init__(
        self,
        views: Views,
        routing: Routing,
        tasks: Tasks,
        *,
        clock: Callable[[], float],
        api: Api | None = None,
        ask: Ask = probe,
    ) -> None:
        self.leads: Callable[[], bool] = lambda: True
        self.on_hindrance: Callable[[str, str], None] | None = None
        self.workloads: dict[str, Workload] = {}
        self._deployments, self._pods = views.deployments, views.pods
        place = (views.client.namespace, FIELD_MANAGER)
        api = api or ClientApi(views.client)
        self._around = Around(*place, routing, api, tasks, clock, self._publish, self._leads, self._hinder, ask)
        self._listeners: list[Listener] = []
        self._bookkeeper = Bookkeeper(views, self.workloads)
        self._deployments.subscribe(self._saw_deployment)
        self._pods.subscribe(self._saw_pod)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every new snapshot, in the loop turn in which it comes about."""
        self._listeners.append(listener)

    def declare(self, specs: Mapping[str, ReplicaSpec]) -> None:
        """Replace the known revisions whole. A revision no longer named is let go, its Deployment stays as it is."""
        for revision in list(self.workloads):
            if revision not in specs:
                self.workloads.pop(revision).close()
        for revision, spec in specs.items():
            if revision in self.workloads:
                self.workloads[revision].declare(spec)
            else:
                workload = self.workloads[revision] = Workload(revision, spec, self._around)
                if (item := self._deployments.objects.get(revision)) is not None:
                    workload.saw_deployment(item, self._pods.objects.values())
                elif self._deployments.synced:
                    workload.saw_deployment(None, ())

        self._bookkeeper.look()

    def replicas(self, revision: str) -> ReplicaSet:
        """Return the present snapshot of `revision` (an empty one when it is unknown)."""
        workload = self.workloads.get(revision)
        return workload.snapshot if workload else ReplicaSet(revision)

    def scale(self, revision: str, replicas: int) -> None:
        """Ask for `replicas` >= 0 of `revision` and return at once; the write is under way in this loop turn.
        ValueError for an unknown revision or a negative number."""
        if revision not in self.workloads:
            raise ValueError(f"unknown revision {revision!r}")
        if replicas < 0:
            raise ValueError(f"cannot have {replicas} replicas of {revision!r}")
        self.workloads[revision].scale(replicas)

    def corrections(self) -> dict[str, int]:
        """Return by revision how often another writer's number of replicas was corrected."""
        return {name: workload.writer.conflicts for name, workload in self.workloads.items()}

    def held(self) -> dict[str, bool]:
        """Return by revision whether another writer has its way."""
        return {name: bool(workload.writer.held) for name, workload in self.workloads.items()}

    async def close(self, *, drain: float) -> None:  # noqa: ARG002 - nothing is ended, so nothing is drained
        """Let go of all Deployments: they stay as they are."""
        self.declare({})
        self._bookkeeper.close()

    def _saw_deployment(self, old: Object | None, new: Object | None) -> None:
        item = new if new is not None else old
        if item is not None and (workload := self.workloads.get(name_of(item))) is not None:
            workload.saw_deployment(new, self._pods.objects.values())

    def _saw_pod(self, old: Object | None, new: Object | None) -> None:
        for workload in list(self.workloads.values()):
            workload.saw_pod(old, new)

    def _leads(self) -> bool:
        return self.leads()

    def _hinder(self, revision: str, sentence: str) -> None:
        if self.on_hindrance is not None:
            self.on_hindrance(revision, sentence)

    def _publish(self, snapshot: ReplicaSet) -> None:
        self._bookkeeper.look()
        for listener in self._listeners:
            if self.replicas(snapshot.revision) is not snapshot and snapshot.revision in self.workloads:
                return  # a listener called for more, and has already told everyone a newer one
            listener(snapshot)
