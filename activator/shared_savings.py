"""What a new leader must know of the old one: the state of all revisions, the rollouts and the usage ledger, in a
ConfigMap.

Only who leads writes it, every few seconds. One that begins to lead reads it first, and decides nothing until it has:
without the idle clocks it would keep models awake, without the windows it would send them to sleep. Those who do not
lead read the rollouts every few seconds, as far as there are any: their clients get the same shares.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from activator import state
from activator.kube.errors import CONFLICT, ApiError, UnreachableError
from activator.kube.saved import DamagedError
from activator.troubles import Trouble
from activator.usage import KEPT_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from activator.kube.saved import ConfigMap
    from activator.loop import Loop
    from activator.rollouts import Rollouts
    from activator.usage import Ledger

SAVE_SECONDS = 8.0  # at most 10 s old, also when a write takes long
SOON = 1.0  # before what an edge that starts now must know is saved
RETRY_SECONDS = 2.0
REVISIONS = "revisions.json"
USAGE = "usage.json"
ROLLOUTS = "rollouts.json"
GOOD_DEPLOYMENTS = "deployments.json"
GOOD_SERVICES = "inferenceservices.json"
FOLLOW_SECONDS = 2.0


class Good(Protocol):
    """What remembers how things with a mistake were when they last were good."""

    def dump(self) -> dict[str, Any]:
        """Return it in JSON's types."""

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on with what `dump` gave elsewhere, where nothing is known here."""


class SharedSavings:
    """The state of `loop`, `ledger`, `rollouts` and, by document, of what was `good` in `config_map`, for as long as
    `leads` says so. `wall` gives Unix seconds.

    `taken_over` = what the leader before us knew is known here; `on_taken_over` is called when it comes to be.
    """

    def __init__(
        self,
        config_map: ConfigMap,
        parts: tuple[Loop, Ledger, Rollouts, Mapping[str, Good]],
        leads: Callable[[], bool],
        wall: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self.taken_over = False
        self.on_taken_over: Callable[[], None] | None = None
        self._map = config_map
        self._loop, self._ledger, self._rollouts, self._good = parts
        self._leads = leads
        self._wall = wall
        self._log = log
        self._unsaved = Trouble(log, "state cannot be saved", over="state is saved again")
        self._writing = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._days = KEPT_DAYS  # of usage, that there is room for

    @property
    def saved(self) -> bool:
        """Whether all could be written when it was last tried; so it is for an edge that does not lead."""
        return not (self.taken_over and self._unsaved.lasts)

    def hurry(self) -> None:
        """Save soon: an edge that starts meanwhile would not know what is good."""
        self._hurry.set()

    def let_go(self) -> None:
        """Lead no more: what was taken over is another's."""
        self.taken_over = False

    async def keep(self) -> None:
        """Take over whenever this edge begins to lead, and save while it does, until cancelled."""
        while True:
            if not self._leads():
                self.let_go()
                await self._wait_for_the_lead()
            elif not self.taken_over:
                await self._take_over()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), SAVE_SECONDS - SOON)
                await asyncio.sleep(SOON)
                self._hurry.clear()
                await self.save()

    async def follow(self) -> None:
        """Take over the rollouts as the leader last saved them, and what was good of what has a mistake."""
        try:
            documents = await self._map.read()
        except (ApiError, UnreachableError, DamagedError) as error:
            self._log.warning("rollouts of the leader cannot be read", error=str(error))
            return
        if not self.taken_over:
            self._adopt(documents)

    async def save(self) -> bool:
        """Save now, if this edge leads; tell whether that was done."""
        async with self._writing:
            return self.taken_over and self._leads() and await self._write()

    async def _write(self) -> bool:
        self._ledger.forget()
        try:
            written = await self._put()
        except ApiError as error:
            self._unsaved.met(str(error))
            if error.status == CONFLICT:  # somebody led meanwhile, or edited it: what is there is read again
                self.let_go()
        except UnreachableError as error:
            self._unsaved.met(str(error))
        else:
            self._unsaved.passed()
            return written
        return False

    async def _put(self) -> bool:
        """Write all, if this edge still leads once it is packed; if it is more than a ConfigMap holds, without the
        usage of the older days. Who leads next must know the rest: a canary that was rolled back, and idle clocks."""
        while True:
            now = self._wall()
            documents = {
                REVISIONS: state.written(self._loop.dump(), now),
                USAGE: self._ledger.dump(self._days),
                ROLLOUTS: self._rollouts.dump(),
                **{name: each.dump() for name, each in self._good.items()},
            }
            try:
                return await self._map.write(documents, self._leads)
            except ApiError as error:
                if not error.too_large or not self._days:
                    raise
                self._days //= 2
                self._log.error("usage of earlier days is not saved any more", days=self._days, error=str(error))

    async def _take_over(self) -> None:
        try:
            documents = await self._map.read()
        except DamagedError as error:
            self._log.error("saved state cannot be used, all starts afresh", error=str(error))
            documents = {}
        except (ApiError, UnreachableError) as error:
            self._log.error("saved state cannot be read, nothing is scaled down until it is", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return
        if self._leads():
            self._restore(documents)
            self.taken_over = True
            if self.on_taken_over is not None:
                self.on_taken_over()

    async def _wait_for_the_lead(self) -> None:
        """Follow who leads for a while, or until this edge does."""
        if self._rollouts.canaries:
            await self.follow()
        for _ in range(round(FOLLOW_SECONDS / (RETRY_SECONDS / 4))):
            if self._leads():
                return
            await asyncio.sleep(RETRY_SECONDS / 4)

    def _adopt(self, documents: dict[str, Any]) -> None:
        for name, each in self._good.items():
            good = documents.get(name)
            each.restore(good if isinstance(good, dict) else {})
        saved = documents.get(ROLLOUTS)
        for problem in self._rollouts.adopt(saved) if isinstance(saved, dict) else ():
            self._log.warning("saved state not used", problem=problem)

    def _restore(self, documents: dict[str, Any]) -> None:
        self._adopt(documents)
        self._ledger.clear()
        try:
            self._ledger.restore(documents.get(USAGE))
        except ValueError as error:
            self._log.error("usage of earlier leaders cannot be read, counting starts afresh", error=str(error))
        try:
            saved = state.parse(documents.get(REVISIONS), f"configmap/{self._map.name}", self._wall())
        except state.StateError as error:
            self._log.error("saved state cannot be used, all starts afresh", error=str(error))
            return
        for problem in self._loop.restore(saved.revisions, saved.age, alive=True):
            self._log.warning("saved state not used", problem=problem)
        self._log.info("leading", revisions=len(saved.revisions), seconds_ago=round(saved.age, 1))
