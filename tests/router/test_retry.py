"""What becomes of a request whose kept connection ended before a byte of the answer came, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from router.admission import Admission
from router.errors import EdgeError, Reason
from router.pool import Pool
from router.proxy import Proxy
from router.table import OnDisconnect, Share
from router.upstream import Upstream
from tests.router.fakes import HELLO, Transport, Wakes, exchange, replicas, revision, service, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.exchange import Exchange
    from router.slots import Slots
    from tests.router.fakes import Client

pytestmark = pytest.mark.looptime


class Reachable(Pool):
    """Connects every replica, after a moment; `close_first` of the connections end at once."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop().time)
        self.close_first = 0
        self.made: list[Upstream] = []

    async def _connect(self, slots: Slots) -> Upstream:
        await asyncio.sleep(0.01)
        upstream = Upstream(slots, self._clock)
        upstream.connection_made(Transport())
        self.made.append(upstream)
        if len(self.made) <= self.close_first:
            upstream.eof_received()
        return upstream


class Stage:
    """A router with one replica of a-1. `serving` has a-1 replaced by other revisions in the table."""

    def __init__(self, **limits: object) -> None:
        self.clock = asyncio.get_running_loop().time
        self.pool = Reachable()
        self.wakes = Wakes()
        self.proxy = proxy = Proxy(self.wakes, self.clock)
        proxy.pool = self.pool
        proxy.admission = Admission(self.pool, proxy.queues, proxy.reassign, self.clock)
        self.limits = limits
        self.serving("a-1")
        proxy.update(replicas(1))

    def serving(self, name: str) -> None:
        self.proxy.replace_table(table(service(Share(revision(name, "a", **self.limits), 100))))

    async def asked(self) -> Exchange:
        """Begin a request, and let it come as far as it can."""
        asked = exchange(now=self.clock())
        asked.run(self.proxy.serve(asked))
        await self.later(0.02)
        return asked

    async def under_way(self) -> tuple[Upstream, Exchange]:
        """Return a connection that was used before, and the request that is on it."""
        first = await self.asked()
        (upstream,) = self.pool.made
        upstream.data_received(HELLO)
        assert ended(first)
        return upstream, await self.asked()

    async def later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.proxy.sweep()
        await asyncio.sleep(0)


def ended(asked: Exchange) -> bool:
    client: Client = asked.client  # type: ignore[assignment]
    return client.ended == [asked]


async def test_it_is_sent_once_more_by_a_new_connection() -> None:
    stage = Stage()
    upstream, asked = await stage.under_way()
    upstream.connection_lost(None)
    await stage.later(0.02)
    stage.pool.made[1].data_received(HELLO)
    assert (asked.status, ended(asked)) == (200, True)


async def test_that_is_so_with_a_connection_that_was_made_for_one_who_left_meanwhile() -> None:
    stage = Stage()
    left = exchange(now=stage.clock())
    left.run(stage.proxy.serve(left))
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, loop.call_soon, left.client_left)  # when it is there, which the request has yet to hear
    await stage.later(0.02)
    assert ended(left)
    asked = await stage.asked()
    (upstream,) = stage.pool.made
    upstream.connection_lost(None)
    await stage.later(0.02)
    stage.pool.made[1].data_received(HELLO)
    assert (asked.status, ended(asked)) == (200, True)


async def test_what_nobody_waits_for_any_more_is_not_sent_again_and_wakes_nothing() -> None:
    stage = Stage(on_disconnect=OnDisconnect.FINISH)
    upstream, asked = await stage.under_way()
    asked.client_left()
    await stage.later(0.2)
    assert not ended(asked)
    stage.proxy.update(replicas(0))
    upstream.connection_lost(None)
    await stage.later(0.0)
    assert (ended(asked), stage.proxy.look("a-1").held, stage.wakes) == (True, 0, [])


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda asked: asked.client_left(), "client_left"),
        (lambda asked: asked.fail(EdgeError(Reason.SHUTTING_DOWN, "")), "shutting_down"),
    ],
)
@pytest.mark.parametrize("on_disconnect", OnDisconnect)
async def test_what_ends_a_request_in_that_very_turn_ends_it(
    end: Callable[[Exchange], None], reason: str, on_disconnect: OnDisconnect
) -> None:
    stage = Stage(on_disconnect=on_disconnect)
    upstream, asked = await stage.under_way()
    upstream.connection_lost(None)
    end(asked)
    await stage.later(0.02)
    assert (ended(asked), asked.reason, len(stage.pool.made)) == (True, reason, 1)


async def test_it_is_sent_to_what_has_taken_the_place_of_its_revision() -> None:
    stage = Stage()
    upstream, asked = await stage.under_way()
    stage.serving("a-2")
    stage.proxy.update(replicas(1, "a-2"))
    stage.proxy.update(replicas(0))
    upstream.connection_lost(None)
    await stage.later(0.02)
    stage.pool.made[1].data_received(HELLO)
    assert (asked.status, asked.revision.name) == (200, "a-2")


async def test_it_is_held_no_longer_than_any_other() -> None:
    stage = Stage(hold=10.0)
    upstream, asked = await stage.under_way()
    stage.serving("a-2")
    stage.proxy.update(replicas(0))
    upstream.connection_lost(None)
    await stage.later(9.0)
    assert (ended(asked), stage.proxy.look("a-2").held, stage.wakes) == (False, 1, ["a-2"])
    await stage.later(1.1)
    assert (ended(asked), asked.reason) == (True, "hold_timeout")


async def test_a_connection_that_ends_before_anything_was_sent_is_none() -> None:
    stage = Stage()
    stage.pool.close_first = 2
    asked = await stage.asked()
    await stage.later(0.5)
    assert [upstream.usable for upstream in stage.pool.made] == [False, False, True]
    stage.pool.made[2].data_received(HELLO)
    assert (asked.status, stage.proxy.in_flight("a-1")) == (200, {})
