"""Adds up for the usage ledger what all replicas run: also those that still drain after their revision has left the
configuration, since they hold their GPU until they have ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.scalers.base import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.scalers.base import ReplicaSet
    from activator.usage import Ledger

    InFlight = Callable[[str], Mapping[str, int]]


class Metering:
    """Follows the replicas of all revisions. `in_flight` gives the requests on each replica of one of them."""

    def __init__(self, ledger: Ledger, in_flight: InFlight) -> None:
        self._ledger = ledger
        self._in_flight = in_flight
        self._services: dict[str, str] = {}
        self._sets: dict[str, ReplicaSet] = {}

    def declare(self, services: Mapping[str, str]) -> None:
        """Take the service of every revision of a new configuration; one that left is known while it has replicas."""
        kept = {name: self._services[name] for name in self._sets if name in self._services}
        self._services = {**kept, **services}
        self._ledger.keep_totals(self._services)

    def saw(self, replicas: ReplicaSet) -> None:
        """Take a new snapshot of one revision."""
        if replicas.replicas:
            self._sets[replicas.revision] = replicas
        else:
            self._sets.pop(replicas.revision, None)

    def period(self, seconds: float, wall: float) -> None:
        """Add the last `seconds` before `wall` (Unix seconds) to the ledger."""
        for name, replicas in self._sets.items():
            busy = self._in_flight(name)
            running = sum(each.phase is not Phase.PENDING and not each.vacant for each in replicas.replicas)
            idle = sum(replica.phase is Phase.READY and replica.name not in busy for replica in replicas.replicas)
            self._ledger.add((self._services.get(name, ""), name), (running, idle), seconds, wall)
