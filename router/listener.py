"""All client connections: accept them, keep them within bounds, check their clocks, drain them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from router.connection import Connection
from router.door import Door
from router.origin import Policy
from router.servers import Servers
from router.table import EdgeLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from router.errors import EdgeError
    from router.exchange import Exchange
    from router.ports import Clock
    from router.tls import Certificates

LOOK_SECONDS = 0.5  # between looks for clients that left unseen


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
        self.draining = False
        self.door = Door(clock, refused)
        self.limits = EdgeLimits()
        self.busy: set[Connection] = set()
        self._all_idle = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self._looked = 0.0

    @property
    def connections(self) -> set[Connection]:
        """All connections that are open."""
        return cast("set[Connection]", set(self.door.guests))

    def limit(self, limits: EdgeLimits) -> None:
        """Take new bounds; what is open stays open."""
        self.limits = limits
        self.door.limit(limits)

    async def open(self, host: str, port: int, certificates: Certificates | None = None) -> int:
        """Listen, by TLS if there are certificates, and return the port. OSError when the address is in use."""
        self.policy.certificates = certificates or self.policy.certificates
        return await self.servers.open(lambda: Connection(self), host, port, certificates)

    def sweep(self, now: float) -> None:
        """Check the clocks of all connections."""
        self.door.sweep(now)
        everyone = self.connections | self.busy
        for connection in everyone:
            connection.check_clocks(now)
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            for connection in everyone:
                connection.look_for_client()

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, let what runs end within `seconds`, then answer or cut the rest."""
        self.draining = True
        self.servers.close()
        for connection in list(self.connections):
            connection.retire()
        self.check_drained()
        try:
            async with asyncio.timeout(seconds):
                await self._all_idle.wait()
        except TimeoutError:
            for connection in list(self.busy):
                connection.give_up()
            await self._all_idle.wait()
        for connection in list(self.connections):
            connection.finish()

    def check_drained(self) -> None:
        """Take note of it when the last exchange has ended."""
        if not self.busy:
            self._all_idle.set()
