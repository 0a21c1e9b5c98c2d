"""The sockets on which clients are awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 4096


class Servers:
    """Listening sockets."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []

    async def open(self, accept: Callable[[], asyncio.Protocol], host: str, port: int) -> int:
        """Listen, and return the port. OSError when the address is in use."""
        server = await asyncio.get_running_loop().create_server(accept, host, port, backlog=BACKLOG)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Accept nothing more."""
        for server in self._servers:
            server.close()
