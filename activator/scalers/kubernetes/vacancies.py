"""Replicas that were ordered and are no pods yet: what those who wait are told until there is something to see."""

from __future__ import annotations

from activator.scalers.base import Phase, Replica


class Vacancies:
    """The replicas of a Deployment that are still to come."""

    def __init__(self, deployment: str) -> None:
        self.replicas: list[Replica] = []
        self._deployment = deployment

    def want(self, count: int, obstacle: str, now: float) -> None:
        """Have `count` of them. `obstacle` says why none will come for now; the start clock pauses meanwhile."""
        del self.replicas[count:]
        phase = Phase.PENDING if obstacle else Phase.STARTING
        for number in range(count):
            name = f"{self._deployment}/{number + 1}"
            if number == len(self.replicas):
                self.replicas.append(Replica(name, phase, now, message=obstacle, vacant=True))
            else:
                old = self.replicas[number]
                since = old.since if old.phase is phase else now
                self.replicas[number] = Replica(name, phase, since, message=obstacle, vacant=True)
