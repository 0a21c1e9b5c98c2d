"""Who waits for one revision, and who is sent where: first come first served, bound to a replica late.

Queue, slot and replica are chosen in one synchronous step (`take` and `_grant`), so that nothing can come between
them. A waiter keeps the ticket it drew on arrival: one whose replica could not be connected comes back to the place it
had.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Protocol

from router.balance import pick
from router.errors import EdgeError, Reason, spread
from router.ports import Replicas
from router.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from router.ports import Clock, Endpoint
    from router.table import Revision

ASLEEP = frozenset(("asleep", "failing"))
TRIAL_SECONDS = 0.02  # for the first request to a replica that was avoided to fail, before others follow it


class Held(Protocol):
    """Who can be held: an exchange, or one of another process. `arrived` is in clock seconds."""

    arrived: float
    failure: Exception | None

    @property
    def size(self) -> int:
        """Bytes that are kept for it while it waits."""

    def wake(self) -> None:
        """End the wait."""

    def fail(self, error: Exception) -> None:
        """End the wait with an error."""


class Waits(Held, Protocol):
    """Who can be held, and await the end of it."""

    def wait(self) -> Awaitable[None]:
        """Wait until it is woken or failed."""


class Ticket(Protocol):
    """A place in the order of arrival."""

    def __lt__(self, other: Any, /) -> bool:
        """Tell whether this one goes first."""


def deadline_of(exchange: Held, revision: Revision) -> float:
    """Return when the hold of `exchange` ends that begins to wait for `revision` (clock seconds). A reload does not
    change it."""
    hold = revision.limits.hold
    return exchange.arrived + hold if hold else float("inf")


class Waiter:
    """A held exchange with its ticket; the lower ticket goes first."""

    __slots__ = ("deadline", "exchange", "gone", "size", "slots", "ticket")

    def __init__(self, ticket: Ticket, exchange: Held, deadline: float) -> None:
        self.ticket = ticket
        self.exchange = exchange
        self.deadline = deadline
        self.size = exchange.size
        self.slots: Slots | None = None
        self.gone = False

    def __lt__(self, other: Waiter) -> bool:
        return self.ticket < other.ticket


class Queue:
    """Admission to one revision. `held` and `held_bytes` are what waits; times are clock seconds. `wake` asks for
    capacity when there is none at all. While it is `closed` nothing begins, whatever is free; if it is `replaceable`,
    as it has a fallback, those who wait are resolved again when it has no replica."""

    slots_type: type[Slots] = Slots

    def __init__(self, revision: Revision, wake: Callable[[str], None], clock: Clock) -> None:
        self.revision = revision
        self._wake = wake
        self._clock = clock
        self.replicas = Replicas(revision.name)
        self.held = 0
        self.held_bytes = 0
        self.closed = False
        self.replaceable = False
        self.woken = False
        self._slots: dict[Endpoint, Slots] = {}
        self._leaving: dict[Endpoint, Slots] = {}
        self._usable: list[Slots] = []
        self._waiting: list[Waiter] = []
        self._turn = 0
        self._refused = 0

    def update(self, replicas: Replicas, now: float) -> None:
        """Replace the capacity snapshot, send on those who can go, and refuse all when starts keep failing."""
        self.replicas = replicas
        self.woken = False
        if self.replaceable and not replicas.endpoints:
            self.dissolve()
        known = self._leaving | self._slots
        self._slots = {
            endpoint: known.get(endpoint) or self.slots_type(endpoint, self) for endpoint in replicas.endpoints
        }
        for endpoint, slots in self._slots.items():
            slots.tls = replicas.tls.get(endpoint.replica)
        self._leaving = {
            endpoint: slots for endpoint, slots in known.items() if slots.running and endpoint not in self._slots
        }
        self.refresh(now)
        if replicas.start.phase == "failing" and not replicas.endpoints:
            self.refuse(lambda: self._start_failed(now))

    @property
    def asleep(self) -> bool:
        """Whether a wake would start a replica: none was asked for since the last snapshot, which tells of no start."""
        return not self.woken and not self._slots and self.replicas.start.phase in ASLEEP

    def refresh(self, now: float) -> None:
        """Reconsider which replicas can be used; suspicion may have ended. It does not come back by itself, although
        the loop, whose clock is coarser, may have ended it before its time."""
        usable, before = () if self.closed else self._slots.values(), self._usable
        self._usable = [slots for slots in usable if slots.suspect_until <= now or slots in before]
        self._grant()

    def take(self) -> Slots | None:
        """Return a slot for a newcomer, None when it has to wait: there is none, or others wait already."""
        if self.held:
            return None
        usable = self._usable
        if len(usable) != 1:
            return self._pick()
        slots, limit = usable[0], self.revision.limits.container_concurrency
        if limit and slots.running >= limit:
            return None
        slots.running += 1
        return slots

    def expect(self, exchange: Held, now: float, *, back: bool = False) -> None:
        """Make sure that there is room for `exchange` to wait, unless it comes back to a place that it had, and that a
        replica is on its way. EdgeError if not."""
        self._check_room(exchange, now, back=back)
        self._call(back=back)

    def enter(self, exchange: Held, ticket: Ticket, now: float, *, back: bool = False) -> Waiter:
        """Have `exchange` wait for a slot. It is woken once the waiter has one, or has none because the revision has
        left the table; it is failed with an EdgeError when the hold ends or the start fails. EdgeError when there is no
        room to wait, for one that does not come `back`: who came later may have its place by now."""
        self.expect(exchange, now, back=back)
        waiter = Waiter(ticket, exchange, deadline_of(exchange, self.revision))
        heappush(self._waiting, waiter)
        self.held += 1
        self.held_bytes += waiter.size
        return waiter

    async def hold(self, exchange: Waits, ticket: Ticket, now: float, *, back: bool = False) -> Slots | None:
        """Wait for a slot; None when the revision has left the table. EdgeError as by `enter`; whatever ended the
        exchange otherwise."""
        waiter = self.enter(exchange, ticket, now, back=back)
        try:
            await exchange.wait()
        except BaseException:
            if waiter.slots is not None:
                waiter.slots.lender.release(waiter.slots)
            raise
        finally:
            self.forget(waiter)
        return waiter.slots

    def release(self, slots: Slots) -> None:
        """Give a slot back and send on the next in the queue."""
        slots.running -= 1
        if not slots.running:
            if slots.awaited is not None:
                slots.awaited.set()
                slots.awaited = None
            if self._leaving:
                self._leaving.pop(slots.endpoint, None)
        if self._waiting:
            self._grant()

    def avoid(self, slots: Slots, seconds: float) -> None:
        """Send nothing to a replica for a moment: it could not be connected, or it broke a connection and may be dying,
        of which its scaler will tell in a moment, too."""
        self._suspect(slots, seconds, self._try)

    def forget(self, waiter: Waiter) -> None:
        """Let a waiter wait no more."""
        if waiter.gone:
            return
        waiter.gone = True
        self.held -= 1
        self.held_bytes -= waiter.size
        if len(self._waiting) > 2 * self.held + 64:
            self._waiting = [other for other in self._waiting if not other.gone]
            heapify(self._waiting)

    def expire(self, now: float) -> None:
        """Answer those whose hold has ended."""
        for waiter in [each for each in self._waiting if each.deadline <= now and not each.gone]:
            self.forget(waiter)
            waiter.exchange.fail(self.hold_timeout(waiter.deadline - waiter.exchange.arrived))
        while self._waiting and self._waiting[0].gone:
            heappop(self._waiting)

    def hold_timeout(self, hold: float) -> EdgeError:
        """Return the refusal of a request that was held for as long as it may be: `hold` seconds."""
        return EdgeError(
            Reason.HOLD_TIMEOUT,
            f"No replica of {self.revision.name} was free within {hold:g} s; a start that is under way goes on.",
            retry_after=self._back_in(),
            detail={"start": self._start()},
        )

    def refuse(self, error: Callable[[], EdgeError]) -> None:
        """End the wait of all with an error."""
        for waiter in self._drop():
            waiter.exchange.fail(error())

    def dissolve(self) -> None:
        """End the wait of all without an answer: the revision has left the table and they are resolved again."""
        for waiter in self._drop():
            waiter.exchange.wake()

    def slots_of(self, endpoint: Endpoint) -> Slots:
        """Return the slots of a replica on which something is known to run, whether it is in the snapshot or not."""
        slots = self._slots.get(endpoint) or self._leaving.get(endpoint)
        if slots is None:
            slots = self._leaving[endpoint] = self.slots_type(endpoint, self)
        return slots

    def parts(self) -> tuple[Replicas, dict[Endpoint, Slots], dict[Endpoint, Slots]]:
        """Return the snapshot, the slots of its replicas, and those of replicas that have left and run something."""
        return self.replicas, self._slots, self._leaving

    def take_over(self, former: Queue) -> None:
        """Stand in for another queue of this revision: what began there ends here. Those who wait are not moved."""
        self.replaceable = former.replaceable
        self.replicas, self._slots, self._leaving = former.parts()
        now = self._clock()
        for slots in (*self._slots.values(), *self._leaving.values()):
            slots.lender = self
            if slots.suspect_until > now:
                self._suspect(slots, slots.suspect_until - now, self._try)
        self.refresh(now)

    def in_flight(self) -> dict[str, int]:
        """Return the requests running per replica, at whatever address, replicas without any left out."""
        running: Counter[str] = Counter()
        for slots in (*self._slots.values(), *self._leaving.values()):
            if slots.running:
                running[slots.endpoint.replica] += slots.running
        return running

    async def drained(self, replica: str) -> None:
        """Wait until no request runs on a replica that is no longer an endpoint."""
        for slots in list(self._leaving.values()):
            if slots.endpoint.replica == replica:
                await slots.empty()

    def _suspect(self, slots: Slots, seconds: float, then: Callable[[Slots, float], None]) -> None:
        slots.suspect_until = self._clock() + seconds
        self._usable = [other for other in self._usable if other is not slots]
        asyncio.get_running_loop().call_later(seconds, then, slots, slots.suspect_until)

    def _try(self, slots: Slots, until: float) -> None:
        """Send the first of those who wait to a replica that was avoided: a thousand would meet the same fate."""
        limit = self.revision.limits.container_concurrency
        if slots.suspect_until != until or self.closed or self._slots.get(slots.endpoint) is not slots:
            return
        first = self._first()
        if first is None or (limit and slots.running >= limit):
            self._trust(slots, until)
            return
        self._suspect(slots, TRIAL_SECONDS, self._trust)
        slots.running += 1
        self._give(first, slots)

    def _trust(self, slots: Slots, until: float) -> None:
        if slots.suspect_until == until:
            self.refresh(max(self._clock(), until))  # the loop's clock is coarser

    def _pick(self) -> Slots | None:
        index = pick(self._usable, self.revision.limits.container_concurrency, self._turn)
        if index < 0:
            return None
        self._turn += 1
        slots = self._usable[index]
        slots.running += 1
        return slots

    def _grant(self) -> None:
        while (first := self._first()) is not None and (slots := self._pick()) is not None:
            self._give(first, slots)

    def _first(self) -> Waiter | None:
        """Return who is to go next."""
        while self._waiting:
            first = self._waiting[0]
            if not first.gone and first.exchange.failure is None:
                return first
            self.forget(heappop(self._waiting))
        return None

    def _give(self, first: Waiter, slots: Slots) -> None:
        heappop(self._waiting)
        first.slots = slots
        self.forget(first)
        first.exchange.wake()

    def _drop(self) -> list[Waiter]:
        dropped, self._waiting = sorted(waiter for waiter in self._waiting if not waiter.gone), []
        for waiter in dropped:
            self.forget(waiter)
        return dropped

    def _call(self, *, back: bool) -> None:
        """Ask for capacity if there is none that may be used. EdgeError when the service was woken too often, but not
        for one that comes back: it was woken for it before."""
        if self.closed or not self._slots:
            self.woken = self.woken or back
            self._wake(self.revision.name)

    def _check_room(self, exchange: Held, now: float, *, back: bool) -> None:
        start = self.replicas.start
        limits = self.revision.limits
        if start.phase == "failing" and not self._slots and start.retry_at is not None and now < start.retry_at:
            raise self._start_failed(now)
        full = self.held >= limits.queue_depth or self.held_bytes + exchange.size > limits.queue_bytes
        if full and not back:
            raise EdgeError(
                Reason.QUEUE_FULL,
                f"{self.held} requests ({self.held_bytes} bytes) wait for {self.revision.name} already.",
                retry_after=self._back_in(),
                detail={"start": self._start()},
            )

    def _start_failed(self, now: float) -> EdgeError:
        start = self.replicas.start
        again = None if start.retry_at is None else max(start.retry_at - now, 0.0)
        return EdgeError(
            Reason.START_FAILED,
            f"{self.revision.name} cannot be started: {start.message}",
            retry_after=self._back_in() if again is None else again + self._back_in(5.0, 0.0),
            detail={"start": self._start()},
        )

    def _back_in(self, most: float = 10.0, least: float = 4.0) -> float:
        self._refused += 1
        return spread(self._refused, most, least)

    def _start(self) -> dict[str, object]:
        start = self.replicas.start
        return {"phase": start.phase, "message": start.message, "attempts": start.attempts}
