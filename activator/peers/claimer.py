"""The side of those who have clients: queues whose waiters wait at the owner.

A request of an unlimited revision is sent on at once, by the last snapshot. Any other is a claim, which waits in the
owner's queue. A slot that comes back stays here for a moment as a *spare* one while nobody waits, so that the next
request needs no claim; the owner recalls as many as others wait for, and those that are not used go back by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from activator.peers import messages as m
from router.errors import EdgeError, Reason
from router.ports import Replicas
from router.queue import Queue
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
    """A claim that is with the owner; `slots` is what it was granted. One that was `repeated` may wait there twice."""

    __slots__ = ("exchange", "queue", "repeated", "slots")

    def __init__(self, queue: ClaimQueue, exchange: Waits) -> None:
        self.queue = queue
        self.exchange = exchange
        self.slots: Lent | None = None
        self.repeated = False


class Claimer:
    """The claims of all revisions. `send` takes what is to be told the owner; `report` tells it what was counted of a
    revision; `bar` ends requests of a revision whose body still comes."""

    def __init__(self, send: Callable[[m.ToOwner], None], clock: Clock) -> None:
        self.send = send
        self.report: Callable[[str], None] = lambda _: None
        self.bar: Callable[[str, EdgeError], None] = lambda *_: None
        self.waiting: dict[int, Waiting] = {}
        self.orphaned = False
        self._clock = clock
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
                    queue.recall(message.slots)
            case m.Snapshot():
                self._apply(message)

    def lose_owner(self) -> None:
        """Answer all claims, and those to come: the owner is gone."""
        self.orphaned = True
        for claim in list(self.waiting):
            self.waiting.pop(claim).exchange.fail(gone())

    def sweep(self) -> None:
        """Give back the slots that nobody needed for a while."""
        for queue in list(self._queues.values()):
            queue.give_back_unused()

    def repeat(self) -> None:
        """Claim again what waits, of an owner that may not know of it."""
        for claim, waiting in self.waiting.items():
            exchange = waiting.exchange
            waiting.repeated = True
            self.send(m.Claim(claim, waiting.queue.revision.name, exchange.arrived, exchange.size))

    def _answered(self, claim: int) -> Waiting | None:
        """Return who waits for an answer, and take back what was claimed once more while that was under way."""
        waiting = self.waiting.pop(claim, None)
        if waiting is not None and waiting.repeated:
            self.send(m.Withdraw(claim))
        return waiting

    def _grant(self, message: m.Grant) -> None:
        """Hand a slot to who claimed it, or back if nobody waits any more."""
        waiting = self._answered(message.claim)
        slots = waiting.queue.granted(message) if waiting is not None else None
        if slots is None:
            self.send(m.Release(message.revision, message.endpoint))
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
    it may choose for itself, as far as a Snapshot says."""

    slots_type = Lent

    def __init__(self, revision: Revision, claimer: Claimer, clock: Clock) -> None:
        super().__init__(revision, claimer.wake, clock)
        self.free = False
        self._owed = 0  # slots that the owner has recalled, and that run something
        self._claimer = claimer
        self._departed: dict[str, int] = {}  # replicas that still run something, and the snapshot without them

    def apply(self, snapshot: m.Snapshot, now: float) -> None:
        """Take a snapshot, and tell which of the replicas that it misses run nothing here."""
        before = self._all()
        self.free = snapshot.free
        self.update(Replicas(snapshot.revision, snapshot.endpoints, snapshot.start), now)
        here = {endpoint.replica for endpoint in snapshot.endpoints}
        for slots in before:
            replica = slots.endpoint.replica
            if not self.free or slots.endpoint not in snapshot.endpoints:
                self._give_back(slots, slots.spare)
            if not self.free:
                self._occupy(slots)
            if replica in here:
                self._departed.pop(replica, None)
            elif slots.running:
                self._departed[replica] = snapshot.version
            else:
                self._claimer.send(m.Drained(snapshot.version, snapshot.revision, replica))

    def take(self) -> Slots | None:
        """Return a slot for a newcomer: of a replica of its own choice if there is no limit, else a spare one."""
        if self.held:
            return None
        if not self.revision.limits.container_concurrency:
            return super().take() if self.free else None
        for slots in cast("list[Lent]", self._usable):
            left = slots.granted - slots.running - 1
            if left >= 0:
                slots.running += 1
                if left < slots.unused:
                    slots.unused = left
                return slots
        return None

    async def hold(self, exchange: Waits, ticket: Ticket, now: float) -> Slots | None:  # noqa: ARG002
        """Wait for the owner's answer; see Queue."""
        if self._claimer.orphaned:
            raise gone()
        claim = cast("int", ticket)
        waiting = self._claimer.waiting[claim] = Waiting(self, exchange)
        self._claimer.send(m.Claim(claim, self.revision.name, exchange.arrived, exchange.size))
        self.held += 1
        try:
            await exchange.wait()
        except BaseException:
            if waiting.slots is not None:
                waiting.slots.lender.release(waiting.slots)
            elif self._claimer.waiting.pop(claim, None) is not None:
                self._claimer.send(m.Withdraw(claim))
            raise
        finally:
            self.held -= 1
        return waiting.slots

    def granted(self, grant: m.Grant) -> Lent | None:
        """Return the slots of a replica after taking one that the owner has granted; None when it is unknown."""
        slots = cast("Lent | None", self._slots.get(grant.endpoint) or self._leaving.get(grant.endpoint))
        if slots is not None:
            slots.granted += 1
            slots.running += 1
        return slots

    def release(self, slots: Slots) -> None:
        """Give a slot back, or keep it for the next request."""
        leaves = bool(self._leaving) and slots.endpoint in self._leaving
        super().release(slots)
        lent = cast("Lent", slots)
        if lent.granted > lent.running and (leaves or self.held or self._owed or not self._keeps(lent)):
            self._give_back(lent, lent.spare)
        if not lent.running and self._departed:
            version = self._departed.pop(lent.endpoint.replica, None)
            if version is not None:
                self._claimer.send(m.Drained(version, self.revision.name, lent.endpoint.replica))

    def recall(self, count: int) -> None:
        """Give back so many slots: what is spare now, and others as they come free."""
        everyone = self._all()
        self._owed = min(self._owed + count, sum(slots.granted for slots in everyone))
        for slots in everyone:
            self._give_back(slots, min(slots.spare, self._owed))

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

    def _keeps(self, slots: Lent) -> bool:
        return self.free and self.revision.limits.container_concurrency > 0 and slots.suspect_until <= self._clock()

    def _occupy(self, slots: Lent) -> None:
        own = slots.running - slots.granted
        if own > 0 and self.revision.limits.container_concurrency:
            slots.granted += own
            self._claimer.send(m.Occupy(self.revision.name, slots.endpoint, own))

    def _give_back(self, slots: Lent, count: int) -> None:
        if count:
            slots.granted -= count
            self._owed = max(0, self._owed - count)
            self._claimer.send(m.Release(self.revision.name, slots.endpoint, count))

    def _all(self) -> list[Lent]:
        return cast("list[Lent]", [*self._slots.values(), *self._leaving.values()])


def gone() -> EdgeError:
    """Return what a request is told that would have to wait for an owner that is gone."""
    return EdgeError(Reason.SHUTTING_DOWN, "The edge has lost its main process, and is going.", retry_after=1.0)
