"""All that an operator can look at, put together without a listener: router, loop, memory scaler and ledger."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from structlog import get_logger

from activator.catalog.model import Canary, Catalog
from activator.front import Health
from activator.insight import Insight
from activator.loop import Loop
from activator.rollouts import Rollouts
from activator.scalers.memory import MemoryScaler
from activator.stalls import Stalls
from activator.usage import Ledger
from router.exchange import ClientGone
from router.proxy import Proxy
from router.table import Limits, Revision, Service, Share, Table
from tests.activator.stage import bounds, plan
from tests.router.fakes import Client, exchange, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.catalog.model import RevisionPlan
    from activator.scalers.base import ReplicaSet
    from router.exchange import Exchange

LIMITS = Limits(container_concurrency=1)
FIRST, SECOND, IDLE = Revision("m-1", "m", LIMITS), Revision("m-2", "m", LIMITS), Revision("n-1", "n", LIMITS)
SERVICES = (
    Service("m", ("m.example", "www.m.example"), (Share(FIRST, 90, "stable"), Share(SECOND, 10))),
    Service("n", ("n.example",), (Share(IDLE, 100),), models=("org/n", "n")),
)
CANARY = Canary("m", "m-2", "m-1", 10, "m-2 m-1", steps=(1, 5))
PLANS = (plan("m-1", bounds=bounds(max_scale=3)), plan("m-2"), plan("n-1"))


class Parts:
    """An edge's inside. Its clock and its wall clock stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.proxy = Proxy(self, self.clock, draw=lambda: 0.0)
        self.scaler = MemoryScaler(self.proxy, clock=self.clock)
        self.loop = Loop(self.proxy, self.scaler, self.clock)
        self.ledger = Ledger()
        self.rollouts = Rollouts((self.proxy, self.loop, self.scaler), self.publish, self.clock)
        parts = (self.proxy, self.loop, self.scaler, self.ledger, self.rollouts)
        self.insight = Insight(parts, self.clock, lambda: Health(7), Stalls(0.25, self.clock, get_logger()))
        self.scaler.subscribe(self.insight.saw)
        self.scaler.subscribe(self._stands_still)
        self.serving: list[Exchange] = []
        self.configure()

    def clock(self) -> float:
        return self.now

    def _stands_still(self, snapshot: ReplicaSet) -> None:
        """Have no failed start tried again by a timer, which goes by the machine's clock."""
        fleet = self.scaler._fleets.get(snapshot.revision)
        if fleet is not None and fleet._retry is not None:
            fleet._retry.cancel()

    def wall(self) -> float:
        """Return Unix time: clock second 1000 is midnight of 2 January 2026, UTC."""
        return 1767312000.0 + self.now - 1000.0

    async def kept(self) -> bool:
        """Keep a move, as the edge does on disk."""
        return True

    def wake(self, revision: str) -> None:
        self.loop.wake(revision)

    def configure(
        self,
        services: tuple[Service, ...] = SERVICES,
        plans: tuple[RevisionPlan, ...] = PLANS,
        canaries: tuple[Canary, ...] = (),
    ) -> None:
        by_service = {canary.service: canary for canary in canaries}
        assert self.rollouts.configure(Catalog(Table(services), {each.name: each for each in plans}, by_service)) == []

    def publish(self, catalog: Catalog) -> None:
        self.insight.services = catalog.table.services
        self.proxy.replace_table(catalog.table)
        self.loop.configure(catalog.plans)

    def request(self, host: str, *fields: str) -> Exchange:
        return exchange(request("GET / HTTP/1.1", *fields, host=host), Client(), now=self.now)

    async def ask(self, host: str = "m.example", *fields: str) -> Exchange:
        """Send a request as far as it goes without time passing."""
        asked = self.request(host, *fields)
        self.serving.append(asked)
        asked.run(self.proxy.serve(asked))
        for _ in range(5):
            await asyncio.sleep(0)
        return asked

    async def close(self) -> None:
        for asked in self.serving:
            asked.fail(ClientGone())
        await asyncio.sleep(0)
        await self.scaler.close(drain=0)
        self.proxy.pool.close()


@asynccontextmanager
async def all_parts() -> AsyncIterator[Parts]:
    parts = Parts()
    try:
        yield parts
    finally:
        await parts.close()
