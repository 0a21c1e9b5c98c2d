"""The router's side of a scaler, and someone who watches its snapshots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from router.ports import RevisionStats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.scalers.base import ReplicaSet, Scaler


class FakeRouting:
    """Requests that last until a test ends them."""

    def __init__(self) -> None:
        self.busy: dict[str, int] = {}
        self.asked: list[str] = []
        self.held: dict[str, int] = {}
        self._changed = asyncio.Event()

    def in_flight(self, revision: str) -> Mapping[str, int]:
        return {name: count for name, count in self.busy.items() if name.startswith(revision)}

    def look(self, revision: str) -> RevisionStats:
        return RevisionStats(held=self.held.get(revision, 0))

    async def drained(self, revision: str, replica: str) -> None:
        self.asked.append(replica)
        while self.busy.get(replica):
            self._changed.clear()
            await self._changed.wait()

    def finish(self, replica: str) -> None:
        del self.busy[replica]
        self._changed.set()


class Watcher:
    """Keeps every snapshot, and when it was told, and waits for one."""

    def __init__(self, scaler: Scaler, clock: Callable[[], float], patience: float = 60.0) -> None:
        self.seen: list[ReplicaSet] = []
        self._told: dict[int, float] = {}
        self._scaler = scaler
        self._clock = clock
        self._patience = patience
        self._changed = asyncio.Event()
        scaler.subscribe(self._see)

    def of(self, revision: str) -> list[ReplicaSet]:
        return [snapshot for snapshot in self.seen if snapshot.revision == revision]

    def told(self, snapshot: ReplicaSet) -> float:
        """Return when a snapshot was told, by the clock: whoever waited for it may have gone on later."""
        return self._told[id(snapshot)]

    async def until(self, revision: str, holds: Callable[[ReplicaSet], bool]) -> ReplicaSet:
        """Return the first snapshot from now on, the present one included, for which `holds`."""
        present = self._scaler.replicas(revision)
        if holds(present):
            return present
        position = len(self.seen)
        async with asyncio.timeout(self._patience):
            while True:
                for snapshot in self.seen[position:]:
                    if snapshot.revision == revision and holds(snapshot):
                        return snapshot
                position = len(self.seen)
                self._changed.clear()
                await self._changed.wait()

    def _see(self, snapshot: ReplicaSet) -> None:
        self.seen.append(snapshot)
        self._told[id(snapshot)] = self._clock()
        self._changed.set()
