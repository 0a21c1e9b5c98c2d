"""The sockets on which clients are awaited: plain ones, and those of TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.tls import Certificates

BACKLOG = 4096
HANDSHAKE_SECONDS = 10.0
SHUTDOWN_SECONDS = 1.0


class Servers:
    """Listening sockets. A client has `handshake` seconds to agree on TLS."""

    def __init__(self) -> None:
        self.handshake = HANDSHAKE_SECONDS
        self._servers: list[asyncio.Server] = []

    async def open(
        self, accept: Callable[[], asyncio.Protocol], host: str, port: int, certificates: Certificates | None
    ) -> int:
        """Listen, by TLS if there are certificates, and return the port. OSError when the address is in use."""
        options: dict[str, Any] = {}
        if certificates is not None:
            options = {"ssl": certificates.context, "ssl_handshake_timeout": self.handshake}
            options["ssl_shutdown_timeout"] = SHUTDOWN_SECONDS
        server = await asyncio.get_running_loop().create_server(accept, host, port, backlog=BACKLOG, **options)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Accept nothing more."""
        for server in self._servers:
            server.close()
