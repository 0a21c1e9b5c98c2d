"""Connections to replicas, kept for reuse while that is safe.

Common model servers close idle connections after 2 to 5 s. So one that has been idle for longer is not reused, and a
request that must not be sent twice goes only on a connection that is fresh, or was used a moment ago and has not ended
since, whatever the event loop knows of that (RFC 9112 9.3.1).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from router.sockets import keep_alive, most_connections, read_nothing_ahead
from router.tls import upstream_contexts
from router.upstream import SAFE, Upstream

if TYPE_CHECKING:
    from router.ports import Clock
    from router.request import Request
    from router.slots import Slots

CONNECT_TIMEOUT = 3.0
REUSE_SECONDS = 2.0
REUSE_UNSAFE_SECONDS = 1.0


class Pool:
    """Connections to all replicas. Those that are idle are kept with their replica's slots, where a request that has a
    slot finds them, and which they come back to by themselves; they are closed where there would be more than `most`
    connections (0 = as many as there may be clients)."""

    def __init__(self, clock: Clock, most: int = 0) -> None:
        self._clock = clock
        self._most = most or most_connections()
        self._connected: set[Slots] = set()

    def take(self, slots: Slots, request: Request) -> Upstream | None:
        """Return an idle connection that may carry `request`, None when a new one is needed."""
        idle = slots.idle
        if not idle:
            return None
        clock = self._clock
        now = clock()
        safe = request.method in SAFE
        oldest = now - (REUSE_SECONDS if safe else REUSE_UNSAFE_SECONDS)
        while idle:
            upstream = idle.pop()
            fresh = upstream.last_byte >= oldest and upstream.tls == slots.tls
            if fresh and upstream.usable and (safe or upstream.quiet):
                upstream.last_byte = now
                return upstream
            upstream.close()
        return None

    def connect(self, slots: Slots, within: float = CONNECT_TIMEOUT) -> asyncio.Task[Upstream]:
        """Open a connection. OSError or TimeoutError when the replica cannot be reached, `within` seconds or
        CONNECT_TIMEOUT, whichever is less."""
        self._connected.add(slots)
        self._make_room()
        return asyncio.get_running_loop().create_task(self._connect_within(slots, min(within, CONNECT_TIMEOUT)))

    def sweep(self, now: float) -> None:
        """Close connections that have been idle for too long."""
        for slots in list(self._connected):
            fresh = [each for each in slots.idle if each.usable and now - each.last_byte <= REUSE_SECONDS]
            for upstream in set(slots.idle) - set(fresh):
                upstream.close()
            slots.idle = fresh
            if not fresh and not slots.running:
                self._connected.discard(slots)

    def close(self) -> None:
        """Close all idle connections."""
        for slots in self._connected:
            for upstream in slots.idle:
                upstream.close()
            slots.idle = []

    def _make_room(self) -> None:
        """Close an idle connection when the descriptors might not suffice for it and for what runs, or is about to: a
        client and a replica would be turned away else."""
        if sum(len(slots.idle) + slots.running for slots in self._connected) > self._most:
            fullest = max(self._connected, key=lambda slots: len(slots.idle))
            if fullest.idle:
                fullest.idle.pop(0).close()

    async def _connect_within(self, slots: Slots, seconds: float) -> Upstream:
        async with asyncio.timeout(seconds):
            return await self._connect(slots)

    async def _connect(self, slots: Slots) -> Upstream:
        endpoint = slots.endpoint
        tls = slots.tls
        name = (tls.name or endpoint.host) if tls is not None else None
        context = await upstream_contexts.find(tls) if tls is not None else None
        transport, upstream = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(slots, self._clock, tls),
            endpoint.host,
            endpoint.port,
            ssl=context,
            server_hostname=name,
        )
        keep_alive(transport)
        if tls is not None:
            read_nothing_ahead(transport)
        return upstream
