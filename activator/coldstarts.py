"""How long cold starts take, by phase: what a caller at zero waited for, measured from the scaler's snapshots.

Phases: `pending` (no place to run), `start` (until the process runs), `load` (until it answers its readiness probe) and
`total`. Only replicas started while their revision had none ready are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from activator.scalers.base import Phase
from router.counters import Histogram

if TYPE_CHECKING:
    from collections.abc import Collection

    from activator.scalers.base import Replica, ReplicaSet

PHASES = ("pending", "start", "load", "total")


@dataclass(slots=True)
class Start:
    """When a starting replica was first seen, ceased to be pending, and got an address (clock seconds)."""

    revision: str
    seen: float
    placed: float
    running: float | None = None


@dataclass(slots=True)
class ColdStarts:
    """Histograms per (revision, phase), fed with every snapshot."""

    histograms: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    _starts: dict[str, Start] = field(default_factory=dict)
    _came_up: dict[str, str] = field(default_factory=dict)  # replica -> revision

    def see(self, replicas: ReplicaSet, now: float) -> None:
        """Take a snapshot."""
        warm = any(replica.phase is Phase.READY and replica.name not in self._starts for replica in replicas.replicas)
        for replica in replicas.replicas:
            start = self._starts.get(replica.name)
            if start is None:
                if not warm and replica.name not in self._came_up and replica.phase in {Phase.PENDING, Phase.STARTING}:
                    self._starts[replica.name] = Start(replicas.revision, now, now, now if replica.port else None)
            else:
                self._follow(replicas.revision, replica, start, now)
            if replica.phase is Phase.READY:
                self._came_up[replica.name] = replicas.revision
        self._forget(replicas)

    def keep(self, revisions: Collection[str]) -> None:
        """Forget all revisions but these."""
        self.histograms = {key: each for key, each in self.histograms.items() if key[0] in revisions}
        self.last = {name: seconds for name, seconds in self.last.items() if name in revisions}

    def _follow(self, revision: str, replica: Replica, start: Start, now: float) -> None:
        if replica.phase is Phase.PENDING:
            start.placed = now
        if start.running is None and replica.port:
            start.running = now
        if replica.phase is Phase.READY:
            del self._starts[replica.name]
            running = start.running if start.running is not None else now
            times = (start.placed - start.seen, running - start.placed, now - running, now - start.seen)
            for phase, seconds in zip(PHASES, times, strict=True):
                self.histograms.setdefault((revision, phase), Histogram()).observe(seconds)
            self.last[revision] = now - start.seen

    def _forget(self, replicas: ReplicaSet) -> None:
        """Drop starts of this revision that came to nothing, and replicas that are gone."""
        alive = {replica.name for replica in replicas.replicas if replica.phase is not Phase.DRAINING}
        lost = [n for n, start in self._starts.items() if start.revision == replicas.revision and n not in alive]
        for name in lost:
            del self._starts[name]
        present = {replica.name for replica in replicas.replicas}
        for name in [n for n, revision in self._came_up.items() if revision == replicas.revision and n not in present]:
            del self._came_up[name]
