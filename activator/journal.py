"""What the log tells of a running edge: each change of a number with its reason, each change of a replica's phase, and
starts that take long: one that hangs changes nothing until its deadline, which may be an hour away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.scalers.base import UNREADY, Phase
from activator.traffic import rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from activator.revision import Record, Revision
    from activator.rollouts import Told
    from activator.scalers.base import Replica, ReplicaSet


LATE = 60.0


class Journal:
    """Writes to `log`; remembers replicas as they were, so that each change is told once."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self.logs: Callable[[str], str] | None = None  # where those of a revision's replicas are
        self._replicas: dict[str, dict[str, Replica]] = {}
        self._failures: dict[str, str] = {}  # as they were told last
        self._late: dict[tuple[str, Phase], float] = {}  # the age at which such are told of next

    def changed(self, revision: Revision, before: ReplicaSet, record: Record) -> None:
        """Tell that another number of replicas is wanted; a warning when starts are given up."""
        tell = self._log.warning if record.outcome.gives_up else self._log.info
        tell(
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
        tell = self._log.warning if kind == rollout.Phase.ROLLED_BACK else self._log.info
        tell("canary", service=told.service, revision=told.revision, kind=kind, why=why, **numbers)

    def saw(self, replicas: ReplicaSet) -> None:
        """Tell of the replicas that are in another phase than before; a warning with what one died of, or why it is not
        ready any more."""
        current = {replica.name: replica for replica in replicas.replicas}
        known, failure = self._replicas.get(replicas.revision, {}), self._failures.get(replicas.revision, "")
        for name in known.keys() | current.keys():
            before, after = known.get(name), current.get(name)
            if before and after and before.phase is after.phase:
                continue
            message = after.message if after else _cause(before, replicas, failure)
            lost = before.phase is Phase.READY and after.phase is Phase.STARTING if before and after else message
            tell = self._log.warning if lost else self._log.info
            phase = str(after.phase) if after else "gone"
            where = {} if after else self._where(replicas.revision, name)
            tell("replica", revision=replicas.revision, replica=name, phase=phase, message=message or None, **where)
        if current:
            self._replicas[replicas.revision] = current
        else:
            self._replicas.pop(replicas.revision, None)
        if replicas.last_failure:
            self._failures[replicas.revision] = replicas.last_failure
        else:
            self._failures.pop(replicas.revision, None)

    def look(self, now: float) -> None:
        """Tell of revisions with replicas that are not ready at `now` (clock seconds): of the one that has been so for
        longest, after a minute, two, four and so on, with what is known of the cause."""
        waiting: dict[tuple[str, Phase], list[Replica]] = {}
        for revision, replicas in self._replicas.items():
            for each in replicas.values():
                if each.phase in UNREADY:
                    waiting.setdefault((revision, each.phase), []).append(each)
        self._late = {key: self._late.get(key, LATE) for key in waiting}
        for key, those in waiting.items():
            oldest = min(those, key=lambda each: each.since)
            if now - oldest.since >= self._late[key]:
                self._late[key] *= 2
                self._tell_late(key[0], oldest, len(those), round(now - oldest.since))

    def _tell_late(self, revision: str, oldest: Replica, count: int, seconds: int) -> None:
        told = {"revision": revision, "replica": oldest.name, "phase": str(oldest.phase), "replicas": count}
        told |= self._where(revision, oldest.name)
        self._log.warning("replica is not ready yet", **told, seconds=seconds, message=oldest.message or None)

    def _where(self, revision: str, replica: str) -> dict[str, str]:
        """Return the file in which a replica's last words are not the only ones, if there is one."""
        return {"log": f"{self.logs(revision)}/{replica}.log"} if self.logs else {}


def _cause(before: Replica | None, replicas: ReplicaSet, earlier: str) -> str:
    """Return what a replica that is gone died of, "" where it was to go, had not come to be, or nothing but the
    `earlier` failure of another one is known."""
    failure = replicas.last_failure
    if not before or before.phase is Phase.DRAINING or before.vacant:
        return ""
    return failure if failure != earlier or before.name in failure else ""
