"""What serves clients, in a process of its own or in the edge's only one: proxy, listener, names and certificates."""

from __future__ import annotations

import random
from ipaddress import ip_network
from typing import TYPE_CHECKING

from activator import logs
from activator.edge_tls import EdgeTls
from activator.settings.places import within
from router.ids import Ids
from router.listener import Listener
from router.origin import client_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from activator.terms import Terms
    from router.errors import EdgeError
    from router.exchange import Exchange
    from router.ports import Clock
    from router.proxy import Proxy
    from router.table import Table


class Serving:
    """A router at work. `defects` counts errors that nobody expected."""

    def __init__(self, proxy: Proxy, clock: Clock, log: FilteringBoundLogger) -> None:
        self.proxy = proxy
        self.listener = Listener(proxy.serve, clock, self._refused)
        self.tls = EdgeTls()
        self.defects = 0
        self._ids = Ids(random.Random().getrandbits)
        self._table: Table | None = None
        self._clock = clock
        self._log = log
        proxy.on_defect = self._defect

    def take(self, terms: Terms) -> None:
        """Serve by `terms` from this loop turn on. CertificateError, and no change, when a file cannot be used."""
        self.tls.take(terms.certificates)
        policy = self.listener.policy
        policy.ids = self._ids if terms.request_ids else None
        policy.trusts = within(tuple(ip_network(each) for each in terms.trusted_hops))
        self.proxy.on_end = self._ended if terms.access_log else None
        self.lead(terms.table)

    def lead(self, table: Table) -> None:
        """Lead requests by a table from this loop turn on."""
        if table != self._table:
            self._table = table
            self.proxy.replace_table(table)
            self.listener.limit(table.limits)

    def sweep(self) -> None:
        """Check all clocks; to be called a few times a second."""
        self.proxy.sweep()
        self.listener.sweep(self._clock())

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, let what runs end within `seconds`, then answer or cut the rest."""
        await self.listener.drain(seconds)

    def _ended(self, exchange: Exchange) -> None:
        client = client_of(exchange.request, exchange.client.forwarding[0], self.listener.policy.trusts)
        logs.access(self._log, exchange, self._clock(), client)

    def _refused(self, refusal: EdgeError) -> None:
        self.proxy.counters.refusals[refusal.reason] += 1

    def _defect(self, error: Exception) -> None:
        self.defects += 1
        self._log.error("defect", exc_info=error)
