"""Whatever a connection has come to, nothing of it is left for the collector, which is told to look rarely."""

from __future__ import annotations

import gc
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from router.connection import Connection
from router.exchange import Exchange
from router.table import OnDisconnect
from router.upstream import Upstream
from tests.router.wire.test_tunnel import ACCEPT, OFFER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.router.wire.edge import Edge
    from tests.router.wire.talk import Talk

    Way = Callable[[Edge], Awaitable[None]]

GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
KINDS = (Connection, Exchange, Upstream)


async def break_off(edge: Talk) -> None:
    await edge.request()
    edge.reset()


async def never(edge: Talk) -> None:
    await edge.request()
    await edge.ended()


async def switch(edge: Talk) -> None:
    await edge.request()
    await edge.send(ACCEPT)
    await edge.ended()
    edge.leave()


async def answers(edge: Edge) -> None:
    await edge.serving()
    client = await edge.client(GET, GET, GET)
    for _ in range(3):
        assert (await client.response()).status == 200
    client.leave()


async def a_body_is_answered(edge: Edge) -> None:
    edge.limit(max_body=1000)
    await edge.serving()
    client = await edge.client(POST, "3\r\nabc\r\n0\r\n\r\n")
    assert (await client.response()).status == 200
    client.leave()


async def a_body_is_too_large(edge: Edge) -> None:
    edge.limit(max_body=2)
    await edge.serving(never)
    client = await edge.client(POST, "3\r\nabc\r\n")
    assert (await client.response()).status == 413
    client.leave()


async def the_model_breaks(edge: Edge) -> None:
    await edge.serving(break_off)
    client = await edge.client(GET)
    assert (await client.response()).status == 502
    client.leave()


async def the_model_answers_nonsense(edge: Edge) -> None:
    await edge.serving(b"HTTP/1.1 nonsense\r\n\r\n")
    client = await edge.client(GET)
    assert (await client.response()).status == 502
    client.leave()


async def the_client_leaves_a_model_at_work(edge: Edge) -> None:
    edge.limit(on_disconnect=OnDisconnect.CANCEL)
    await edge.serving(never)
    client = await edge.client(GET)
    await edge.until(lambda: edge.running == 1)
    client.leave()


async def the_client_leaves_while_it_is_held(edge: Edge) -> None:
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    client.leave()


async def the_client_leaves_in_the_middle_of_a_body(edge: Edge) -> None:
    await edge.serving(never)
    client = await edge.client(POST, "3\r\nabc\r\n")
    await edge.until(lambda: edge.open_requests == 1)
    client.leave()


async def a_hold_ends(edge: Edge) -> None:
    edge.limit(hold=1.0)
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.later(2.0)
    assert (await client.response()).status == 503
    client.leave()


async def a_head_is_malformed(edge: Edge) -> None:
    client = await edge.client("GET / HTTP/1.1\r\nHost: a.example\r\n rubbish\x00\r\n\r\n")
    assert (await client.response()).status == 400


async def a_host_is_malformed(edge: Edge) -> None:
    client = await edge.client("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
    assert (await client.response()).status == 400


async def a_chunk_is_malformed(edge: Edge) -> None:
    await edge.serving(never)
    client = await edge.client(POST, "3\r\nabc\r\n", "zz\r\n")
    assert (await client.response()).status == 400


async def a_service_is_unknown(edge: Edge) -> None:
    client = await edge.client("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert (await client.response()).status == 404


async def a_tunnel_ends(edge: Edge) -> None:
    await edge.serving(switch)
    client = await edge.client(OFFER)
    assert (await client.head()).status == 101
    client.leave()


WAYS = (
    answers,
    a_body_is_answered,
    a_body_is_too_large,
    the_model_breaks,
    the_model_answers_nonsense,
    the_client_leaves_a_model_at_work,
    the_client_leaves_while_it_is_held,
    the_client_leaves_in_the_middle_of_a_body,
    a_hold_ends,
    a_head_is_malformed,
    a_host_is_malformed,
    a_chunk_is_malformed,
    a_service_is_unknown,
    a_tunnel_ends,
)


@pytest.fixture
def uncollected() -> Iterator[Callable[[], Counter[str]]]:
    """Tell what there is, beside what was there before, while the collector rests."""

    def count() -> Counter[str]:
        return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in KINDS)

    gc.collect()
    gc.disable()
    before = count()
    yield lambda: count() - before
    gc.enable()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_nothing_is_left_to_the_collector_when(
    way: Way, edge: Edge, uncollected: Callable[[], Counter[str]]
) -> None:
    edge.proxy.on_end = None  # which keeps exchanges, for tests
    await way(edge)
    for client in edge._clients:
        client.leave()
    edge.ready()
    await edge.settle()
    edge.later(100.0)  # idle connections end
    edge.refusals.clear()
    await edge.until(lambda: not uncollected())
