"""What all client connections have in common: the listener, as one of them sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from router.connection import Connection
    from router.door import Door
    from router.errors import EdgeError
    from router.exchange import Exchange
    from router.origin import Policy
    from router.ports import Clock
    from router.table import EdgeLimits


class Edge(Protocol):
    """For a connection on which requests may come. `handshake` is how many seconds it has to get there, if by TLS."""

    serve: Callable[[Exchange], Coroutine[Any, None, None]]
    clock: Clock
    refused: Callable[[EdgeError], None]
    policy: Policy
    draining: bool
    door: Door
    handshake: float
    limits: EdgeLimits
    busy: set[Connection]
    loop: asyncio.AbstractEventLoop

    def check_drained(self) -> None:
        """Take note of it when the last exchange has ended."""
