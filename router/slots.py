"""The slots of one replica: each request has one until its last byte."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from router.ports import Endpoint, UpstreamTls
    from router.upstream import Upstream


class Lender(Protocol):
    """Who gives slots away."""

    def release(self, slots: Slots) -> None:
        """Take a slot back."""

    def avoid(self, slots: Slots, seconds: float) -> None:
        """Send nothing to a replica for a moment."""


class Slots:
    """What runs on one replica, and its idle connections. It outlives the replica's endpoint until its last request has
    ended. `tls` is how the next connection is made, None = by plain HTTP."""

    __slots__ = ("awaited", "endpoint", "idle", "lender", "running", "suspect_until", "tls")

    def __init__(self, endpoint: Endpoint, lender: Lender) -> None:
        self.endpoint = endpoint
        self.lender = lender
        self.tls: UpstreamTls | None = None
        self.running = 0
        self.idle: list[Upstream] = []  # connections on which nothing runs, the one used last at the end
        self.suspect_until = 0.0  # no request is sent before this time: a connect failed
        self.awaited: asyncio.Event | None = None

    async def empty(self) -> None:
        """Wait until no request runs here."""
        if self.running:
            self.awaited = self.awaited or asyncio.Event()
            await self.awaited.wait()
