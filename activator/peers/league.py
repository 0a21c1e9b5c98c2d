"""An edge among others of its kind, each on a machine of its own: serves clients as one alone does, shares admission to
limited revisions (tenure), and counts and decides with the others (council)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.front import Alone, Health, naming
from activator.peers.council import Council
from activator.peers.link import Link, Self
from activator.peers.links import Links
from activator.peers.tenure import Tenure
from activator.settings.peering import name_of, read_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from structlog.typing import FilteringBoundLogger

    from activator.peers.pacts import ToPeer
    from activator.settings.schema import Settings
    from activator.terms import Terms
    from router.ports import Clock, Waker
    from router.table import Table
    from router.tasks import Tasks

ACQUAINTANCE_SECONDS = 3.0
BEAT_SECONDS = 0.05


class League:
    """A Front that has peers."""

    def __init__(self, me: Self, waker: Waker, tasks: Tasks, log: FilteringBoundLogger) -> None:
        self.tenure = Tenure(me.name, me.clock)
        self.port = int(me.name.rpartition(":")[2])
        self._clock = me.clock
        self._alone = Alone(self, me.clock, log, self.tenure.make_queue)
        self.tenure.queues = self._alone.router.queues
        self.router = Council(self._alone.router, self.tenure, waker.wake, me.clock)
        self.links = Links(me, self, tasks, log)
        self.tenure.on_gone = self.links.bury
        self.renew = self._alone.renew
        self.expiries = self._alone.expiries
        self.close = self._alone.close

    def wake(self, revision: str) -> None:
        """Pass the router's call for capacity on."""
        self.router.wake(revision)

    # Front

    async def open(self, settings: Settings) -> Mapping[str, int]:
        """See Front; other edges are accepted, too, and met before any client is."""
        listen = settings.peers.listen
        if listen is None:
            raise ValueError("peers.listen is not set")
        with naming(listen, "peers.listen"):
            await self.links.open(listen.host, listen.port)
        if settings.peers.addresses:
            self.list([str(address) for address in settings.peers.addresses])
        await self._meet()
        return await self._alone.open(settings)

    async def _meet(self) -> None:
        """Wait until all listed edges have told what they run, or are gone. One that cannot be met is not waited for
        without end: it may never come."""
        until = self._clock() + ACQUAINTANCE_SECONDS
        while (self.links.unreached or not self.tenure.views.agreed) and self._clock() < until:
            await asyncio.sleep(BEAT_SECONDS)
            self.sweep()

    def list(self, names: Collection[str]) -> None:
        """Take the addresses of all edges there are."""
        self.links.list(names)

    def take(self, terms: Terms) -> None:
        """See Front."""
        self._alone.take(terms)
        self.tenure.table_replaced()

    def lead(self, table: Table) -> None:
        """See Front."""
        self._alone.lead(table)
        self.tenure.table_replaced()

    def sweep(self) -> None:
        """See Front."""
        now, elected = self._clock(), self.router.elected()  # once: what peers are told is what the council goes by
        self._alone.sweep()
        self.links.sweep(now, leads=elected)
        self.router.sweep(elected=elected)
        self.router.follower.sweep()

    def health(self) -> Health:
        """See Front."""
        return self._alone.health()

    async def drain(self, seconds: float) -> None:
        """See Front: peers may count on what runs here until it has ended."""
        await self._alone.drain(seconds)
        await self.links.close()

    # links

    def joined(self, peer: str, link: Link) -> None:
        """See links.Society."""
        former = self.tenure.ledgers.get(peer)
        self.tenure.join(peer, link)
        self.router.joined(former, self.tenure.ledgers[peer], peer)

    def lost(self, peer: str) -> None:
        """See links.Society."""
        self.tenure.lose(peer)
        self.router.follower.lost(peer)

    def gone(self, peer: str) -> None:
        """See links.Society."""
        former = self.tenure.ledgers.get(peer)
        self.tenure.forget(peer)
        self.router.gone(former, peer)

    def heard(self, peer: str, message: ToPeer) -> None:
        """See links.Society."""
        self.router.recognise(self.links.live[peer])
        self.tenure.hear(peer, message)
        if peer in self.tenure.ledgers:
            self.router.hear(peer, self.tenure.ledgers[peer], message)


def self_of(settings: Settings, clock: Clock) -> Self:
    """Return what this edge is to others. OSError when there is no secret, or no address."""
    peers = settings.peers
    return Self(name_of(peers), read_secret(peers.secret_file), clock)
