"""What the scalers have in common that run replicas themselves, rather than asking a cluster for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.scalers.base import Listener, ReplicaSet, ReplicaSpec
from activator.scalers.fleet import Fleet, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.scalers.base import Routing
    from activator.scalers.fleet import Runner

LAST_RESORT = 5.0


class LocalScaler:
    """A Scaler (see base) over a Runner."""

    def __init__(
        self, runner: Runner, routing: Routing, clock: Callable[[], float], new_name: Callable[[str], str]
    ) -> None:
        self._runner = runner
        self._around = Surroundings(runner, routing, clock, self._publish, new_name)
        self._specs: Mapping[str, ReplicaSpec] = {}
        self._fleets: dict[str, Fleet] = {}
        self._listeners: list[Listener] = []
        self._empty = asyncio.Event()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every new snapshot, in the loop turn in which it comes about."""
        self._listeners.append(listener)

    def declare(self, specs: Mapping[str, ReplicaSpec]) -> None:
        """Replace the known revisions whole. A revision no longer named is drained to zero.

        A changed spec counts for replicas started from now on: those that run are kept, since a revision is
        meant not to change (a new command is a new revision). It ends a running backoff.
        """
        self._specs = dict(specs)
        for revision, spec in self._specs.items():
            if revision in self._fleets:
                self._fleets[revision].declare(spec)
            else:
                self._fleets[revision] = Fleet(revision, spec, self._around)
        for revision in self._fleets.keys() - self._specs.keys():
            self._fleets[revision].scale(0)
            self._forget_if_gone(revision)

    def replicas(self, revision: str) -> ReplicaSet:
        """Return the present snapshot of `revision` (an empty one when it is unknown)."""
        fleet = self._fleets.get(revision)
        return fleet.snapshot if fleet else ReplicaSet(revision)

    def scale(self, revision: str, replicas: int) -> None:
        """Ask for `replicas` >= 0 of `revision` and return at once; the first start is under way in this
        loop turn.

        A backoff that is running is respected. ValueError for an unknown revision or a negative number.
        """
        if revision not in self._specs:
            raise ValueError(f"unknown revision {revision!r}")
        if replicas < 0:
            raise ValueError(f"cannot have {replicas} replicas of {revision!r}")
        self._fleets[revision].scale(replicas)

    async def close(self, *, drain: float) -> None:
        """Drain all replicas for at most `drain` seconds, then end them; return when none is left.

        From now on no revision is known.
        """
        graces = [spec.termination_grace for spec in self._specs.values()]
        self.declare({})
        if not await self._emptied(within=drain):
            for fleet in list(self._fleets.values()):
                fleet.end_all()
            await self._emptied(within=max(graces, default=0) + LAST_RESORT)
        await self._runner.close()

    async def _emptied(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                while self._fleets:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _publish(self, snapshot: ReplicaSet) -> None:
        for listener in self._listeners:
            if self.replicas(snapshot.revision) is not snapshot:
                return  # a listener called for more, and has already told everyone a newer one
            listener(snapshot)
        self._forget_if_gone(snapshot.revision)

    def _forget_if_gone(self, revision: str) -> None:
        if revision in self._fleets and revision not in self._specs and not self._fleets[revision].snapshot.replicas:
            del self._fleets[revision]
            if not self._fleets:
                self._empty.set()
