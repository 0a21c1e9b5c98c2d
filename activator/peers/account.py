"""What one claimer has of the owner: the slots that it was granted, and the claims that wait."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from activator.peers import messages as m
from router.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from router.ports import Endpoint
    from router.queue import Queue, Waiter
    from router.slots import Slots

MOST_RECALLED = 64  # slots at a time: those who wait for more are told of as these come back


class Line(Protocol):
    """The way to a claimer."""

    def send(self, message: m.Message) -> None:
        """Send a message in the order of sending."""


class Lost(Exception):
    """Nobody waits for the claim any more."""


class Account:
    """One claimer's slots and waiting claims; by revision also how many slots those are, in which order the claims
    arrived, and for whom elsewhere slots are to come back. `on_grant` is called with the revision before it is told
    of a slot."""

    def __init__(self, line: Line, number: int) -> None:
        self.line = line
        self.number = number
        self.on_grant: Callable[[str], None] = lambda _: None
        self.waiting: dict[int, Claim] = {}
        self._lent: dict[tuple[str, Endpoint], list[Slots]] = {}
        self._has: defaultdict[str, int] = defaultdict(int)
        self._owes: dict[str, tuple[float, ...]] = {}
        self._waits: defaultdict[str, list[float]] = defaultdict(list)

    def grant(self, claim: m.Claim, slots: Slots) -> None:
        """Put a slot that was taken on the account, and tell. Who else waits is told first: the slot may come back."""
        endpoint = slots.endpoint
        self._lent.setdefault((claim.revision, endpoint), []).append(slots)
        self._has[claim.revision] += 1
        self.on_grant(claim.revision)
        self.line.send(m.Grant(claim.claim, claim.revision, endpoint))

    def occupy(self, revision: str, slots: Slots, count: int) -> None:
        """Put slots on the account in which requests run already."""
        slots.running += count
        self._lent.setdefault((revision, slots.endpoint), []).extend([slots] * count)
        self._has[revision] += count

    def release(self, revision: str, endpoint: Endpoint, count: int) -> None:
        """Give back so many of the slots that were granted on a replica."""
        lent = self._lent.get((revision, endpoint), [])
        back, lent[:] = lent[:count], lent[count:]
        if not lent:
            self._lent.pop((revision, endpoint), None)
        _lower(self._has, revision, len(back))
        self._owe(revision, self._owes.get(revision, ())[len(back) :])
        for slots in back:
            slots.lender.release(slots)

    def has(self, revision: str) -> int:
        """Return how many slots of a revision may be recalled at a time."""
        return min(self._has.get(revision, 0), MOST_RECALLED)

    def first_of(self, revision: str, most: int) -> list[float]:
        """Return when those arrived who wait for a revision, in their order, at most so many."""
        return self._waits.get(revision, [])[:most]

    def recall(self, revision: str, others: Iterable[float]) -> None:
        """Ask for a slot of a revision for each who waits elsewhere (`others`: when they arrived, in order), as far as
        there are so many, in place of what was asked for before."""
        owed = tuple(islice(others, self.has(revision)))
        if owed != self._owes.get(revision, ()):
            self._owe(revision, owed)
            self.line.send(m.Recall(revision, owed))

    def avoid(self, revision: str, endpoint: Endpoint, seconds: float) -> None:
        """Send nothing to a replica for a moment, of which this claimer has a slot."""
        lent = self._lent.get((revision, endpoint))
        if lent:
            lent[-1].lender.avoid(lent[-1], seconds)

    def enlist(self, claim: int, waiting: Claim) -> None:
        """Take note of a claim that waits."""
        self.waiting[claim] = waiting
        insort(self._waits[waiting.revision], waiting.arrived)

    def strike(self, claim: int) -> None:
        """Take note that a claim waits no more."""
        waiting = self.waiting.pop(claim)
        line = self._waits[waiting.revision]
        del line[bisect_left(line, waiting.arrived)]
        if not line:
            del self._waits[waiting.revision]

    def withdraw(self, claim: int) -> None:
        """Give up a claim, if it waits still."""
        waiting = self.waiting.get(claim)
        if waiting is not None:
            waiting.fail(Lost())

    def give_up(self) -> None:
        """Withdraw everything, and give everything back."""
        for waiting in list(self.waiting.values()):
            waiting.fail(Lost())
        for (revision, endpoint), lent in list(self._lent.items()):
            self.release(revision, endpoint, len(lent))

    def _owe(self, revision: str, arrived: tuple[float, ...]) -> None:
        if arrived:
            self._owes[revision] = arrived
        else:
            self._owes.pop(revision, None)


def _lower(numbers: dict[str, int], name: str, by: int) -> None:
    left = numbers.get(name, 0) - by
    if left > 0:
        numbers[name] = left
    else:
        numbers.pop(name, None)


class Claim:
    """A claim in a queue, which waits as an exchange would. What ends the wait is told at once: before any snapshot
    that takes the granted replica away."""

    __slots__ = ("_account", "_message", "_queue", "_waiter", "arrived", "failure", "revision", "size")

    failure: Exception | None
    _waiter: Waiter

    def __init__(self, message: m.Claim, account: Account, queue: Queue) -> None:
        self.arrived = message.arrived
        self.size = message.size
        self.revision = message.revision
        self.failure = None
        self._message = message
        self._account = account
        self._queue = queue

    def enter(self, now: float) -> None:
        """Wait in the queue, in the order in which requests arrived at any process, and tell how that ends."""
        message, account = self._message, self._account
        try:
            self._waiter = self._queue.enter(
                self, (message.arrived, account.number, message.claim), now, back=message.back
            )
        except EdgeError as error:
            self._refuse(error)
        else:
            account.enlist(message.claim, self)

    def wake(self) -> None:
        """Tell of the slot, or that there is none because the revision has left the table."""
        message, account, slots = self._message, self._account, self._waiter.slots
        account.strike(message.claim)
        if slots is None:
            account.line.send(m.Move(message.claim))
        else:
            account.grant(message, slots)

    def fail(self, error: Exception) -> None:
        """Tell of an error of the edge; of a Lost nobody wants to hear."""
        self._queue.forget(self._waiter)
        self._account.strike(self._message.claim)
        if isinstance(error, EdgeError):
            self._refuse(error)

    def _refuse(self, error: EdgeError) -> None:
        refusal = m.Refuse(self._message.claim, error.reason, error.message, error.retry_after, dict(error.detail))
        self._account.line.send(refusal)
