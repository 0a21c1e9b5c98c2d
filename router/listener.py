"""All client connections: accept them, keep them within bounds, check their clocks, drain them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from router.arrival import Arrival
from router.connection import NEWCOMER_SECONDS, Connection
from router.door import Door, Guest
from router.errors import spread
from router.origin import Policy
from router.servers import Servers
from router.table import EdgeLimits

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Sequence

    from router.errors import EdgeError
    from router.exchange import Exchange
    from router.ports import Clock
    from router.tls import Certificates

HANDSHAKE_SECONDS = 10.0
LOOK_SECONDS = 0.5  # between looks for clients that left unseen, and at those who ask for nothing
ACCEPTED_SECONDS = 0.05  # within which the loop tells of all clients that the kernel has handed over
PART_SECONDS = 0.0002  # of a sweep, for which everybody waits
PAUSE_SECONDS = 0.002  # between two parts
LAST_SECONDS = 1.0  # for the edge's own answers to leave, once there is no more time


class Listener:
    """All client connections, and what they have in common. `serve` answers one exchange and never raises."""

    def __init__(
        self,
        serve: Callable[[Exchange], Coroutine[Any, None, None]],
        clock: Clock,
        refused: Callable[[EdgeError], None],
    ) -> None:
        self.serve = serve
        self.clock = clock
        self.refused = refused
        self.policy = Policy()
        self.servers = Servers()
        self.handshake = HANDSHAKE_SECONDS  # for a client to agree on TLS
        self.draining = False
        self.door = Door(clock, refused)
        self.limits = EdgeLimits()
        self.busy: set[Connection] = set()
        self._all_idle = asyncio.Event()
        self._awaited: Guest | None = None  # who was about to ask when that was looked at
        self.loop = asyncio.get_running_loop()
        self._looked = 0.0
        self._unswept: list[Guest] = []

    @property
    def connections(self) -> set[Connection]:
        """All connections that are open, without those that have yet to agree on TLS."""
        return {guest for guest in self.door.guests if isinstance(guest, Connection)}

    def limit(self, limits: EdgeLimits) -> None:
        """Take new bounds; what is open stays open."""
        self.limits = limits
        self.door.limit(limits)

    async def serve_on(self, sockets: Sequence[socket.socket], certificates: Certificates | None = None) -> None:
        """Accept clients of sockets that listen, by TLS if there are certificates."""
        if certificates is None:
            await self.servers.open(lambda: Connection(self), sockets)
        else:
            self.policy.certificates = certificates
            await self.servers.open(lambda: Arrival(self, certificates), sockets)

    def sweep(self, now: float) -> None:
        """Check the clocks of all connections, now and then also of those on which nothing runs: a part at once, the
        rest bit by bit, so that requests go in between."""
        self.door.sweep(now)
        if self.draining:
            self._sweep_arrivals(now)
        if self._unswept:
            return
        look = now - self._looked >= LOOK_SECONDS
        if look:
            self._looked = now
        self._unswept = list(self.busy.union(self.door.guests if look else ()))
        self._sweep_part(now, look)

    def _sweep_part(self, now: float, look: bool) -> None:
        until = self.clock() + PART_SECONDS
        try:
            while self._unswept and self.clock() < until:
                connection = self._unswept.pop()
                if not isinstance(connection, Connection) or (connection.lost and connection not in self.busy):
                    continue
                connection.check_clocks(now)
                if look:
                    connection.look_for_client()
        finally:
            if self._unswept:
                self.loop.call_later(PAUSE_SECONDS, self._sweep_part, now, look)

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, let what runs or is about to come end within `seconds`, then answer or cut the rest."""
        self.draining = True
        self.servers.close()
        for connection in self.connections:
            connection.retire()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(ACCEPTED_SECONDS)
                self.check_drained()
                await self._all_idle.wait()
        except TimeoutError:
            for number, guest in enumerate([*self.door.guests, *self.busy]):
                if isinstance(guest, Connection):
                    guest.give_up(spread(number, 5.0, 0.0))
                else:
                    guest.evict()
            await self._let_go()
        for connection in self.connections:
            connection.finish()

    async def _let_go(self) -> None:
        """Cut, after a moment, who does not take the answer that there is no more time."""
        self.check_drained()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._all_idle.wait()
        except TimeoutError:
            for guest in list(self.door.guests):
                guest.evict()

    def check_drained(self) -> None:
        """Take note of it when the last exchange has ended and no client is about to ask for one. One that was about to
        is looked at before all others: thousands of connections may end while it is waited for."""
        if self.busy or (self._awaited in self.door.guests and _expects(self._awaited)):
            return
        self._awaited = next(filter(_expects, self.door.guests), None)
        if self._awaited is None:
            self._all_idle.set()

    def _sweep_arrivals(self, now: float) -> None:
        """While the edge drains, wait for a client only as long as it may take to agree on TLS and to ask."""
        for guest in list(self.door.guests):
            if not isinstance(guest, Connection) and guest.is_idle(now, NEWCOMER_SECONDS):
                guest.evict()
        self.check_drained()


def _expects(guest: Guest | None) -> bool:
    return not isinstance(guest, Connection) or guest.expects
