"""The sockets on which clients are awaited."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from router.sockets import watch_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BACKLOG = 4096
FIRST_INHERITED = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


def bind(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on an address, one for each of its families: inherited ones that do so already, or
    new ones. Port 0 = any free one. OSError when the address is in use."""
    given = _inherited()
    sockets: list[socket.socket] = []
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(given.get((family, address)) or _listening(family, address))
            watch_over(sockets[-1])
    except OSError:
        close(sockets)
        raise
    finally:
        for each in given.values():
            if each not in sockets:
                each.detach()
    return sockets


def close(sockets: Sequence[socket.socket]) -> None:
    """Close sockets; who shares them goes on listening."""
    for each in sockets:
        each.close()


class Servers:
    """Listening sockets."""

    def __init__(self) -> None:
        self._doors: list[tuple[socket.socket, Callable[[], asyncio.Protocol]]] = []
        self._servers: list[asyncio.Server] = []
        self.on_accept: Callable[[], object] | None = None  # called for each client, in a moment

    async def open(self, accept: Callable[[], asyncio.Protocol], sockets: Sequence[socket.socket]) -> None:
        """Accept clients of sockets that listen. The sockets are closed by `close` alone."""
        doors = [(each, self._told(accept)) for each in sockets]
        self._doors += doors
        await self._accept(doors)

    @property
    def paused(self) -> bool:
        """Whether nothing is accepted at present."""
        return not self._servers

    def pause(self) -> None:
        """Leave new clients to others who share the sockets, or waiting in the kernel."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def resume(self) -> None:
        """Accept clients again; without a descriptor that is free for it all stays paused, until asked once more."""
        if not self._servers:
            try:
                await self._accept(self._doors)
            except OSError:
                self.pause()

    def close(self) -> None:
        """Accept nothing more."""
        self.pause()
        close([door[0] for door in self._doors])
        self._doors.clear()

    def _told(self, accept: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        told = self.on_accept
        if told is None:
            return accept
        loop = asyncio.get_running_loop()

        def accept_and_tell() -> asyncio.Protocol:
            loop.call_soon(told)  # not now: nothing may be closed while a client is being accepted
            return accept()

        return accept_and_tell

    async def _accept(self, doors: Sequence[tuple[socket.socket, Callable[[], asyncio.Protocol]]]) -> None:
        loop = asyncio.get_running_loop()
        for each, accept in doors:
            self._servers.append(await loop.create_server(accept, sock=each.dup(), backlog=BACKLOG))


def _inherited() -> dict[tuple[int, Any], socket.socket]:
    """Return the listening sockets that were handed to this process, by family and address: sd_listen_fds(3)."""
    found: dict[tuple[int, Any], socket.socket] = {}
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit():
        return found
    for descriptor in range(FIRST_INHERITED, FIRST_INHERITED + int(count)):
        with suppress(OSError):
            given = socket.socket(fileno=descriptor)
            given.setblocking(False)
            found[given.family, given.getsockname()] = given
    return found


def _listening(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
