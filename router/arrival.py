"""A client that has connected and has yet to agree on TLS: it counts as a connection from the first moment.

A listener that is given a TLS context tells of a client only after the handshake; whoever connects and then says
nothing would take descriptors that nobody counts. So clients are let in as they connect, and TLS is begun on what is
there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from router.connection import Connection
from router.drive import Driven
from router.sockets import read_nothing_ahead

if TYPE_CHECKING:
    from router.edge import Edge
    from router.tls import Certificates

HASTE_SECONDS = 1.0  # after which a handshake makes room for others, if there is no other room
SHUTDOWN_SECONDS = 1.0


class Arrival(Driven, asyncio.Protocol):
    """One client, until its handshake has ended; then a `Connection` takes its place."""

    def __init__(self, edge: Edge, certificates: Certificates) -> None:
        self._edge = edge
        self._certificates = certificates
        self._since = edge.clock()
        self._early = b""  # what was said right behind the handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or close, unless it can be told why once TLS is agreed on."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        reason = self._edge.door.enter(self, peer[0] if peer else "unknown")
        if reason is None or self._edge.door.bear(self):
            self.run(self._shake())  # at once: what comes next is for TLS
        else:
            self._edge.door.shut_out(transport, reason)

    def data_received(self, data: bytes) -> None:
        """Keep it for the connection."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Make room."""
        self._edge.door.leave(self)

    def is_idle(self, now: float, seconds: float) -> bool:
        """Tell whether the client has had time enough, when others have no room."""
        return now - self._since >= max(seconds, HASTE_SECONDS)

    def evict(self) -> None:
        """Close at once."""
        self._transport.abort()

    async def _shake(self) -> None:
        try:
            transport = await self._edge.loop.start_tls(
                self._transport,
                self,
                self._certificates.context,
                server_side=True,
                ssl_handshake_timeout=self._edge.handshake,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except Exception:
            # whatever it was that the client said: there is no TLS
            self._edge.door.leave(self)
            self._transport.abort()
            return
        self._edge.door.leave(self)
        if transport is None or transport.is_closing():
            return
        read_nothing_ahead(transport)
        connection = Connection(self._edge, self._transport)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._early and connection in self._edge.door.guests:
            connection.data_received(self._early)
