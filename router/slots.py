"""The requests that run on one replica, and the lease that gives each of them a slot until its last byte."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.ports import Endpoint


class Slots:
    """What runs on one replica. It outlives the replica's endpoint until its last request has ended."""

    __slots__ = ("_empty", "endpoint", "running", "suspect_until")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.running = 0
        self.suspect_until = 0.0  # no request is sent before this time: a connect failed
        self._empty: asyncio.Event | None = None

    def leave(self) -> None:
        """Take note that one request has ended."""
        self.running -= 1
        if not self.running and self._empty is not None:
            self._empty.set()
            self._empty = None

    async def empty(self) -> None:
        """Wait until no request runs here."""
        if self.running:
            self._empty = self._empty or asyncio.Event()
            await self._empty.wait()
