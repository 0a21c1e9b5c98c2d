"""What several edges count together, and what they agree to: the router of all, as the loop and the scaler see it.

One edge leads (a Lease says which). The others tell it what they counted, every second and at once when a request needs
a replica, and do what it says of capacity: they begin nothing on replicas that it is about to end, and tell when those
run nothing any more; before the last replica goes they begin nothing at all. Without a leader each edge goes by what it
sees itself, and nothing is scaled down.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from activator.peers import messages as m
from activator.peers.agreement import Agreement
from activator.peers.follower import Follower, Leader
from activator.peers.owner import STRICT_SECONDS
from activator.peers.pacts import Told, ToPeer
from activator.peers.tally import Tally
from router.concurrency import later

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.peers.ledger import Ledger
    from activator.peers.tenure import Tenure
    from router.ports import Clock, Replicas, RevisionStats
    from router.proxy import Proxy


class Council:
    """The leader's part, and by `follower` that of others. `elected` tells whether this edge leads; `wake` asks its
    loop for capacity."""

    def __init__(self, proxy: Proxy, tenure: Tenure, wake: Callable[[str], None], clock: Clock) -> None:
        self.counters = proxy.counters
        self.follower = Follower(proxy, tenure, clock)
        self.elected: Callable[[], bool] = lambda: False
        self._proxy = proxy
        self._tenure = tenure
        self._ledgers = tenure.ledgers
        self._wake = wake
        self._clock = clock
        self._leads = False
        self._agreement = Agreement()
        self._tallies: dict[str, Tally] = {}
        self._told: set[str] = set()

    def leads(self) -> bool:
        """Tell whether this edge decides now: it is elected, and has heard what all others have open."""
        views = self._tenure.views
        return self._leads and self.elected() and self._told >= views.members - {views.me}

    # towards the loop and the scaler: what one process would be

    def update(self, replicas: Replicas) -> None:
        """Take a new capacity snapshot of one revision."""
        self.follower.see(replicas)
        if self._leads:
            self._agreement.announce(replicas, self._ledgers.values())

    def collect(self) -> Mapping[str, RevisionStats]:
        """Return what was counted per revision since the last call, and tell it."""
        stats = self._proxy.collect()
        self.follower.counted(stats)
        if not self._leads:
            return stats
        now = self._clock()
        self._tallies = {name: tally for name, tally in self._tallies.items() if name in stats}
        return {name: self._add(name, each, *self._tally(name).collect(now)) for name, each in stats.items()}

    def look(self, revision: str) -> RevisionStats:
        """Return the state of `revision` now, without what was counted in the period."""
        stats = self._proxy.look(revision)
        if self._leads:
            return self._add(revision, stats, 0.0, 0)
        return stats if stats.held <= stats.open else replace(stats, held=stats.open)  # others' claims are in our queue

    def settled(self, revision: str, then: Callable[[str], None]) -> bool:
        """Tell whether `look` sees every open request. While an edge is lost it does not; else, if it does not, all are
        asked to begin none, and `then` is called with the revision when they have agreed."""
        if self._tenure.views.lost:
            return False
        return self._agreement.ask(revision, self._clock() + STRICT_SECONDS, self._ledgers.values(), then)

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        """Continue the idle clocks of `revision` from an earlier run."""
        self._proxy.restore(revision, idle_since, tagged_since)

    def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return the requests running on each replica of `revision`; a replica not named has none."""
        return self.look(revision).busy

    async def drained(self, revision: str, replica: str) -> None:
        """Return once `replica`, which is no endpoint any more, has no request left at any edge."""
        await self._proxy.drained(revision, replica)
        await self._agreement.drained(revision, replica)

    def wake(self, revision: str) -> None:
        """Ask for capacity, here and at the leader."""
        self._wake(revision)
        self.follower.poke(revision)

    def sweep(self, *, elected: bool) -> None:
        """Check all clocks, and lead or cease to as peers were told; to be called a few times a second."""
        now = self._clock()
        if elected != self._leads:
            self._begin_to_lead() if elected else self._cease_to_lead()
        if self._leads:
            for name in self._proxy.queues:
                self._relax(name)
            self._agreement.sweep(now, self._ledgers.values())
            self._agreement.keep(self._proxy.queues.keys())

    # towards peers

    def recognise(self, link: Leader) -> None:
        """Take note of whether the peer at the other end leads, as it says."""
        leader = self.follower.leader
        if link is leader and not link.leads:
            self.follower.follow(None)
        elif link.leads and not self._leads and (leader is None or not leader.leads):
            self.follower.follow(link)
        elif not link.leads:
            self.follower.gone(link.peer)

    def joined(self, former: Ledger | None, ledger: Ledger, peer: str) -> None:
        """Take a peer with which there is a new connection; by the one before nobody leads."""
        self._told.discard(peer)
        self._lose(peer)
        self.follower.lost(peer)
        if former is not None:
            self._agreement.replace(former, ledger)
        if self._leads:
            for name in self._proxy.queues:
                self._agreement.repeat(name, (ledger,))

    def gone(self, former: Ledger | None, peer: str) -> None:
        """Forget a peer, and its counts."""
        self._told.discard(peer)
        self._lose(peer)
        self.follower.gone(peer)
        if former is not None:
            self._agreement.leave(former)

    def hear(self, peer: str, ledger: Ledger, message: ToPeer) -> None:
        """Take a message of a peer: of one that follows, if this edge leads, or of the leader."""
        match message:
            case m.Snapshot():
                self.follower.obey(peer, message)
            case m.Count():
                self._tally(message.revision).add(peer, message)
                self._judge(message)
            case m.Poke():
                self._wake(message.revision)
                self._relax(message.revision)
            case m.Applied():
                self._agreement.applied(ledger, message.revision, message.version)
            case m.Drained():
                self._agreement.has_drained(ledger, message.revision, message.replica, message.version)
            case Told():
                self._told.add(peer)

    def _begin_to_lead(self) -> None:
        self._leads = True
        self._told.clear()
        self._tallies.clear()
        self._agreement = Agreement(self._agreement.version)
        for replicas in self.follower.replicas.values():
            self._agreement.announce(replicas, self._ledgers.values())
        self.follower.release()

    def _cease_to_lead(self) -> None:
        self._leads = False
        for ledger in self._ledgers.values():
            self._agreement.leave(ledger)

    def _judge(self, count: m.Count) -> None:
        """Have the answers of another edge judged with our own: here, or where we pass them on if we do not lead."""
        tally = self.counters.tally(count.revision)
        if tally is not None and count.tally is not None:
            tally.merge(*count.tally)

    def _relax(self, name: str) -> None:
        """Let all edges begin requests again where there is one."""
        if self._agreement.is_strict(name) and self.look(name).open:
            self._agreement.free(name, self._ledgers.values())

    def _lose(self, peer: str) -> None:
        for tally in self._tallies.values():
            tally.lose(peer, self._clock())

    def _tally(self, name: str) -> Tally:
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = Tally(self._clock())
        return tally

    def _add(self, name: str, ours: RevisionStats, concurrency: float, requests: int) -> RevisionStats:
        """Return what we and all others have counted."""
        theirs = self._tally(name).stats(concurrency, requests, 0, 0)
        is_open, tagged = ours.open + theirs.open, ours.tagged_open + theirs.tagged_open
        busy = Counter(ours.busy) + Counter(theirs.busy)
        return replace(
            ours,
            concurrency=ours.concurrency + concurrency,
            requests=ours.requests + requests,
            open=is_open,
            held=max(0, is_open - busy.total()),
            idle_since=None if is_open else later(ours.idle_since, theirs.idle_since),
            tagged_open=tagged,
            tagged_since=None if tagged else later(ours.tagged_since, theirs.tagged_since),
            busy=busy,
        )
