"""Deletion costs of pods: how the ReplicaSet is told which to end, and which not (KEP-2255).

Only pods that are to go have one, a negative one, the lower the fewer requests they still have: all others keep theirs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.kube.errors import CONFLICT, NOT_FOUND, TOO_MANY, ApiError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from activator.scalers.kubernetes.api import Api
    from activator.scalers.kubernetes.member import Member
    from router.tasks import Tasks

CHEAPEST = -1000
WAIT = 1.0
PASSING = {401, 408, CONFLICT, TOO_MANY}
"""Refusals that say nothing about our rights. Policies deny as they like: with 400, 403 or 422."""


class Costs:
    """Sets the costs of a revision's pods, for as long as `leads` says that it is ours to scale. `refused` says why
    that is not allowed, "" while it is."""

    def __init__(self, api: Api, tasks: Tasks, changed: Callable[[], None], leads: Callable[[], bool]) -> None:
        self.refused = ""
        self._api = api
        self._tasks = tasks
        self._changed = changed
        self._leads = leads
        self._wanted: dict[str, int | None] = {}
        self._running = False

    def want(self, members: Iterable[Member], in_flight: Mapping[str, int]) -> None:
        """Set the costs of those that were chosen, and take away those of pods that stay after all."""
        for member in members:
            pod = member.pod
            if member.chosen and (pod.cost >= 0 or (member.drained and pod.cost > CHEAPEST)):
                busy = 0 if member.drained else in_flight.get(pod.name, 0)
                self._wanted[pod.name] = min(CHEAPEST + busy, -1)
            elif not member.going and CHEAPEST <= pod.cost < 0:
                self._wanted[pod.name] = None
            else:
                self._wanted.pop(pod.name, None)
        if self._wanted and not self._running:
            self._running = True
            self._tasks.spawn(self._work(), "deletion costs")

    async def _work(self) -> None:
        try:
            while self._wanted:
                if not self._leads():  # another edge may use what we have chosen
                    self._wanted.clear()
                    return
                name, cost = next(iter(self._wanted.items()))
                settled = await self._set(name, cost)
                if self._wanted.get(name, 0) == cost:
                    del self._wanted[name]
                    if not settled:
                        self._wanted[name] = cost  # after the others
        finally:
            self._running = False

    async def _set(self, name: str, cost: int | None) -> bool:
        """Set a cost; tell whether there is no reason to try again."""
        try:
            await self._api.set_cost(name, cost)
        except UnreachableError:
            await asyncio.sleep(WAIT)
            return False
        except ApiError as error:
            if error.status == NOT_FOUND:
                return True
            denied = error.status not in PASSING and error.status < 500
            if denied and not self.refused:
                self.refused = f"deletion costs cannot be set: {error}"
                self._changed()
            await asyncio.sleep(WAIT)
            return denied
        self.refused = ""
        return True
