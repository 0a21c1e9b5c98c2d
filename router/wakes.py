"""How often sleeping services may be woken: a wake costs a GPU, and a cheap request causes it."""

from __future__ import annotations

from collections import deque

MINUTE = 60.0


class Wakes:
    """The wakes of the last minute, by service and in all; a limit of 0 = none."""

    def __init__(self) -> None:
        self.limit = 0
        self._all: deque[float] = deque()
        self._by_service: dict[str, deque[float]] = {}

    def ask(self, service: str, limit: int, now: float) -> float:
        """Return 0.0, and count a wake, when `service` may be woken; else the seconds until it may."""
        own = self._by_service.setdefault(service, deque())
        wait = max(_wait(own, limit, now), _wait(self._all, self.limit, now))
        if not wait:
            own.append(now)
            self._all.append(now)
        return wait

    def sweep(self, now: float) -> None:
        """Forget the services that were not woken in the last minute."""
        known = self._by_service.items()
        self._by_service = {service: own for service, own in known if own and own[-1] > now - MINUTE}


def _wait(times: deque[float], limit: int, now: float) -> float:
    while times and times[0] <= now - MINUTE:
        times.popleft()
    return times[-limit] + MINUTE - now if limit and len(times) >= limit else 0.0
