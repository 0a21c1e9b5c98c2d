"""The last replica of each revision that died while it served, seen in the scaler's snapshots: another one takes its
place at once, or the kubelet starts it again, and then nothing shows that requests were lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from activator.scalers.base import Phase

if TYPE_CHECKING:
    from collections.abc import Collection

    from activator.scalers.base import ReplicaSet

TOLD_SECONDS = 3600.0


class Death(NamedTuple):
    """When a replica was gone (clock seconds), and what is known of the cause."""

    at: float
    message: str


@dataclass(slots=True)
class Deaths:
    """Fed with every snapshot."""

    _last: dict[str, Death] = field(default_factory=dict)
    _served: dict[str, set[str]] = field(default_factory=dict)  # replicas that have been ready, and are not to go
    _failures: dict[str, str] = field(default_factory=dict)  # as they were told last

    def see(self, replicas: ReplicaSet, now: float) -> None:
        """Take a snapshot."""
        there = {each.name for each in replicas.replicas}
        served, failure = self._served.pop(replicas.revision, set()), replicas.last_failure
        before, self._failures[replicas.revision] = self._failures.get(replicas.revision, ""), failure
        starting = {each.name for each in replicas.replicas if each.phase is Phase.STARTING}
        again = {name for name in served & starting if failure != before and name in failure}
        gone = {name for name in served - there if failure != before or name in failure}
        if (gone or again) and failure:
            self._last[replicas.revision] = Death(now, failure)
        elif (death := self._last.get(replicas.revision)) and death.message == before and failure.startswith(before):
            self._last[replicas.revision] = death._replace(message=failure)  # its last words are known by now
        served -= again
        ready = {each.name for each in replicas.replicas if each.phase is Phase.READY}
        draining = {each.name for each in replicas.replicas if each.phase is Phase.DRAINING}
        if kept := (served & there | ready) - draining:
            self._served[replicas.revision] = kept

    def keep(self, revisions: Collection[str]) -> None:
        """Forget all revisions but these."""
        self._last = {name: death for name, death in self._last.items() if name in revisions}
        self._served = {name: served for name, served in self._served.items() if name in revisions}
        self._failures = {name: failure for name, failure in self._failures.items() if name in revisions}

    def last(self, revision: str, now: float) -> Death | None:
        """Return the last one of a revision, if it is not longer ago than an hour."""
        death = self._last.get(revision)
        return death if death and now - death.at <= TOLD_SECONDS else None
