"""Whose admission to a revision is, at one of several edges: sends claims to their owners, grants what is ours, and
changes from one to the other when edges join or leave.

An edge that acts by its view (see views) has heard from all others what they have running, since that is part of what
they announce. Until then it holds what is limited; what is not limited never comes here.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from activator.front import PeerFacts
from activator.peers import messages as m
from activator.peers.claimer import Claimer
from activator.peers.ledger import Ledger
from activator.peers.pacts import Seen, View
from activator.peers.shared import OwnQueue, PeerQueue
from activator.peers.views import Announced, Views, owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.peers.account import Line
    from activator.peers.pacts import ToPeer
    from router.ports import Clock
    from router.queue import Queue
    from router.queues import Queues
    from router.table import Revision


class Nowhere:
    """The way to an edge that was never met."""

    def send(self, message: m.Message) -> None:
        """See Line."""


class Tenure:
    """The admission of the edge `me`. `queues` is set once they are made, with `make_queue`. `moves` counts revisions
    that got another owner. `on_gone` is told of edges of which a peer has found out that they are gone."""

    queues: Queues

    def __init__(self, me: str, clock: Clock) -> None:
        self.views = Views(me)
        self.ledgers: dict[str, Ledger] = {}
        self.moves = 0
        self.on_gone: Callable[[str], None] = self.forget
        self._claimers: dict[str, Claimer] = {}
        self._strict: frozenset[str] = frozenset()
        self._agreed = True
        self._numbers = count()
        self._clock = clock

    # the router's side

    def make_queue(self, revision: Revision, wake: Callable[[str], None], clock: Clock) -> Queue:
        """Return the queue of a revision; one that is back in the table may run at others still."""
        queue = self._make(revision, wake, clock)
        self._lend_again(queue)
        return queue

    def _make(self, revision: Revision, wake: Callable[[str], None], clock: Clock) -> Queue:
        owner = self._owner(revision)
        if owner is None:
            queue: Queue = OwnQueue(revision, wake, clock)
        else:
            queue = PeerQueue(revision, self._claimers[owner], wake, clock)
        queue.closed = self._is_closed(queue)
        return queue

    def table_replaced(self) -> None:
        """Take note that the queues have another table's revisions: what is limited may have changed."""
        self._gate()
        if self._fit():
            self._begin(self.views.members, self.views.lost)
            self._announce()
        for ledger in self.ledgers.values():
            ledger.retry(self._clock())

    def restrict(self, strict: frozenset[str]) -> None:
        """Begin nothing of these revisions, whoever owns them."""
        self._strict = strict
        self._gate()

    def facts(self) -> PeerFacts:
        """Return what metrics tell."""
        views = self.views
        limited = [name for name, queue in self.queues.items() if queue.revision.limits.container_concurrency]
        owners = {name: views.owner(name) for name in limited}
        return PeerFacts(len(views.members) - 1, len(views.lost), views.agreed, self.moves, owners)

    # towards peers

    def join(self, peer: str, line: Line) -> None:
        """Take an edge with which there is a connection now."""
        former = self.ledgers.get(peer)
        self.ledgers[peer] = ledger = Ledger(line, next(self._numbers), self.queues)
        if former is not None:
            former.withdraw_all()
            ledger.lent, ledger.known = former.lent, former.known  # until its view tells what it runs now
        self._enlist(peer)
        self._see(self.views.members | {peer}, self.views.lost - {peer})

    def lose(self, peer: str) -> None:
        """Take note that an edge cannot be reached, but may live. What it runs keeps its slots, and what it owns is
        held. One that was never met has a ledger, too, since it may run what nobody has told."""
        if peer in self.ledgers:
            self.ledgers[peer].withdraw_all()
        else:
            self.ledgers[peer] = Ledger(Nowhere(), next(self._numbers), self.queues)
        if peer not in self._claimers:
            self._enlist(peer)
        self._see(self.views.members - {peer}, self.views.lost | {peer})

    def forget(self, peer: str) -> None:
        """Take note that an edge is gone, with all that it had running."""
        ledger = self.ledgers.pop(peer, None)
        if ledger is not None:
            ledger.give_up()
        if peer in self.views.members | self.views.lost:
            self._see(self.views.members - {peer}, self.views.lost - {peer})
            del self._claimers[peer]

    def _enlist(self, peer: str) -> None:
        claimer = self._claimers[peer] = Claimer(lambda message: self._send(peer, message), self._clock)
        claimer.heard = lambda: self.views.agrees(peer)

    def hear(self, peer: str, message: ToPeer) -> None:  # noqa: C901 - one line a message
        """Take a message of a peer, in its order."""
        ledger = self.ledgers[peer]
        match message:
            case View():
                self._hear_view(peer, ledger, message)
            case Seen():
                self.views.acknowledged(peer, message.epoch)
                self._check()
            case m.Claim():
                if self.views.agrees(peer) and self.views.owner(message.revision) == self.views.me:
                    ledger.ask(message, self._clock())
            case m.Withdraw():
                ledger.withdraw(message.claim)
            case m.Release():
                ledger.release(message.revision, message.endpoint, message.slots)
            case m.Avoid():
                ledger.avoid(message.revision, message.endpoint, message.seconds)
            case m.Grant():
                if message.epoch == self.views.epoch:
                    self._claimers[peer].hear(message)
            case m.Refuse() | m.Move():
                self._claimers[peer].hear(message)

    def _hear_view(self, peer: str, ledger: Ledger, view: View) -> None:
        ledger.replace(view.epoch, view.running)
        ledger.known = view.members | view.lost
        for name in self.views.heard(peer, Announced(view.members, view.lost, view.epoch)):
            self.on_gone(name)
        self._check()
        self._acknowledge(peer)

    def _acknowledge(self, peer: str) -> None:
        """Claim again what waits, of a peer that sees the same, and then say that its view was heard, before which it
        grants nothing. Those who were woken just now, to wait in another queue, claim before that, too."""
        if self.views.agrees(peer):
            self._claimers[peer].repeat()
        epoch = self.views.epoch_of(peer)
        if epoch:
            asyncio.get_running_loop().call_soon(self.ledgers[peer].line.send, Seen(epoch))

    def _send(self, peer: str, message: m.ToOwner) -> None:
        """Send what a claimer says, if it can be heard."""
        if self.views.agrees(peer) if isinstance(message, m.Claim) else peer in self.views.members:
            self.ledgers[peer].line.send(message)

    def _see(self, members: frozenset[str], lost: frozenset[str]) -> None:
        self._begin(members, lost)
        self._fit()
        self._announce()
        self._gate()

    def _begin(self, members: frozenset[str], lost: frozenset[str]) -> None:
        """Begin a new view; nothing is granted before others have heard of it."""
        self.views.see(members, lost)
        for ledger in [self.ledgers[peer] for peer in lost]:
            ledger.known = ledger.known and ledger.known | members | lost
        self._check()

    def _announce(self) -> None:
        """Tell all peers our view, and each what runs here in slots that it owns now."""
        for peer in self.views.members - {self.views.me}:
            mine = [
                queue for queue in self.queues.values() if isinstance(queue, PeerQueue) and self._is_at(queue, peer)
            ]
            running = [(each.revision.name, *pair) for each in mine for pair in each.running().items()]
            self.ledgers[peer].line.send(View(self.views.epoch, self.views.members, self.views.lost, running))
            self._acknowledge(peer)
        self._check()

    def _check(self) -> None:
        """Act by the view from now on, or no more."""
        agreed = self.views.agreed
        if agreed == self._agreed:
            return
        self._agreed = agreed
        self._gate()

    def _gate(self) -> None:
        for queue in list(self.queues.values()):
            closed = self._is_closed(queue)
            if closed != queue.closed:
                queue.closed = closed
                queue.refresh(self._clock())

    def _is_closed(self, queue: Queue) -> bool:
        name, limited = queue.revision.name, queue.revision.limits.container_concurrency
        return name in self._strict or (bool(limited) and not (self._agreed and self._knows(name)))

    def _knows(self, revision: str) -> bool:
        """Tell whether no edge is lost that was met, and may run what another one lent to it that owned a revision
        before us: only the lost one can tell."""
        me = self.views.me
        if self.views.owner(revision) != me:
            return True
        lost = [self.ledgers[peer].known for peer in self.views.lost]
        return all(owner(revision, known) == me for known in lost if known)

    def _fit(self) -> bool:
        """Give every revision the queue that its owner asks for; tell whether that changed anything."""
        misfits = [name for name, queue in self.queues.items() if not self._fits(queue)]
        for name in misfits:
            self._swap(name, self.queues[name])
        self.moves += len(misfits)
        return bool(misfits)

    def _fits(self, queue: Queue) -> bool:
        owner = self._owner(queue.revision)
        return isinstance(queue, OwnQueue) if owner is None else self._is_at(queue, owner)

    def _is_at(self, queue: Queue, peer: str) -> bool:
        return isinstance(queue, PeerQueue) and queue.claimer is self._claimers.get(peer)

    def _swap(self, name: str, former: Queue) -> None:
        for ledger in self.ledgers.values():
            ledger.withdraw_all(name)
        queue = self._make(former.revision, self.queues.wake, self._clock)
        queue.take_over(former)
        self._lend_again(queue)
        self.queues[name] = queue
        former.dissolve()

    def _lend_again(self, queue: Queue) -> None:
        if isinstance(queue, OwnQueue):
            for ledger in self.ledgers.values():
                ledger.lend_again(queue.revision.name, queue)

    def _owner(self, revision: Revision) -> str | None:
        """Return the peer that owns a revision; None when it is ours, or has no owner because it has no limit."""
        if not revision.limits.container_concurrency:
            return None
        owner = self.views.owner(revision.name)
        return None if owner == self.views.me else owner
