"""What an edge on Kubernetes has beside its scaler: models that are Deployments, other edges, and Events.

One of several edges leads: it decides how many replicas there are. The others count, route, and wake what sleeps. Who
begins to lead takes over what its predecessor knew; until then, and while nobody leads, nothing is scaled down.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from activator import rollout_events
from activator.catalog.changes import Changes
from activator.catalog.kserve.adopt import InferenceServices, called, name_in, others
from activator.catalog.kserve.objects import KIND
from activator.catalog.merge import Deployments
from activator.insight import ClusterFacts
from activator.kube.denials import Denials
from activator.kube.events import NORMAL, WARNING, Recorder, Report
from activator.kube.lease import Election
from activator.kube.permissions import NAME, STATE
from activator.kube.resources import INFERENCE_SERVICES, version_of
from activator.kube.saved import ConfigMap
from activator.shared_savings import GOOD_DEPLOYMENTS, GOOD_SERVICES, Good, SharedSavings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from activator.catalog.merge import Merged
    from activator.kube.client import Client
    from activator.kube.resources import Object
    from activator.kube.store import Store
    from activator.loop import Loop
    from activator.revision import Record, Revision
    from activator.rollouts import Rollouts, Told
    from activator.scalers.base import ReplicaSet
    from activator.settings.problems import Problem
    from activator.settings.schema import Settings
    from activator.usage import Ledger
    from router.tasks import Tasks


class Cluster:
    """Follows `deployments`, and stands for election, through `client`; `parts` are what a leader knows. `others` read
    facts that other parts know. `services` are InferenceServices, if they are wanted."""

    def __init__(
        self,
        client: Client,
        deployments: Store,
        parts: tuple[Loop, Ledger, Rollouts],
        log: FilteringBoundLogger,
        *,
        services: Store | None = None,
    ) -> None:
        instance = os.environ.get("POD_NAME") or socket.gethostname()
        client.on_end = Denials(log).heard
        self.recorder = Recorder(client, instance, time.monotonic, client.wall)
        self.election = Election(client, NAME, f"{instance}_{uuid.uuid4()}", wall=client.wall)
        self._catalog = Deployments()
        self._adopting = InferenceServices()
        good: dict[str, Good] = {GOOD_DEPLOYMENTS: self._catalog, GOOD_SERVICES: self._adopting}
        known = (*parts, good)
        self.savings = SharedSavings(ConfigMap(client, STATE), known, self.election.leads, client.wall, log)
        self.election.on_change = self._lead_changed
        self.election.on_trouble = lambda problem: log.warning("lease cannot be held", lease=NAME, problem=problem)
        self.changes = Changes(deployments, services=services)
        self.savings.on_taken_over = self.changes.again
        self.problems: Mapping[str, tuple[Problem, ...]] = {}
        self.others: Mapping[str, Callable[[], Any]] = {}
        self._client = client
        self._deployments = deployments
        self._services = services
        self._left: Mapping[str, tuple[Problem, ...]] = {}
        self._log = log
        if services is not None:
            services.on_state(self._services_unknown)

    def leads(self) -> bool:
        """Tell whether this edge decides, now."""
        return self.savings.taken_over and self.election.leads()

    def start(self, tasks: Tasks) -> None:
        """Stand for election from now on, until `tasks` are closed."""
        tasks.spawn(self.election.run(), "lease")
        tasks.spawn(self.savings.keep(), "shared state")
        tasks.spawn(self.recorder.run(), "events")

    async def hand_over(self) -> None:
        """Save what this edge knows and let another one lead at once."""
        await self.savings.save()
        await self.election.release()
        self.savings.let_go()

    async def merge(self, settings: Settings) -> Settings:
        """Return `settings` with the services of the Deployments as they are now, and tell of what is wrong with them.
        To be called by one at a time."""
        labelled, deployments = self.changes.present(), list(self._deployments.objects.values())
        services = []
        if self._services is not None:
            labelled, services = others(labelled), list(self._services.objects.values())
        adopted = await asyncio.to_thread(self._adopting.adopt, services, deployments, settings.manifests)
        merged = await asyncio.to_thread(self._catalog.merge, settings, [*labelled, *adopted.deployments])
        self._tell(adopted.told(merged))
        self._tell_left(adopted.left)
        return merged.settings

    def changed(self, revision: Revision, before: ReplicaSet, record: Record) -> None:
        """Tell a Deployment that another number of its replicas is wanted, and why. Several edges wake it at once, and
        only one of them by its write: who sees the same Deployment tells the same."""
        about = self._deployments.objects.get(revision.plan.name)
        number = record.outcome.replicas
        if about is not None:
            reason = "ScaledUp" if number > before.desired else "ScaledDown" if number else "ScaledToZero"
            step = f"{before.desired} -> {number}"
            key = f"{version_of(about)} {step}"
            kind = WARNING if record.outcome.gives_up else NORMAL
            self.recorder.tell(Report(about, kind, "Scale", reason, f"{step}: {record.sentence}", once=True, key=key))

    def moved(self, told: Told) -> None:
        """Tell a canary's Deployment what has happened to it."""
        if (about := self._deployments.objects.get(told.revision)) is not None:
            self.recorder.tell(rollout_events.report(told, about))

    def hindered(self, revision: str, sentence: str) -> None:
        """Tell a Deployment what keeps its replicas from being scaled, and what to do."""
        self._log.warning("scaling hindered", deployment=revision, problem=sentence)
        if (about := self._deployments.objects.get(revision)) is not None:
            self.recorder.tell(Report(about, WARNING, "Scale", "ScalingHindered", sentence, once=True))

    def refused(self, about: Object, problems: Sequence[object]) -> None:
        """Tell of a configuration in a ConfigMap that is not in force."""
        note = "; ".join(map(str, problems))
        self.recorder.tell(Report(about, WARNING, "Configure", "ConfigurationRefused", note, once=True))

    def facts(self) -> ClusterFacts:
        """Return what metrics tell."""
        calls: Counter[tuple[str, str, int]] = Counter()
        for call, count in self._client.calls.items():
            calls[call.verb, call.resource, call.status] += count
        problems = {name: len(problems) for name, problems in self.problems.items()}
        facts = ClusterFacts(self.leads(), problems, calls, self.recorder.withheld, self.recorder.lost)
        return replace(facts, **{name: read() for name, read in self.others.items()})

    def _lead_changed(self, leads: bool) -> None:
        if not leads:  # another one may lead before we do again
            self.savings.let_go()
            self._log.info("leading no more", lease=NAME)

    def _tell(self, merged: Merged) -> None:
        """Tell each Deployment once what is wrong with it, and once that all is well again."""
        before, self.problems = self.problems, merged.problems
        for name in before.keys() | merged.problems.keys():
            problems, about = merged.problems.get(name, ()), self._about(name)
            if about is None or problems == before.get(name, ()):
                continue
            if not problems:
                self.recorder.tell(
                    Report(about, NORMAL, "Configure", "ConfigurationAccepted", "All of it is in force.")
                )
                continue
            note = "; ".join(map(str, problems))
            reason = "ConfigurationRefused" if name in merged.refused else "ConfigurationDoubtful"
            self.recorder.tell(Report(about, WARNING, "Configure", reason, note, once=True))
            self._log.warning("deployment", deployment=name, refused=name in merged.refused, problems=note)
            if name in merged.refused:
                self.savings.hurry()

    def _tell_left(self, left: Mapping[str, tuple[Problem, ...]]) -> None:
        """Tell each InferenceService that is not ours once why, and what would make it ours."""
        before, self._left = self._left, left
        for name, problems in left.items():
            about = self._about(called(name))
            if about is not None and problems != before.get(name, ()):
                note = "; ".join(map(str, problems))
                self.recorder.tell(Report(about, WARNING, "Configure", "LeftAlone", note, once=True))
                self._log.warning("inference service left alone", service=name, problems=note)

    def _about(self, name: str) -> Object | None:
        """Return the object that problems at a place are told to."""
        service = name_in(name)
        if not service or self._services is None:
            return self._deployments.objects.get(name)
        item = self._services.objects.get(service)
        return item and {**item, "apiVersion": INFERENCE_SERVICES.version, "kind": KIND}

    def _services_unknown(self) -> None:
        if self._services is not None and self._services.refused:
            self._log.warning(
                "InferenceServices cannot be read", problem=self._services.trouble, needs="overlays/kserve"
            )
