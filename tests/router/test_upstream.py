"""What a socket cannot be made to do at the right moment: tests/router/wire has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from router.errors import EdgeError
from router.pool import Pool
from router.queue import Queue
from router.upstream import Upstream
from tests.router.fakes import (
    HELLO,
    Client,
    Clock,
    Connections,
    Transport,
    exchange,
    replicas,
    request,
    revision,
    service,
)

if TYPE_CHECKING:
    from router.exchange import Exchange


class Clogged(Client):
    """A client that is slower than its replica from the first byte on."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.upstream is not None:
            self.upstream.pause_reading()

    upstream: Upstream | None = None


def connected() -> tuple[Upstream, Transport]:
    queue = Queue(revision(), lambda _: None, Clock())
    queue.update(replicas(1), 0.0)
    slots = queue.take()
    assert slots is not None
    upstream, transport = Upstream(slots, Clock()), Transport()
    upstream.connection_made(transport)
    return upstream, transport


async def test_a_connection_whose_last_bytes_came_too_fast_is_read_on_when_it_is_given_back() -> None:
    upstream, transport = connected()
    client = Clogged()
    client.upstream = upstream
    asked = exchange(client=client)
    asked.assign(service(), revision(), tagged=False)
    asked.run(carried(upstream, asked))
    upstream.data_received(HELLO)
    assert (upstream.slots.idle, transport.reading, upstream.usable) == ([upstream], True, True)


async def test_a_request_counts_as_sent_when_its_connection_was_taken() -> None:
    upstream, _ = connected()
    clock = Clock()
    pool = Pool(clock)
    upstream.slots.idle.append(upstream)
    clock.now += 1.5
    assert pool.take(upstream.slots, request()) is upstream
    asked = exchange()
    asked.assign(service(), revision(), tagged=False)
    asked.run(carried(upstream, asked))
    assert asked.dispatched == clock.now
    upstream.data_received(HELLO)


async def test_an_idle_connection_is_closed_where_descriptors_might_not_suffice_for_another_one() -> None:
    pool, queue = Connections(Clock(), most=3), Queue(revision(), lambda _: None, Clock())
    queue.update(replicas(4), 0.0)
    for number in range(4):
        slots = queue.take()
        assert slots is not None
        with await pool.connect(slots):
            assert pool.idle == min(number, 2)
    assert sorted(upstream.usable for upstream in pool.made) == [False, True, True, True]


async def test_a_connection_that_was_fresh_at_one_sweep_is_closed_by_a_later_one() -> None:
    clock = Clock()
    pool, queue = Connections(clock), Queue(revision(), lambda _: None, clock)
    queue.update(replicas(1), clock())
    slots = queue.take()
    assert slots is not None
    with await pool.connect(slots) as upstream:
        pass
    for seconds, usable in ((1.0, True), (3.0, False)):
        pool.sweep(clock() + seconds)
        assert upstream.usable is usable
    assert not pool._connected, "nothing is kept of a replica that may never be asked again"


async def test_what_runs_is_not_closed_for_another_one() -> None:
    pool, queue = Connections(Clock(), most=1), Queue(revision(), lambda _: None, Clock())
    queue.update(replicas(2), 0.0)
    for slots in (queue.take(), queue.take()):
        assert slots is not None
        await pool.connect(slots)
    assert [upstream.usable for upstream in pool.made] == [True, True]


async def test_a_body_of_which_the_replica_takes_nothing_does_not_stop_its_time() -> None:
    upstream, _ = connected()
    asked = exchange(request("POST / HTTP/1.1", "Content-Length: 100000"))
    asked.assign(service(), revision(first_byte=5.0), tagged=False)
    upstream.carry(asked)
    upstream.check_clocks(1100.0)
    assert asked.failure is None
    upstream.pause_writing()
    upstream.check_clocks(1100.0)
    assert isinstance(asked.failure, EdgeError)


@pytest.mark.parametrize("body", [b"hello", b""])
async def test_a_body_that_came_in_chunks_and_is_whole_gets_its_length(body: bytes) -> None:
    upstream, transport = connected()
    asked = exchange(request("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X"))
    asked.assign(service(), revision(), tagged=False)
    assert asked.request.body is not None
    if body:
        asked.request.body.feed(body)
    asked.request.body.finish()
    upstream.carry(asked)
    head, _, sent = transport.got.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head
    assert (b"Transfer-Encoding" in head, b"Trailer" in head, sent) == (False, False, body)


async def test_and_one_that_still_comes_goes_on_in_chunks() -> None:
    upstream, transport = connected()
    asked = exchange(request("POST / HTTP/1.1", "Transfer-Encoding: chunked"))
    asked.assign(service(), revision(), tagged=False)
    assert asked.request.body is not None
    asked.request.body.feed(b"hello")
    upstream.carry(asked)
    asked.request.body.finish()
    head, _, sent = transport.got.partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert (b"Content-Length" in head, sent) == (False, b"5\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize("clock", ["total", "first_byte", "idle"])
async def test_a_response_ends_by_its_clocks_and_not_before(clock: str) -> None:
    limits: dict[str, Any] = {"first_byte": 0.0, clock: 5.0}
    upstream, _ = connected()
    asked = exchange()
    asked.assign(service(), revision(**limits), tagged=False)
    upstream.carry(asked)
    if clock == "idle":
        upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    upstream.check_clocks(1005.0)
    assert asked.failure is None
    upstream.check_clocks(1005.1)
    assert isinstance(asked.failure, EdgeError)


async def carried(upstream: Upstream, asked: Exchange) -> None:
    with upstream:
        await upstream.carry(asked)
