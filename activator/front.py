"""The side of the edge that faces clients: one process with all in it, or several behind one socket.

The composition root knows only this, and the router's three protocols as the loop and the scaler see them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from activator.serving import Serving
from router.proxy import Proxy
from router.queue import Queue
from router.servers import bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    from structlog.typing import FilteringBoundLogger

    from activator.settings.places import Address
    from activator.settings.schema import Settings
    from activator.terms import Terms
    from router.counters import Counters
    from router.ports import Clock, Replicas, RevisionStats, Waker
    from router.queues import MakeQueue
    from router.table import Table


class Health(NamedTuple):
    """How those who serve clients are. Of other processes are `defects`, `dropped` (lines of log) and `stalls`."""

    connections: int = 0
    defects: int = 0
    dropped: int = 0
    workers: int = 1
    restarts: int = 0
    stalls: int = 0


class PeerFacts(NamedTuple):
    """What one of several edges can tell: peers that are connected, and lost; whether all see the same; how often a
    revision got another owner; and who owns each limited revision, by address."""

    live: int
    lost: int
    agreed: bool
    moves: int
    owners: Mapping[str, str]


class Router(Protocol):
    """The router, as the rest of the edge sees it: see `router.proxy.Proxy`."""

    counters: Counters

    def collect(self) -> Mapping[str, RevisionStats]:
        """Return what was counted per revision since the last call."""

    def look(self, revision: str) -> RevisionStats:
        """Return the state of one revision now."""

    def settled(self, revision: str, then: Callable[[str], None]) -> bool:
        """Tell whether `look` sees every open request; if not, `then` is called with the revision once it does."""

    def update(self, replicas: Replicas) -> None:
        """Take a new capacity snapshot."""

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        """Continue idle clocks from an earlier run."""

    def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return the requests running on each replica of `revision`."""

    async def drained(self, revision: str, replica: str) -> None:
        """Return once `replica`, already published as draining, has no request left."""


class Front(Protocol):
    """Serves clients. `router` is what decides and counts for all of them."""

    @property
    def router(self) -> Router:
        """What the loop and the scaler speak to."""

    async def open(self, settings: Settings) -> Mapping[str, int]:
        """Listen as `settings` say, and return the ports by key. OSError when an address is in use."""

    def take(self, terms: Terms) -> None:
        """Serve by `terms` from now on. CertificateError, and no change, when a file cannot be used."""

    def lead(self, table: Table) -> None:
        """Lead requests by another table from now on; the other terms stay."""

    async def renew(self) -> None:
        """Read the files of certificates again."""

    def sweep(self) -> None:
        """Check all clocks; to be called a few times a second."""

    def health(self) -> Health:
        """Return how those who serve are."""

    def expiries(self) -> Mapping[str, float]:
        """Return when each certificate in use expires, by its file, in Unix seconds."""

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, and return when all that ran has ended, `seconds` from now at the latest."""

    def close(self) -> None:
        """Let go of what is still held."""


class Alone:
    """One process, in which nothing is asked of another."""

    def __init__(self, waker: Waker, clock: Clock, log: FilteringBoundLogger, make_queue: MakeQueue = Queue) -> None:
        self.router = Proxy(waker, clock, make_queue=make_queue)
        self._serving = Serving(self.router, clock, log)
        self.take = self._serving.take
        self.lead = self._serving.lead
        self.renew = self._serving.tls.renew
        self.expiries = self._serving.tls.expiries
        self.sweep = self._serving.sweep
        self.drain = self._serving.drain
        self.close = self.router.pool.close

    async def open(self, settings: Settings) -> Mapping[str, int]:
        """See Front."""
        listener, ports = self._serving.listener, {}
        for key, address in addresses(settings).items():
            certificates = self._serving.tls.certificates if settings.tls and key == "listen" else None
            sockets = listening(address, key)
            await listener.serve_on(sockets, certificates)
            ports[key] = sockets[0].getsockname()[1]
        return ports

    def health(self) -> Health:
        """See Front."""
        return Health(len(self._serving.listener.door.guests), self._serving.defects)


def addresses(settings: Settings) -> dict[str, Address]:
    """Return where clients are awaited, by key."""
    listen = {"listen": settings.listen}
    return listen if settings.listen_plain is None else {**listen, "listen-plain": settings.listen_plain}


def listening(address: Address, key: str) -> list[socket.socket]:
    """Return sockets that listen on the address of `key`. OSError, which names both, when that cannot be."""
    with naming(address, key):
        return bind(address.host, address.port)


@contextmanager
def naming(address: Address, key: str) -> Iterator[None]:
    """Have an OSError say on which address, and of which key, nobody can listen."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{key}: cannot listen on {address}: {error.strerror or error}") from error
