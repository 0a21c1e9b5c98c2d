"""The queues of a revision at one of several edges: at its owner, and at the others.

Which of the two it is changes while requests run. What runs goes on in its slots, which are handed from one queue to
the next; those who wait are woken, and wait in the next queue, by their time of arrival.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from activator.peers.claimer import ClaimQueue, Lent
from router.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.peers import messages as m
    from activator.peers.claimer import Claimer
    from router.ports import Clock, Endpoint
    from router.queue import Held, Ticket, Waiter, Waits
    from router.slots import Slots
    from router.table import Revision

OURS = -1  # in tickets, before the numbers of all peers


class OwnQueue(Queue):
    """Admission to a revision that is ours to grant, or that has no limit. Of what runs on a replica, `granted` (see
    Lent) is what is lent to other edges."""

    slots_type = Lent

    def enter(self, exchange: Held, ticket: Ticket, now: float, *, back: bool = False) -> Waiter:
        """Have it wait in the order in which requests arrived at any edge; see Queue."""
        number = ticket if isinstance(ticket, tuple) else (exchange.arrived, OURS, ticket)
        return super().enter(exchange, number, now, back=back)

    def lend(self, endpoint: Endpoint, count: int) -> None:
        """Take note of slots that another edge has been using since before this queue was ours."""
        slots = cast("Lent", self.slots_of(endpoint))
        slots.running += count
        slots.granted += count

    def take_back(self, endpoint: Endpoint, count: int) -> None:
        """Take slots back that were lent to another edge."""
        slots = self._at(endpoint)
        for _ in range(count if slots is not None else 0):
            slots = cast("Lent", slots)
            slots.granted -= 1
            self.release(slots)

    def avoid_at(self, endpoint: Endpoint, seconds: float) -> None:
        """Send nothing to a replica for a moment: another edge could not connect it."""
        slots = self._at(endpoint)
        if slots is not None:
            self.avoid(slots, seconds)

    def in_flight(self) -> dict[str, int]:
        """Return the requests of this edge running per replica, at whatever address, replicas without any left out."""
        running = Counter(super().in_flight())
        for slots in _lent(self):
            running[slots.endpoint.replica] -= slots.granted
        return +running

    def take_over(self, former: Queue) -> None:
        """See Queue: nothing is lent yet."""
        for slots in _lent(former):
            slots.granted = 0
        super().take_over(former)

    def _at(self, endpoint: Endpoint) -> Lent | None:
        return cast("Lent | None", self._slots.get(endpoint) or self._leaving.get(endpoint))


class PeerQueue(ClaimQueue):
    """Admission to a limited revision that another edge grants. No slot is kept for the next request."""

    def __init__(self, revision: Revision, claimer: Claimer, wake: Callable[[str], None], clock: Clock) -> None:
        super().__init__(revision, claimer, clock)
        self._wake = wake
        self.claimer = claimer

    def take_over(self, former: Queue) -> None:
        """See Queue: what is lent to others is theirs to tell."""
        for slots in _lent(former):
            if isinstance(former, OwnQueue):
                slots.running -= slots.granted
            slots.granted = slots.running
            if not slots.running and slots.awaited is not None:
                slots.awaited.set()
        super().take_over(former)
        self._leaving = {endpoint: slots for endpoint, slots in self._leaving.items() if slots.running}

    async def hold(self, exchange: Waits, ticket: Ticket, now: float, *, back: bool = False) -> Slots | None:
        """Wait for the owner's answer; see Queue. An owner that cannot be asked has the queue's bounds kept here. The
        leader hears at once of a request that needs a replica, and from who counts it."""
        if not self.claimer.heard():
            self._check_room(exchange, now, back=back)
        self._call(back=back)
        return await super().hold(exchange, ticket, now, back=back)

    def granted(self, grant: m.Grant) -> Lent | None:
        """Return the slots of a replica after taking one; the owner may know replicas that we do not know yet."""
        self.slots_of(grant.endpoint)
        return super().granted(grant)

    def running(self) -> Mapping[Endpoint, int]:
        """Return what runs here, per replica."""
        everyone = [*self._slots.values(), *self._leaving.values()]
        return {slots.endpoint: slots.running for slots in everyone if slots.running}


def _lent(queue: Queue) -> list[Lent]:
    _, here, leaving = queue.parts()
    return cast("list[Lent]", [*here.values(), *leaving.values()])
