"""The side of those who have clients: queues whose waiters wait at the owner.

A request of an unlimited revision is sent on at once, by the last snapshot. Any other is a claim, which waits in the
owner's queue, and may be served by a slot that comes back here before the owner has one. The owner tells who waits
elsewhere: a slot goes back for those who came first. One that nobody needs stays for a moment as a *spare* one, so that
the next request needs no claim, and goes back by itself if it is not used.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from activator.peers import messages as m
from router.errors import EdgeError, Reason
from router.ports import Replicas
from router.queue import Queue, deadline_of
from router.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.ports import Clock, Endpoint
    from router.queue import Ticket, Waits
    from router.slots import Lender
    from router.table import Revision


class Lent(Slots):
    """The slots of a replica, of which the owner has granted so many. `unused` is how many of those were spare all the
    time since the last sweep."""

    __slots__ = ("granted", "unused")

    def __init__(self, endpoint: Endpoint, lender: Lender) -> None:
        super().__init__(endpoint, lender)
        self.granted = 0
        self.unused = 0

    @property
    def spare(self) -> int:
        """Slots that were granted, and in which nothing runs."""
        return max(0, self.granted - self.running)


class Waiting:
    """A claim that is with the owner; `slots` is what it was granted, `deadline` when its hold ends (clock seconds).
    One that comes `back` had a place before; one that was `repeated` may wait there twice."""

    __slots__ = ("back", "claim", "deadline", "exchange", "queue", "repeated", "said", "size", "slots")

    said: m.Claim

    def __init__(self, claim: int, queue: ClaimQueue, exchange: Waits, *, back: bool) -> None:
        self.claim = claim
        self.back = back
        self.queue = queue
        self.exchange = exchange
        self.deadline = deadline_of(exchange, queue.revision)
        self.size = exchange.size
        self.slots: Lent | None = None
        self.repeated = False

    def __lt__(self, other: Waiting) -> bool:
        return (self.exchange.arrived, self.claim) < (other.exchange.arrived, other.claim)


class Claimer:
    """The claims of all revisions. `send` takes what is to be told the owner, `put` what may wait a moment, and
    `take_back` does so with what waits still; `report` tells it what was counted of a revision; `bar` ends requests of
    a revision whose body still comes; `heard` tells whether the owner can be asked."""

    def __init__(self, send: Callable[[m.ToOwner], None], clock: Clock) -> None:
        self.send = self.put = send
        self.take_back: Callable[[m.ToOwner], bool] = lambda _: False
        self.report: Callable[[str], None] = lambda _: None
        self.bar: Callable[[str, EdgeError], None] = lambda *_: None
        self.heard: Callable[[], bool] = lambda: True
        self.waiting: dict[int, Waiting] = {}
        self.orphaned = False
        self._clock = clock
        self._numbers = count()
        self._queues: WeakValueDictionary[str, ClaimQueue] = WeakValueDictionary()

    def make_queue(self, revision: Revision, wake: Callable[[str], None], clock: Clock) -> Queue:  # noqa: ARG002
        """Return the queue of a revision. The owner does the waking."""
        queue = self._queues[revision.name] = ClaimQueue(revision, self, clock)
        return queue

    def wake(self, revision: str) -> None:
        """Say that a request comes for a revision without a replica."""
        self.send(m.Poke(revision))

    def hear(self, message: m.OfAdmission) -> None:
        """Take what the owner says of admission."""
        match message:
            case m.Grant():
                self._grant(message)
            case m.Refuse():
                error = EdgeError(
                    Reason(message.reason), message.message, retry_after=message.retry_after, detail=message.detail
                )
                if (waiting := self._answered(message.claim)) is not None:
                    waiting.exchange.fail(error)
            case m.Bar():
                self.bar(
                    message.revision,
                    EdgeError(Reason(message.reason), message.message, retry_after=message.retry_after),
                )
            case m.Move():
                if (waiting := self._answered(message.claim)) is not None:
                    waiting.exchange.wake()
            case m.Recall():
                if (queue := self._queues.get(message.revision)) is not None:
                    queue.recall(message.arrived)
            case m.Snapshot():
                self._apply(message)

    def lose_owner(self) -> None:
        """Answer all claims, and those to come: the owner is gone."""
        self.orphaned = True
        for waiting in list(self.waiting.values()):
            self._end(waiting)
            waiting.exchange.fail(gone())

    def sweep(self) -> None:
        """Give back the slots that nobody needed for a while."""
        for queue in list(self._queues.values()):
            queue.give_back_unused()

    def repeat(self) -> None:
        """Claim again what waits, of an owner that may not know of it."""
        for waiting in self.waiting.values():
            waiting.repeated = waiting.back = True
            self._send(waiting)

    def ask(self, queue: ClaimQueue, exchange: Waits, *, back: bool) -> Waiting:
        """Have an exchange wait at the owner. Each time by another claim: an answer to the former may be on its way."""
        waiting = Waiting(next(self._numbers), queue, exchange, back=back)
        self.waiting[waiting.claim] = waiting
        queue.held += 1
        queue.held_bytes += waiting.size
        self._send(waiting)
        return waiting

    def has(self, waiting: Waiting) -> bool:
        """Tell whether a claim has no answer yet."""
        return self.waiting.get(waiting.claim) is waiting

    def withdraw(self, waiting: Waiting) -> bool:
        """Have a claim wait no more; False if it has an answer already."""
        if not self.has(waiting):
            return False
        self._end(waiting)
        if not self.take_back(waiting.said):
            self.put(m.Withdraw(waiting.claim))
        return True

    def _send(self, waiting: Waiting) -> None:
        """Claim; where a slot may come back any moment, not at once."""
        claim, exchange, queue = waiting.claim, waiting.exchange, waiting.queue
        waiting.said = m.Claim(claim, queue.revision.name, exchange.arrived, waiting.size, waiting.back)
        (self.put if queue.has_slots else self.send)(waiting.said)

    def _end(self, waiting: Waiting) -> None:
        del self.waiting[waiting.claim]
        waiting.queue.held -= 1
        waiting.queue.held_bytes -= waiting.size

    def _answered(self, claim: int) -> Waiting | None:
        """Return who waits for an answer, and take back what was claimed once more while that was under way."""
        waiting = self.waiting.get(claim)
        if waiting is not None:
            self._end(waiting)
            if waiting.repeated:
                self.send(m.Withdraw(claim))
        return waiting

    def _grant(self, message: m.Grant) -> None:
        """Hand a slot to who claimed it; if that one waits no more, do as with any slot that comes back."""
        waiting = self._answered(message.claim)
        queue = waiting.queue if waiting is not None else self._queues.get(message.revision)
        slots = queue.granted(message) if queue is not None else None
        if slots is None:
            self.send(m.Release(message.revision, message.endpoint))
        elif waiting is None:
            slots.lender.release(slots)
        if waiting is not None:
            waiting.slots = slots
            waiting.exchange.wake()

    def _apply(self, snapshot: m.Snapshot) -> None:
        """Take a snapshot; before a strict one is confirmed, what runs is told."""
        queue = self._queues.get(snapshot.revision)
        if queue is None:
            self.send(m.Drained(snapshot.version, snapshot.revision, ""))
        else:
            queue.apply(snapshot, self._clock())
        if not snapshot.free:
            self.report(snapshot.revision)
        self.send(m.Applied(snapshot.version, snapshot.revision))


class ClaimQueue(Queue):
    """Admission to one revision by the owner's leave; `held` counts those whose claims are with the owner. With `free`
    it may choose for itself, as far as a Snapshot says. (What each warm request calls of Queue is called by its name:
    super() would take 0.4 us of it.)"""

    slots_type = Lent

    def __init__(self, revision: Revision, claimer: Claimer, clock: Clock) -> None:
        super().__init__(revision, claimer.wake, clock)
        self.free = False
        self._owed: list[float] = []  # when those arrived elsewhere for whom slots are to come back
        self._claimer = claimer
        self._line: list[Waiting] = []  # who waits, and some who do not any more
        self._departed: dict[str, int] = {}  # replicas that still run something, and the snapshot without them

    def apply(self, snapshot: m.Snapshot, now: float) -> None:
        """Take a snapshot, and tell which of the replicas that it misses run nothing here."""
        before = self._all()
        self.free = snapshot.free
        self.update(Replicas(snapshot.revision, snapshot.endpoints, snapshot.start, snapshot.tls), now)
        here = {endpoint.replica for endpoint in snapshot.endpoints}
        running = self.in_flight()
        for slots in before:
            replica = slots.endpoint.replica
            if not self.free or slots.endpoint not in snapshot.endpoints:
                self._give_back(slots, slots.spare)
            if not self.free:
                self._occupy(slots)
            if replica in here:
                self._departed.pop(replica, None)
            elif replica in running:
                self._departed[replica] = snapshot.version
            else:
                self._claimer.send(m.Drained(snapshot.version, snapshot.revision, replica))

    def take(self) -> Slots | None:
        """Return a slot for a newcomer: of a replica of its own choice if there is no limit, else a spare one."""
        if self.held:
            return None
        if not self.revision.limits.container_concurrency:
            return Queue.take(self) if self.free else None
        usable: list[Lent] = self._usable  # type: ignore[assignment]  # see slots_type
        for slots in usable:
            left = slots.granted - slots.running - 1
            if left >= 0:
                slots.running += 1
                if left < slots.unused:
                    slots.unused = left
                return slots
        return None

    async def hold(self, exchange: Waits, ticket: Ticket, now: float, *, back: bool = False) -> Slots | None:  # noqa: ARG002
        """Wait for the owner's answer; see Queue."""
        if self._claimer.orphaned:
            raise gone()
        waiting = self._claimer.ask(self, exchange, back=back)
        self._enlist(waiting)
        try:
            await exchange.wait()
        except BaseException:
            if waiting.slots is not None:
                waiting.slots.lender.release(waiting.slots)
            else:
                self._claimer.withdraw(waiting)
            raise
        return waiting.slots

    @property
    def has_slots(self) -> bool:
        """Whether a slot may come back here that is kept for who waits."""
        return self.free and any(slots.granted for slots in cast("list[Lent]", self._usable))

    def granted(self, grant: m.Grant) -> Lent | None:
        """Return the slots of a replica after taking one that the owner has granted; None when it is unknown."""
        slots = cast("Lent | None", self._slots.get(grant.endpoint) or self._leaving.get(grant.endpoint))
        if slots is not None:
            slots.granted += 1
            slots.running += 1
        return slots

    def release(self, slots: Slots) -> None:
        """Give a slot back, or keep it for who waits here, or for the next request."""
        lent: Lent = slots  # type: ignore[assignment]  # see slots_type
        leaves = slots.endpoint in self._leaving if self._leaving else False
        Queue.release(self, slots)
        if lent.granted > lent.running and (self.held or self._owed or leaves or not self._keeps(lent)):
            self._settle(lent, leaves=leaves)
        if self._departed and not lent.running:
            replica = lent.endpoint.replica
            if replica in self._departed and replica not in self.in_flight():
                self._claimer.send(m.Drained(self._departed.pop(replica), self.revision.name, replica))

    def recall(self, arrived: tuple[float, ...]) -> None:
        """Give back a slot for each who `arrived` then elsewhere: what is spare now, and others as they come free."""
        self._owed = list(arrived)
        for slots in self._all():
            self._settle(slots)

    def expire(self, now: float) -> None:
        """Answer those whose hold has ended, without the owner, which may be one that cannot be asked."""
        for waiting in [each for each in self._line if self._claimer.has(each)] if self.held else ():
            if waiting.deadline <= now:
                waiting.exchange.fail(self.hold_timeout(waiting.deadline - waiting.exchange.arrived))

    def dissolve(self) -> None:
        """End the wait of all without an answer, and withdraw their claims: some may come to the owner after it has
        done the same."""
        for waiting in list(self._claimer.waiting.values()) if self.held else ():
            if waiting.queue is self:
                self._claimer.withdraw(waiting)
                waiting.exchange.wake()

    def avoid(self, slots: Slots, seconds: float) -> None:
        """Send nothing to a replica for a moment, here or elsewhere."""
        super().avoid(slots, seconds)
        self._claimer.send(m.Avoid(self.revision.name, slots.endpoint, seconds))

    def give_back_unused(self) -> None:
        """Give back the slots that nobody needed since the last call."""
        for slots in self._all():
            if slots.granted:
                self._give_back(slots, min(slots.unused, slots.spare))
                slots.unused = slots.spare

    def _enlist(self, waiting: Waiting) -> None:
        if len(self._line) > 2 * self.held + 64:
            self._line = [each for each in self._line if self._claimer.has(each)]
            heapify(self._line)
        heappush(self._line, waiting)

    def _settle(self, slots: Lent, *, leaves: bool = False) -> None:
        """Give what is spare to the first who waits, here or elsewhere: the owner would do the same, but later. What is
        not to be used here goes back, and is of no use to those elsewhere either."""
        if leaves or not self._keeps(slots):
            self._give_back(slots, slots.spare)
        while (self._owed or self.held) and slots.spare:
            first = self._first_here()
            if self._owed and (first is None or self._owed[0] <= first.exchange.arrived):
                self._owed.pop(0)
                self._give_back(slots, 1)
            elif first is not None:
                heappop(self._line)
                self._claimer.withdraw(first)
                slots.running += 1
                first.slots = slots
                first.exchange.wake()
            else:
                return

    def _first_here(self) -> Waiting | None:
        while self._line:
            first = self._line[0]
            if self._claimer.has(first) and first.exchange.failure is None:
                return first
            heappop(self._line)
        return None

    def _keeps(self, slots: Lent) -> bool:
        limited = self.revision.limits.container_concurrency > 0
        return self.free and limited and (not slots.suspect_until or slots.suspect_until <= self._clock())

    def _occupy(self, slots: Lent) -> None:
        own = slots.running - slots.granted
        if own > 0 and self.revision.limits.container_concurrency:
            slots.granted += own
            self._claimer.send(m.Occupy(self.revision.name, slots.endpoint, own))

    def _give_back(self, slots: Lent, count: int) -> None:
        if count:
            slots.granted -= count
            self._claimer.send(m.Release(self.revision.name, slots.endpoint, count))

    def _all(self) -> list[Lent]:
        return cast("list[Lent]", [*self._slots.values(), *self._leaving.values()])


def gone() -> EdgeError:
    """Return what a request is told that would have to wait for an owner that is gone."""
    return EdgeError(Reason.SHUTTING_DOWN, "The edge has lost its main process, and is going.", retry_after=1.0)
