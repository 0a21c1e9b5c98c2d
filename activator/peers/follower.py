"""One of several edges as its leader knows it: sees replicas itself, and leaves alone those that the leader ends.

To have left a replica is a promise: whoever was told may end it at any time. It is kept while the leader cannot be
heard, since it may lead still, until it is known to be gone, leads no more, or another one does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from activator.peers import messages as m
from activator.peers.pacts import Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.peers.tenure import Tenure
    from router.ports import Clock, Replicas, RevisionStats
    from router.proxy import Proxy


class Leader(Protocol):
    """The link to a peer that leads, or did."""

    peer: str
    leads: bool

    def send(self, message: m.Message) -> None:
        """Send a message in the order of sending."""


class Orders:
    """What the leader has said of one revision. `known` are the replicas that it has ever named, `usable` those that it
    named last as such."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.usable: frozenset[str] = frozenset()
        self.version = 0
        self.strict = False

    @property
    def ending(self) -> set[str]:
        """Replicas that the leader does not name any more. One that it has not seen yet is not among them."""
        return self.known - self.usable


class Follower:
    """An edge's part of what the council agrees to. `leader` is the link to who leads, None while nobody else does;
    `replicas` is the capacity as this edge sees it."""

    def __init__(self, proxy: Proxy, tenure: Tenure, clock: Clock) -> None:
        self.leader: Leader | None = None
        self.replicas: dict[str, Replicas] = {}
        self._obeyed = ""  # the peer that gave the orders
        self._proxy = proxy
        self._tenure = tenure
        self._clock = clock
        self._counted = clock()
        self._open: set[str] = set()  # revisions that had open requests when they were last told
        self._orders: dict[str, Orders] = {}
        self._departed: dict[tuple[str, str], int] = {}  # of which the leader waits to hear, and the snapshot

    def see(self, replicas: Replicas) -> None:
        """Take a capacity snapshot."""
        self.replicas[replicas.revision] = replicas
        self._apply(replicas.revision)

    def follow(self, leader: Leader | None) -> None:
        """Take note of who leads: tell all to a new leader, and drop the former one's orders."""
        if leader is self.leader:
            return
        if leader is None or leader.peer != self._obeyed:
            self.release()
        self.leader = leader
        if leader is not None:
            self._obeyed = leader.peer
            for name in self._proxy.counters.revisions:
                self._tell(name)
            leader.send(Told())

    def release(self) -> None:
        """Obey nobody: this edge leads, or nobody does."""
        self.leader, self._obeyed = None, ""
        ordered, self._orders = self._orders, {}
        self._departed.clear()
        self._restrict()
        for name in ordered:
            self._apply(name)

    def lost(self, peer: str) -> None:
        """Take note that a peer cannot be heard: what it ends is left alone, everything else begins again."""
        if self.leader is not None and self.leader.peer == peer:
            self.leader = None
            self._departed.clear()
            for orders in self._orders.values():
                orders.strict = False
            self._restrict()

    def gone(self, peer: str) -> None:
        """Take note that a peer has ended, or leads no more."""
        if self._obeyed == peer:
            self.release()

    def obey(self, peer: str, snapshot: m.Snapshot) -> None:
        """Take the leader's word of a revision, tell what is open, and confirm."""
        leader, name = self.leader, snapshot.revision
        if leader is None or leader.peer != peer:
            return
        orders = self._orders.setdefault(name, Orders())
        orders.usable = frozenset(endpoint.replica for endpoint in snapshot.endpoints)
        orders.known |= orders.usable.union(snapshot.ending)
        orders.version, orders.strict = snapshot.version, not snapshot.free
        self._restrict()
        self._apply(name)
        self._tell(name)
        leader.send(m.Applied(snapshot.version, name))
        taken = self._taken(name)
        self._departed.update({(name, each): snapshot.version for each in taken if each not in orders.usable})
        for replica in orders.ending - taken:
            leader.send(m.Drained(snapshot.version, name, replica))
        self._tell_if_drained(name)

    def sweep(self) -> None:
        """Tell which replicas run nothing any more, and forget revisions that have left, but for what was promised of
        them; to be called a few times a second."""
        for name in self._orders.keys() - self._proxy.queues.keys():
            orders = self._orders[name]
            promised = orders.ending if name in self.replicas else orders.known  # it may yet be in the table
            if not promised and not orders.strict:
                del self._orders[name]
        for name in self.replicas.keys() - self._proxy.queues.keys():
            del self.replicas[name]
        for name, replica in list(self._departed):
            if replica not in self._taken(name) and self.leader is not None:
                self.leader.send(m.Drained(self._departed.pop((name, replica)), name, replica))
                self._tell_if_drained(name)

    def _taken(self, name: str) -> set[str]:
        """Return the replicas on which something runs, or that are lent: another edge may be about to begin there."""
        queue = self._proxy.queues.get(name)
        _, here, leaving = queue.parts() if queue is not None else (None, {}, {})
        return {slots.endpoint.replica for slots in (*here.values(), *leaving.values()) if slots.running}

    def poke(self, revision: str) -> None:
        """Tell the leader at once that a request needs a replica."""
        if self.leader is not None:
            self._tell(revision)
            self.leader.send(m.Poke(revision))

    def counted(self, stats: Mapping[str, RevisionStats]) -> None:
        """Tell the leader what was counted in the last period."""
        now = self._clock()
        seconds, self._counted = now - self._counted, now
        for name, each in stats.items():
            tally = self._proxy.counters.tally(name)
            if each.open or each.requests or name in self._open or (tally is not None and tally.answered):
                self._send(name, each, each.concurrency * seconds)

    def _tell(self, name: str) -> None:
        """Tell the leader the state of one revision; what was counted follows with the period."""
        self._send(name, self._proxy.look(name), 0.0)

    def _send(self, name: str, stats: RevisionStats, area: float) -> None:
        if self.leader is None:
            return
        (self._open.add if stats.open else self._open.discard)(name)
        tally = self._proxy.counters.tally(name)
        self.leader.send(
            m.Count(
                revision=name,
                at=self._clock(),
                area=area,
                requests=stats.requests,
                open=stats.open,
                idle_since=stats.idle_since,
                tagged_open=stats.tagged_open,
                tagged_since=stats.tagged_since,
                busy=dict(stats.busy),
                reasons={},
                durations={},
                holds=([], 0.0),
                tally=None if tally is None else tally.take(),
            )
        )

    def _tell_if_drained(self, name: str) -> None:
        """Confirm all that has left at once, for a leader that may wait for replicas which we never knew."""
        orders = self._orders.get(name)
        if self.leader is not None and orders is not None and not any(key[0] == name for key in self._departed):
            self.leader.send(m.Drained(orders.version, name, ""))

    def _apply(self, name: str) -> None:
        """Have the router use what there is, but for what the leader ends."""
        replicas, orders = self.replicas.get(name), self._orders.get(name)
        if replicas is None:
            return
        if orders is not None and orders.ending:
            usable = tuple(each for each in replicas.endpoints if each.replica not in orders.ending)
            orders.known &= {each.replica for each in replicas.endpoints} | orders.usable
            replicas = replace(replicas, endpoints=usable)
        self._proxy.update(replicas)

    def _restrict(self) -> None:
        self._tenure.restrict(frozenset(name for name, orders in self._orders.items() if orders.strict))
