"""Who is connected to the admin listener: so few that they cannot take the descriptors that clients and models need.

When there are as many as may be, each newcomer takes the place of the one that has been silent for longest, so that
probes and Prometheus get in whoever else is there.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web

from router.sockets import most_callers

HEAD_SECONDS = 10.0
IDLE_SECONDS = 90.0  # longer than the minute after which Prometheus comes again, if it is not told otherwise


class Callers:
    """Makes connections of `server`. They are closed if nothing was asked within `head` seconds, or if nothing more
    comes for `IDLE_SECONDS`; the oldest sign of life comes first."""

    def __init__(self, server: web.Server, most: int = 0, head: float = HEAD_SECONDS) -> None:
        self.connected: dict[Caller, None] = {}
        self.head = head
        self._server = server
        self._most = most or most_callers()

    def __call__(self) -> Caller:
        """Return what one connection speaks to."""
        loop = asyncio.get_running_loop()
        return Caller(self, self._server, loop=loop, access_log=None, keepalive_timeout=IDLE_SECONDS)

    def heard(self, caller: Caller) -> None:
        """Take note of a sign of life, and make room if it is the first."""
        self.connected.pop(caller, None)
        self.connected[caller] = None
        if len(self.connected) > self._most:
            next(iter(self.connected)).cut()

    def left(self, caller: Caller) -> None:
        """Take note that a connection has ended."""
        self.connected.pop(caller, None)


class Caller(web.RequestHandler):
    """One connection to the admin listener."""

    def __init__(self, callers: Callers, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._callers = callers
        self._wire: asyncio.Transport | None = None
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is somebody to give way or a place left."""
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._late = self._loop.call_later(self._callers.head, self._judge)
        self._callers.heard(self)

    def data_received(self, data: bytes) -> None:
        """Take what was sent."""
        if self in self._callers.connected:
            self._callers.heard(self)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        if self._late is not None:
            self._late.cancel()
        self._callers.left(self)
        super().connection_lost(exc)

    def cut(self) -> None:
        """End the connection, whatever it was about."""
        self._callers.left(self)
        if self._wire is not None:
            self._wire.abort()

    def _judge(self) -> None:
        if not self._request_count:
            self.cut()
