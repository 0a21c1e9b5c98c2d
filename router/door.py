"""Who may come in: client connections are counted, in all and by source, and those beyond a bound are told so and
closed.

When most places are taken, idle connections are kept for a moment only; when all are, whoever has been idle for
longest makes room. Of the connections that are turned away no more than a few are there at a time.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

from router.answer import refuse_head
from router.errors import EdgeError, Reason, spread
from router.sockets import most_connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.ports import Clock
    from router.table import EdgeLimits

PRESSED = 0.75  # part of the places that are taken
EVICT_SECONDS = 0.25  # a connection that has just come, or has just been answered, may be about to speak
LOOKED_AT = 16  # for one that may be closed
TURNED_AWAY = 32
TURNED_AWAY_SECONDS = 0.5
_MESSAGES = {
    Reason.TOO_MANY_CONNECTIONS: "The edge has as many connections as it can take.",
    Reason.TOO_MANY_FROM_SOURCE: "There are as many connections from this address as are allowed.",
}


class Guest(Protocol):
    """A client's connection, as the door sees it."""

    def is_idle(self, now: float, seconds: float) -> bool:
        """Tell whether nothing has been asked here for so long."""

    def evict(self) -> None:
        """Close at once."""


class Door:
    """All connections with their sources, and those of them on which no request runs, the longest idle first.
    `refused` is told of each that is turned away; `places` is how many connections there may be."""

    def __init__(self, clock: Clock, refused: Callable[[EdgeError], None]) -> None:
        self.guests: dict[Guest, str] = {}
        self.idle: dict[Guest, None] = {}
        self._clock = clock
        self._refused = refused
        self._sources: dict[str, int] = {}
        self._turned_away: dict[TurnedAway, float] = {}
        self._borne: set[Guest] = set()
        self._refusals = 0
        self._per_source = 0
        self.places = most_connections()

    def limit(self, limits: EdgeLimits) -> None:
        """Take new bounds; who is in stays in."""
        most = most_connections()
        self.places = min(limits.connections or most, most)
        self._per_source = limits.connections_per_source

    @property
    def pressed(self) -> bool:
        """Whether most places are taken."""
        return len(self.guests) > PRESSED * self.places

    def enter(self, guest: Guest, host: str) -> Reason | None:
        """Let a connection in, or return why it must not."""
        source = source_of(host)
        if self._per_source and self._sources.get(source, 0) >= self._per_source:
            return Reason.TOO_MANY_FROM_SOURCE
        if len(self.guests) >= self.places and not self._make_room():
            return Reason.TOO_MANY_CONNECTIONS
        self.guests[guest] = source
        self.idle[guest] = None
        self._sources[source] = self._sources.get(source, 0) + 1
        return None

    def leave(self, guest: Guest) -> None:
        """Take note that a connection has ended."""
        self.idle.pop(guest, None)
        self._borne.discard(guest)
        source = self.guests.pop(guest, None)
        if source is None:
            return
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def turn_away(self, transport: asyncio.BaseTransport, reason: Reason) -> None:
        """Answer a connection that was not let in, and close it soon."""
        self._refusals += 1
        error = _refusal(reason, self._refusals)
        self._refused(error)
        if len(self._turned_away) >= TURNED_AWAY:
            next(iter(self._turned_away)).close()
        away = TurnedAway(cast("asyncio.Transport", transport), refuse_head(error), self._forget)
        self._turned_away[away] = self._clock()

    def bear(self, guest: Guest) -> bool:
        """Tell whether a connection that was not let in may stay until TLS is agreed on, to be told why: a few may."""
        if len(self._borne) < TURNED_AWAY:
            self._borne.add(guest)
            return True
        return False

    def shut_out(self, transport: asyncio.BaseTransport, reason: Reason) -> None:
        """Close a connection that was not let in, on which nothing can be said."""
        self._refusals += 1
        self._refused(_refusal(reason, self._refusals))
        cast("asyncio.Transport", transport).abort()

    def sweep(self, now: float) -> None:
        """Close those that were turned away and have had time to hear it."""
        for away, since in list(self._turned_away.items()):
            if now - since < TURNED_AWAY_SECONDS:
                break
            away.close()

    def _make_room(self) -> bool:
        for guest in list(islice(self.idle, LOOKED_AT)):
            if guest.is_idle(self._clock(), EVICT_SECONDS):
                self.leave(guest)
                guest.evict()
                return True
            self.idle[guest] = self.idle.pop(guest)  # who does not take its answers must not stand before the others
        return False

    def _forget(self, away: TurnedAway) -> None:
        self._turned_away.pop(away, None)


class TurnedAway(asyncio.Protocol):
    """A connection that has its answer and is about to be closed. What it says is dropped; a reset would destroy the
    answer (RFC 9112 9.6)."""

    __slots__ = ("_forget", "_transport")

    def __init__(self, transport: asyncio.Transport, answer: bytes, forget: Callable[[TurnedAway], None]) -> None:
        self._transport = transport
        self._forget = forget
        transport.set_protocol(self)
        transport.write(answer)
        if transport.can_write_eof():
            transport.write_eof()

    def close(self) -> None:
        """Close now."""
        self._forget(self)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Take note of its end."""
        self._forget(self)


def source_of(host: str) -> str:
    """Return what counts as one source: an IPv4 address, or the first half of an IPv6 address, which is a network."""
    if ":" not in host or "." in host:
        return host
    groups = host.partition("%")[0].partition("::")
    before = groups[0].split(":") if groups[0] else []
    after = groups[2].split(":") if groups[2] else []
    return ":".join((before + ["0"] * (8 - len(before) - len(after)) + after)[:4])


def _refusal(reason: Reason, number: int) -> EdgeError:
    return EdgeError(reason, _MESSAGES[reason], retry_after=spread(number))
