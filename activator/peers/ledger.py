"""What an owner has lent to one other edge, also while it does not own: a view may come back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from activator.peers import messages as m
from activator.peers.account import Account, Claim, Line
from activator.peers.shared import OwnQueue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activator.peers.claimer import Lent
    from router.ports import Endpoint
    from router.queues import Queues
    from router.slots import Slots


class Ledger(Account):
    """One peer's slots, counted by revision and endpoint, and its waiting claims. `epoch` is that of its last view;
    `known` are all edges in that view, or known here since then while it was lost: one of them may have lent to it,
    too. `parked` are its claims for revisions that are not in our table, or not yet."""

    def __init__(self, line: Line, number: int, queues: Queues) -> None:
        super().__init__(line, number)
        self.epoch = 0
        self.known: frozenset[str] = frozenset()
        self.lent: Counter[tuple[str, Endpoint]] = Counter()
        self.parked: dict[int, m.Claim] = {}
        self._queues = queues

    def ask(self, claim: m.Claim, now: float) -> None:
        """Grant a claim, or have it wait. One that waits already was sent again because the other one cannot know."""
        if claim.claim in self.waiting:
            return
        queue = self._queues.get(claim.revision)
        if not isinstance(queue, OwnQueue) or claim.revision in self._queues.retired:
            self.parked[claim.claim] = claim
            return
        slots = queue.take()
        if slots is not None:
            self.grant(claim, slots)
            return
        Claim(claim, self, queue).enter(now)

    def grant(self, claim: m.Claim, slots: Slots) -> None:
        """See Account."""
        cast("Lent", slots).granted += 1
        self.lent[claim.revision, slots.endpoint] += 1
        self.line.send(m.Grant(claim.claim, claim.revision, slots.endpoint, self.epoch))

    def release(self, revision: str, endpoint: Endpoint, count: int) -> None:
        """See Account."""
        key = (revision, endpoint)
        taken = min(count, self.lent[key])
        self.lent[key] -= taken
        if not self.lent[key]:
            del self.lent[key]
        self._change(key, -taken)

    def withdraw(self, claim: int) -> None:
        """See Account."""
        self.parked.pop(claim, None)
        super().withdraw(claim)

    def avoid(self, revision: str, endpoint: Endpoint, seconds: float) -> None:
        """See Account."""
        queue = self._queues.get(revision)
        if isinstance(queue, OwnQueue):
            queue.avoid_at(endpoint, seconds)

    def replace(self, epoch: int, running: Iterable[tuple[str, Endpoint, int]]) -> None:
        """Begin anew with what the peer tells that it has running."""
        self.withdraw_all()
        before, self.lent = self.lent, Counter()
        self.epoch = epoch
        for revision, endpoint, count in running:
            self.lent[revision, endpoint] += count
        for key in before.keys() | self.lent.keys():
            self._change(key, self.lent[key] - before[key])
        self.lent = +self.lent

    def withdraw_all(self, revision: str | None = None) -> None:
        """Withdraw all claims, or those for one revision."""
        for number, claim in list(self.waiting.items()):
            if revision is None or claim.revision == revision:
                self.withdraw(number)
        if revision is None:
            self.parked.clear()

    def retry(self, now: float) -> None:
        """Ask again for what was parked."""
        parked, self.parked = self.parked, {}
        for claim in parked.values():
            self.ask(claim, now)

    def lend_again(self, revision: str, queue: OwnQueue) -> None:
        """Tell a new queue of ours what is lent of it."""
        for (name, endpoint), count in self.lent.items():
            if name == revision:
                queue.lend(endpoint, count)

    def give_up(self) -> None:
        """See Account."""
        self.replace(self.epoch, ())

    def _change(self, key: tuple[str, Endpoint], by: int) -> None:
        queue = self._queues.get(key[0])
        if not isinstance(queue, OwnQueue) or not by:
            return
        if by > 0:
            queue.lend(key[1], by)
        else:
            queue.take_back(key[1], -by)
