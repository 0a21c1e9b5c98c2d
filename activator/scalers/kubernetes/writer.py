"""Writes one Deployment's replicas: one write at a time, only when they differ, never against what is not known.

Every write names the resourceVersion that it was decided by, so nothing that someone else wrote meanwhile is lost. One
who keeps writing other numbers is corrected three times; then we hold, and say how to end it. Requests that are held at
zero are no reason to wait meanwhile: for them a replica is ordered, once a second at most.

Kubernetes forgets who set the replicas when 0 is written by `deployments/scale` (the field is left out then, and later
writes by `scale` do not bring it back). What changes without an owner was ours only if we wrote it, or if it is 0 -> 1,
which any edge may order.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from activator.kube.client import WITHIN
from activator.kube.errors import CONFLICT, FORBIDDEN, NOT_FOUND, ApiError, UnreachableError
from activator.kube.lease import AFTERWARDS
from activator.kube.store import newer
from activator.scalers.kubernetes.owners import remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.scalers.kubernetes.api import Api, Count
    from router.tasks import Tasks

FIRST_WAIT = 0.1
LAST_WAIT = 2.0
REFUSED_WAIT = 10.0
DOUBLINGS = 7
WRITES = 5  # at most so many in a PERIOD: five a second, whatever the way to the API server does to their distances
PERIOD = 1.2
SHORTEST = 0.001
CORRECTIONS = 3
CONFLICTS = 10  # in a row, two seconds and more, until someone is told
HOLD = 300.0
UNKNOWN = "someone"


class Place(NamedTuple):
    """A Deployment, and the name under which we write its replicas."""

    namespace: str
    name: str
    manager: str


class Orders(Protocol):
    """What the writer asks of whoever decides."""

    def target(self, now: Count) -> int:
        """Return how many replicas are to be written, given what is there."""

    def may_write(self, now: Count, target: int) -> bool:
        """Tell whether it is ours to write that."""

    def sending(self, target: int) -> None:
        """Hear that a write is on its way."""

    def settled(self, *, accepted: bool) -> None:
        """Hear what has become of it, or that something else about writing has changed."""


class Writer:
    """The only place where a Deployment's replicas are written. `known` is what the API server had last.

    `trouble` says why a write does not succeed, `held` who else writes and what to do; "" = there is no such thing.
    """

    def __init__(self, place: Place, orders: Orders, api: Api, tasks: Tasks, clock: Callable[[], float]) -> None:
        self.known: Count | None = None
        self.trouble = ""
        self.held = ""
        self.conflicts = 0
        self._place = place
        self._orders = orders
        self._api = api
        self._tasks = tasks
        self._clock = clock
        self._running = False
        self._stale = True
        self._missing = False
        self._closed = False
        self._unsure: int | None = None
        self._foreign = ""
        self._wrote = False
        self._release_at: asyncio.TimerHandle | None = None
        self._corrections: deque[float] = deque()
        self._writes: deque[float] = deque(maxlen=WRITES)
        self._failures = 0
        self._forbidden = False  # and so was the last one
        self._overtaken = 0  # conflicts since the last write

    def saw(self, count: Count, *, alone: bool = True, sure: bool = False) -> None:
        """Take what a watch or a read says. `alone` = no other edge decides; `sure` = it is what is there now, even if
        its version is an earlier one: a restored API server counts from there."""
        before = self.known
        self._missing = self._stale = False
        later = before is None or newer(count.version, before.version)
        if not later and not (sure and before is not None and newer(before.version, count.version)):
            return
        self.known = count
        if not later or self._is_ours(count, before):
            self._foreign = ""
        elif alone and self._wrote and before is not None and count.replicas != before.replicas:
            self._foreign = count.owners[0] if count.owners else UNKNOWN

    def _is_ours(self, count: Count, before: Count | None) -> bool:
        if count.owners or before is None:
            return not count.owners or self._place.manager in count.owners
        return (before.replicas, count.replicas) == (0, 1)

    def gone(self) -> None:
        """Take it that there is no such Deployment now."""
        self.known = None
        self._missing, self._wrote = True, False
        self.trouble = self._absent()

    def close(self) -> None:
        """Write no more, also by what is being read, and forget the end of holding."""
        self._closed = True
        if self._release_at is not None:
            self._release_at.cancel()

    def poke(self) -> None:
        """Write if there is something to write, from this loop turn on."""
        due = self._order() is not None if self.known is not None else not self._missing
        if due and not self._running:
            self._running = True
            self._tasks.spawn(self._work(), f"replicas of {self._place.name}")

    async def _work(self) -> None:
        try:
            while True:
                wait = await self._step()
                if wait is None:
                    return
                if wait:
                    await asyncio.sleep(wait)
        finally:
            self._running = False

    async def _step(self) -> float | None:
        """Read or write once; return the seconds until the next step, None when there is nothing to do."""
        try:
            if self._missing or self._closed:
                return None
            if self._stale or self.known is None:
                before = self.known
                count = await self._api.count(self._place.name)
                self.saw(count, sure=self.known is before)
                self._succeeded()
                self._learn()
            target = self._order()
            if target is None or self.known is None:
                self._overtaken = 0
                self._succeeded()
                return None
            if (wait := self._pace()) or self._must_hold():
                return wait
            await self._write(target, self.known)
        except (ApiError, UnreachableError) as error:
            return self._failed(error)
        return 0.0

    async def _write(self, target: int, known: Count) -> None:
        self._writes.append(self._clock())
        self._orders.sending(target)
        corrects = bool(self._foreign)  # which the watch may tell to be over before the answer comes
        try:
            within = AFTERWARDS if target < known.replicas else WITHIN
            written = await self._api.scale(self._place.name, target, known.version, within)
        except UnreachableError:
            self._stale, self._unsure = True, target  # it may have been written: what is there must be read
            raise
        except ApiError:
            self._orders.settled(accepted=False)
            raise
        self._wrote = True
        self._overtaken = 0
        if corrects:
            self._corrections.append(self._clock())
            self.conflicts += 1
        if self.known is None or newer(written.version, self.known.version):
            self.known, self._foreign = written, ""
        self._succeeded()
        self._orders.settled(accepted=True)

    def _learn(self) -> None:
        """Tell what has become of a write that got no answer, now that it is known."""
        if self._unsure is not None and self.known is not None:
            sent, self._unsure = self._unsure, None
            self._orders.settled(accepted=self.known.replicas == sent)

    def _order(self) -> int | None:
        """Return what is to be written now, None = nothing."""
        if self._closed or self.known is None or (self.held and self.known.replicas):
            return None
        target = self._orders.target(self.known)
        due = target != self.known.replicas and self._orders.may_write(self.known, target)
        return target if due else None

    def _pace(self) -> float:
        """Return the seconds to wait so that there are no more than five writes in a second, or one while we hold."""
        if not self.held and len(self._writes) < WRITES:
            return 0.0
        wait = self._writes[-1 if self.held else 0] + PERIOD - self._clock()
        return max(wait, SHORTEST) if wait > 0 else 0.0

    def _must_hold(self) -> bool:
        """Tell whether to write would be to correct someone else once too often."""
        if not self._foreign or self.held:
            return False
        now = self._clock()
        while self._corrections and self._corrections[0] <= now - HOLD:
            self._corrections.popleft()
        if len(self._corrections) < CORRECTIONS:
            return False
        self.held = (
            f"{self._foreign} also writes the replicas of Deployment {self._place.name}; it was corrected "
            f"{CORRECTIONS} times, and is left alone for {HOLD:g} s. Only one may write them. This is "
            f"{remedy(self._foreign, self._place.name, self._place.namespace)}."
        )
        self._release_at = asyncio.get_running_loop().call_later(HOLD, self._release)
        self._orders.settled(accepted=False)
        return True

    def _release(self) -> None:
        self.held = ""
        self._corrections.clear()
        self._orders.settled(accepted=False)
        self.poke()

    def _succeeded(self) -> None:
        self._failures = 0
        if self.trouble and self._overtaken < CONFLICTS:
            self.trouble = ""
            self._orders.settled(accepted=False)

    def _failed(self, error: ApiError | UnreachableError) -> float:
        """Note a failure; return the seconds until the next attempt."""
        if isinstance(error, ApiError) and error.status == CONFLICT:
            self._stale = True  # someone wrote meanwhile: read, and decide by that
            self._overtaken += 1
            if self._overtaken == CONFLICTS:
                self.trouble = (
                    f"Deployment {self._place.name} is changed so often that its replicas cannot be written: "
                    f"{CONFLICTS} attempts were too late. Look for who writes it (kubectl get deployment "
                    f"{self._place.name} -n {self._place.namespace} --show-managed-fields -o yaml)"
                )
                self._orders.settled(accepted=False)
            return 0.0
        forbidden = isinstance(error, ApiError) and error.status == FORBIDDEN
        self._failures = self._failures + 1 if forbidden is self._forbidden else 1
        self._forbidden = forbidden
        if isinstance(error, UnreachableError) and self._failures == 1:
            return 0.0  # an idle connection that was closed shows only when it is used
        return self._told(error)

    def _told(self, error: ApiError | UnreachableError) -> float:
        longest = REFUSED_WAIT if self._forbidden else LAST_WAIT  # which a server that just started does for a moment
        wait = min(FIRST_WAIT * 2.0 ** min(self._failures, DOUBLINGS), longest) * random.uniform(0.5, 1)
        if isinstance(error, UnreachableError):
            self.trouble = f"the Kubernetes API cannot be reached: {error}"
        elif error.status == NOT_FOUND:
            self.trouble = self._absent()  # if that is so, the watch will tell, and end the attempts
        else:
            self.trouble = f"the replicas of Deployment {self._place.name} cannot be written: {error}"
            wait = max(wait, error.retry_after)
        self._orders.settled(accepted=False)
        return wait

    def _absent(self) -> str:
        return f"there is no Deployment {self._place.name} in namespace {self._place.namespace}"
