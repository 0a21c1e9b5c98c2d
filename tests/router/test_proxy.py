from __future__ import annotations

import asyncio

from router.exchange import ClientGone
from router.proxy import Proxy
from router.table import Share
from tests.router.fakes import Clock, Wakes, exchange, revision, service, table


async def test_a_held_request_whose_revision_leaves_the_table_keeps_its_draw() -> None:
    draws = iter((0.95, 0.05))
    proxy = Proxy(Wakes(), Clock(), draws.__next__)
    proxy.replace_table(table(service(Share(revision("a-0"), 50), Share(revision("a-1"), 50))))
    held = exchange()
    held.run(proxy.serve(held))
    assert held.revision.name == "a-1"
    proxy.replace_table(table(service(Share(revision("a-2"), 90), Share(revision("a-3"), 10))))
    await asyncio.sleep(0)
    assert held.revision.name == "a-3"
    held.fail(ClientGone())
    await asyncio.sleep(0)
