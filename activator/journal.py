"""What the log tells of a running edge: each change of a number with its reason, each change of a replica's phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.traffic.rollout import Phase

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from activator.revision import Record, Revision
    from activator.rollouts import Told
    from activator.scalers.base import ReplicaSet


class Journal:
    """Writes to `log`; remembers the phases of replicas, so that each change is told once."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._phases: dict[str, dict[str, tuple[str, str]]] = {}

    def changed(self, revision: Revision, before: ReplicaSet, record: Record) -> None:
        """Tell that another number of replicas is wanted."""
        self._log.info(
            "scale",
            service=revision.plan.service,
            revision=revision.plan.name,
            replicas=record.outcome.replicas,
            before=before.desired,
            why=record.sentence,
        )

    def moved(self, told: Told) -> None:
        """Tell what happened to a rollout; a warning when its canary was taken out."""
        kind, why, numbers = told.event
        tell = self._log.warning if kind == Phase.ROLLED_BACK else self._log.info
        tell("canary", service=told.service, revision=told.revision, kind=kind, why=why, **numbers)

    def saw(self, replicas: ReplicaSet) -> None:
        """Tell of the replicas that are in another phase than before."""
        current = {replica.name: (str(replica.phase), replica.message) for replica in replicas.replicas}
        known = self._phases.get(replicas.revision, {})
        for name in known.keys() | current.keys():
            if known.get(name, ("",))[0] != current.get(name, ("",))[0]:
                self._log.info(
                    "replica",
                    revision=replicas.revision,
                    replica=name,
                    phase=current[name][0] if name in current else "gone",
                    message=(current[name][1] if name in current else replicas.last_failure) or None,
                )
        self._phases[replicas.revision] = current
