"""The links to all other edges: dials, accepts, notices who is silent, and finds out who is really gone.

Of two edges the one with the lower name dials. A peer with which there is no connection is *lost* until something
shows that it is gone: its address refuses connections, it said farewell, or who lists the edges lists it no more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from activator.peers.link import Link, Self
from activator.peers.pacts import Farewell, ToPeer

if TYPE_CHECKING:
    from collections.abc import Collection

    from structlog.typing import FilteringBoundLogger

    from router.tasks import Tasks

CONNECT_SECONDS = 1.0
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
AWAY_SECONDS = 1.0
MOST_STRANGERS = 64  # accepted connections that have not proved anything yet


class Society(Protocol):
    """Who is told of peers."""

    def joined(self, peer: str, link: Link) -> None:
        """There is a connection with a peer."""

    def lost(self, peer: str) -> None:
        """A peer cannot be reached, but may live."""

    def gone(self, peer: str) -> None:
        """A peer has ended."""

    def heard(self, peer: str, message: ToPeer) -> None:
        """Take a message."""


class Links:
    """The links of one edge. `live` are those that are open, by peer; `unreached` are peers that are lost."""

    def __init__(self, me: Self, society: Society, tasks: Tasks, log: FilteringBoundLogger) -> None:
        self.live: dict[str, Link] = {}
        self.unreached: set[str] = set()
        self._me = me
        self._society = society
        self._tasks = tasks
        self._log = log
        self._listed: frozenset[str] = frozenset()
        self._ours = {me.name}  # all names by which this edge itself is listed
        self._strangers: dict[Link, None] = {}  # in the order in which they came
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._looked = me.clock()
        self._leads = False
        self._unlisted: set[str] = set()  # who is connected, and was listed once
        self._told: dict[str, str] = {}  # the last problem with each

    async def open(self, host: str, port: int) -> int:
        """Accept other edges, and return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host or None, port)
        return int(self._server.sockets[0].getsockname()[1])

    def list(self, names: Collection[str]) -> None:
        """Take the addresses of all edges there are, ours may be among them."""
        former, self._listed = self._listed, frozenset(names) - self._ours
        self._unlisted = ((self._unlisted | former) - self._listed) & self.live.keys()
        for name in self._listed - self._followers.keys():
            if name not in self.live:
                self._lose(name)
            self._follow(name)
        for name in self.unreached - self._listed:
            self.bury(name)

    def sweep(self, now: float, *, leads: bool) -> None:
        """Check all clocks, and tell the others that we live; to be called a few times a second."""
        self._leads = leads
        away, self._looked = now - self._looked > AWAY_SECONDS, now
        for link in [*self.live.values(), *self._strangers]:
            if away:
                link.excuse(now)
            link.beat(now, leads=leads)

    async def close(self) -> None:
        """Tell all that we leave, and close."""
        if self._server is not None:
            self._server.close()
        for link in [*self.live.values(), *self._strangers]:
            link.send(Farewell())
            link.wire.close()
        for task in self._followers.values():
            task.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)

    # a link

    def opened(self, link: Link) -> None:
        """See link.Hears."""
        self._strangers.pop(link, None)
        former = self.live.get(link.peer)
        if former is not None:
            former.wire.abort()  # the peer knows that it is over; we did not yet
        self.live[link.peer] = link
        self.unreached.discard(link.peer)
        self._told.pop(link.peer, None)
        self._log.info("peer joined", peer=link.peer)
        link.beat(self._me.clock(), leads=self._leads)
        self._society.joined(link.peer, link)
        self._follow(link.peer)

    def heard(self, link: Link, message: ToPeer) -> None:
        """See link.Hears."""
        if self.live.get(link.peer) is not link:
            return
        if isinstance(message, Farewell):
            del self.live[link.peer]
            self.bury(link.peer)
            return
        self._society.heard(link.peer, message)

    def closed(self, link: Link) -> None:
        """See link.Hears."""
        self._strangers.pop(link, None)
        if link.problem:
            self._tell(link.peer if link.peer in self._followers else "", link.problem)
        if self.live.get(link.peer) is link:
            del self.live[link.peer]
            self._log.warning("peer lost", peer=link.peer, problem=link.problem or "it closed the connection")
            self._lose(link.peer)

    def accepted(self, nonce: bytes) -> bool:
        """See link.Hears."""
        return any(link.nonce == nonce and not link.dials for link in self._strangers)

    # a peer

    def _accept(self) -> asyncio.Protocol:
        """Take a connection, in place of the oldest that has proved nothing if there are too many: a peer proves itself
        within a few round trips, and whoever only keeps connections must not keep it off."""
        accepted = [link for link in self._strangers if not link.dials]
        for link in accepted[: max(0, len(accepted) + 1 - MOST_STRANGERS)]:
            link.refuse("too many others came before it had proved anything")
        link = Link(self._me, self)
        self._strangers[link] = None
        return link.wire

    def _follow(self, name: str) -> None:
        if name not in self._followers:
            task = self._followers[name] = self._tasks.spawn(self._keep(name), f"peer {name}")
            task.add_done_callback(lambda _: self._followers.pop(name, None))

    async def _keep(self, name: str) -> None:
        """Have a link to a peer as long as it is listed, or lives."""
        pause = FIRST_PAUSE
        while name in self._listed or name in self.live or name in self.unreached:
            link = self.live.get(name)
            if link is not None:
                await link.over.wait()
                if self._me.clock() - link.began > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                    continue
            elif await self._is_refused(name) and name not in self.live:
                self.bury(name)
            if name not in self.live:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _is_refused(self, name: str) -> bool:
        """Dial a peer, or see whether it is there if it is to dial us; tell whether nobody is, or only we are."""
        host, _, port = name.rpartition(":")
        dials = self._me.name < name
        link = Link(self._me, self, name) if dials else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                made = link.wire if link is not None else asyncio.Protocol()
                transport, _ = await loop.create_connection(lambda: made, host.strip("[]"), int(port))
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError) as error:
            self._tell(name, str(error) or f"no connection within {CONNECT_SECONDS:g} s")
            return False
        if link is None:
            transport.close()
            return False
        self._strangers[link] = None
        await link.known.wait()
        if link.ours:
            self._ours.add(name)
            self._listed -= self._ours
        return link.ours

    def _lose(self, name: str) -> None:
        if name in self._unlisted:
            self.bury(name)
        elif name not in self.unreached:
            self.unreached.add(name)
            self._society.lost(name)

    def bury(self, name: str) -> None:
        """Take note that a peer is gone."""
        self.unreached.discard(name)
        self._unlisted.discard(name)
        self._told.pop(name, None)
        self._society.gone(name)

    def _tell(self, peer: str, problem: str) -> None:
        """Log a problem once, until there is another one or none."""
        if self._told.get(peer) != problem:
            self._told[peer] = problem
            self._log.warning("no link to a peer", peer=peer or "unknown", problem=problem)
