"""What one claimer has of the owner: the slots that it was granted, and the claims that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from activator.peers import messages as m
from router.drive import Driven
from router.errors import EdgeError

if TYPE_CHECKING:
    from router.queue import Queue
    from router.slots import Slots


class Line(Protocol):
    """The way to a claimer."""

    def send(self, message: m.Message) -> None:
        """Send a message in the order of sending."""


class Lost(Exception):
    """Nobody waits for the claim any more."""


class Account:
    """One claimer's slots and waiting claims."""

    def __init__(self, line: Line, number: int) -> None:
        self.line = line
        self.number = number
        self.waiting: dict[int, Claim] = {}
        self._lent: dict[tuple[str, str], list[Slots]] = {}

    def grant(self, claim: m.Claim, slots: Slots) -> None:
        """Put a slot that was taken on the account, and tell."""
        replica = slots.endpoint.replica
        self._lent.setdefault((claim.revision, replica), []).append(slots)
        self.line.send(m.Grant(claim.claim, claim.revision, replica))

    def occupy(self, revision: str, slots: Slots, count: int) -> None:
        """Put slots on the account in which requests run already."""
        slots.running += count
        self._lent.setdefault((revision, slots.endpoint.replica), []).extend([slots] * count)

    def release(self, revision: str, replica: str, count: int) -> None:
        """Give back so many of the slots that were granted on a replica."""
        lent = self._lent.get((revision, replica), [])
        for _ in range(min(count, len(lent))):
            slots = lent.pop()
            slots.lender.release(slots)
        if not lent:
            self._lent.pop((revision, replica), None)

    def avoid(self, revision: str, replica: str, seconds: float) -> None:
        """Send nothing to a replica for a moment, of which this claimer has a slot."""
        lent = self._lent.get((revision, replica))
        if lent:
            lent[-1].lender.avoid(lent[-1], seconds)

    def withdraw(self, claim: int) -> None:
        """Give up a claim, if it waits still."""
        waiting = self.waiting.get(claim)
        if waiting is not None:
            waiting.fail(Lost())

    def give_up(self) -> None:
        """Withdraw everything, and give everything back."""
        for waiting in list(self.waiting.values()):
            waiting.fail(Lost())
        for (revision, replica), lent in list(self._lent.items()):
            self.release(revision, replica, len(lent))


class Claim(Driven):
    """A claim that waits in a queue, as an exchange would. What ends the wait is told at once: before any snapshot that
    takes the granted replica away."""

    __slots__ = ("_account", "_message", "arrived", "failure", "revision", "size")

    def __init__(self, message: m.Claim, account: Account) -> None:
        self.arrived = message.arrived
        self.size = message.size
        self.revision = message.revision
        self.failure = None
        self._waits = False
        self._message = message
        self._account = account

    def wake(self) -> None:
        """End the wait now."""
        self.resume()

    async def hold(self, queue: Queue, now: float) -> None:
        """Wait in `queue`, in the order in which requests arrived at any process, and tell how it ended."""
        message, account = self._message, self._account
        account.waiting[message.claim] = self
        try:
            slots = await queue.hold(self, (message.arrived, account.number, message.claim), now)
        except EdgeError as error:
            refusal = m.Refuse(message.claim, error.reason, error.message, error.retry_after, dict(error.detail))
            account.line.send(refusal)
        except Lost:
            pass
        else:
            if slots is None:
                account.line.send(m.Move(message.claim))
            else:
                account.grant(message, slots)
        finally:
            del account.waiting[message.claim]
