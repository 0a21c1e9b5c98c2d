"""What a socket cannot be made to do at the right moment: tests/router/wire has the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from router.connection import HEAD_SECONDS, MAX_PIPELINED, Connection
from router.errors import EdgeError, Reason
from router.listener import LOOK_SECONDS, PART_SECONDS, PAUSE_SECONDS, Listener
from tests.router.fakes import Clock, Transport

if TYPE_CHECKING:
    from router.exchange import Exchange

GET = b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n"


class Serving:
    """A listener with one connection, whose exchanges are answered when the test says so."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        listener = Listener(self._serve, Clock(), lambda _: None)
        self.connection, self.transport = Connection(listener), Transport()
        self.connection.connection_made(self.transport)

    def hear(self, data: bytes) -> None:
        self.connection.data_received(data)

    async def answer(self, *, clogs: bool = False) -> None:
        """Answer the exchange that runs; `clogs` = the client does not take it fast enough."""
        exchange = self.exchanges[-1]
        self.connection.write(exchange.request.target + b" ")
        if clogs:
            self.connection.pause_writing()
        exchange.wake()
        for _ in range(5):
            await asyncio.sleep(0)

    async def _serve(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        await exchange.wait()
        exchange.client.done(exchange, 1000.0)


async def test_no_more_is_run_for_a_client_that_does_not_take_its_answers() -> None:
    serving = Serving()
    serving.hear(GET % 1 + GET % 2)
    await serving.answer(clogs=True)
    assert serving.transport.got == b"/1 "
    assert len(serving.exchanges) == 1
    serving.connection.resume_writing()
    await serving.answer()
    assert serving.transport.got == b"/1 /2 "


async def test_a_request_that_arrives_while_the_client_takes_nothing_waits_as_well() -> None:
    serving = Serving()
    serving.hear(GET % 1)
    await serving.answer(clogs=True)
    serving.hear(GET % 2)
    assert len(serving.exchanges) == 1
    serving.connection.resume_writing()
    assert len(serving.exchanges) == 2


async def test_enough_that_waits_is_enough() -> None:
    serving = Serving()
    for number in range(MAX_PIPELINED + 1):
        assert serving.transport.reading
        serving.hear(GET % number)
    assert not serving.transport.reading
    await serving.answer()
    assert serving.transport.reading


async def test_and_so_are_two_with_large_heads_whichever_came_before() -> None:
    serving = Serving()
    large = GET.replace(b"\r\n\r\n", b"\r\nX-A: %s\r\n\r\n" % (b"a" * 40_000))
    most = 0
    for number in range(60):
        if serving.transport.reading:
            serving.hear((GET if number < 8 else large) % number)
        else:
            await serving.answer()
        heads = [exchange.request.head_size for exchange in serving.connection._waiting]
        most = max(most, sum(heads))
    assert 2 * 40_000 < most < 2 * 41_000
    assert serving.transport.got.startswith(b"/0 /1 /2 /3 /4 /5 /6 /7 /8 /9 ")


async def test_a_client_whose_upload_was_paused_is_read_on_after_its_answer() -> None:
    serving = Serving()
    serving.hear(GET % 1)
    serving.connection.pause_reading()
    await serving.answer()
    assert serving.transport.reading
    serving.hear(GET % 2)
    await serving.answer()
    assert serving.transport.got == b"/1 /2 "


async def test_what_came_in_the_meantime_is_not_lost_when_reading_was_paused() -> None:
    serving = Serving()
    serving.hear(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000 + GET % 2)
    body = serving.exchanges[0].request.body
    assert body is not None
    assert (body.complete, serving.transport.reading) == (False, False)
    body.discard()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (body.complete, body.received) == (True, 200_000)
    await serving.answer()
    assert serving.exchanges[-1].request.target == b"/2"
    await serving.answer()


async def test_a_refused_connection_takes_no_more() -> None:
    serving = Serving()
    serving.hear(GET % 1 + b"rubbish\r\n\r\n")
    serving.hear(GET % 2)
    await serving.answer()
    assert serving.transport.got.startswith(b"/1 HTTP/1.1 400 Bad Request\r\n")
    assert len(serving.exchanges) == 1


async def test_a_body_that_is_malformed_behind_a_head_that_was_refused_at_once_is_not_answered_again() -> None:
    async def refuse(exchange: Exchange) -> None:
        exchange.refuse(EdgeError(Reason.UNKNOWN_HOST, "There is no such service."), 1000.0)
        exchange.client.done(exchange, 1000.0)

    connection, transport = Connection(Listener(refuse, Clock(), lambda _: None)), Transport()
    connection.connection_made(transport)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert transport.got.count(b"HTTP/1.1 ") == 1
    assert transport.got.startswith(b"HTTP/1.1 404")


@pytest.mark.looptime
async def test_a_sweep_over_many_connections_goes_bit_by_bit_so_that_requests_go_in_between() -> None:
    class Running(Clock):
        def __call__(self) -> float:
            self.now += PART_SECONDS / 10
            return self.now

    clock = Running()
    listener = Listener(Serving()._serve, clock, lambda _: None)
    transports = [Transport() for _ in range(100)]
    for transport in transports:
        connection = Connection(listener)
        connection.connection_made(transport)
        connection.data_received(b"GET / HTTP/1.1\r\n")

    def refused() -> int:
        return sum(transport.got.startswith(b"HTTP/1.1 408") for transport in transports)

    listener.sweep(clock() + HEAD_SECONDS + 1)
    assert 0 < refused() < 20
    listener.sweep(clock())  # the first one is still under way
    await asyncio.sleep(100 * PAUSE_SECONDS)
    assert refused() == 100


async def test_connections_on_which_nothing_runs_are_looked_at_now_and_then() -> None:
    clock = Clock()
    listener = Listener(Serving()._serve, clock, lambda _: None)
    connection, transport = Connection(listener), Transport()
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\n")
    begun = clock()
    listener.sweep(begun + HEAD_SECONDS)
    listener.sweep(begun + HEAD_SECONDS + LOOK_SECONDS / 2)
    assert transport.got == b""
    listener.sweep(begun + HEAD_SECONDS + LOOK_SECONDS)
    assert transport.got.startswith(b"HTTP/1.1 408")


async def test_a_connection_that_is_lost_while_a_sweep_is_under_way_is_left_alone() -> None:
    told: list[EdgeError] = []
    clock = Clock()
    listener = Listener(Serving()._serve, clock, told.append)
    connections = [Connection(listener) for _ in range(2)]
    for connection in connections:
        connection.connection_made(Transport())
        connection.data_received(b"GET / HTTP/1.1\r\n")
    listener._unswept = list(connections)
    connections[0].connection_lost(None)
    listener._sweep_part(clock() + HEAD_SECONDS + 1, look=True)
    assert len(told) == 1


async def test_a_sweep_goes_on_behind_a_connection_with_a_defect() -> None:
    class Broken(Connection):
        def check_clocks(self, now: float) -> None:
            raise RuntimeError

    told: list[EdgeError] = []
    clock = Clock()
    listener = Listener(Serving()._serve, clock, told.append)
    for kind in (Connection, Broken):
        listener._unswept.append(kind(listener))
        listener._unswept[-1].connection_made(Transport())  # type: ignore[attr-defined]
        listener._unswept[-1].data_received(b"GET / HTTP/1.1\r\n")  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        listener._sweep_part(clock() + HEAD_SECONDS + 1, look=False)
    await asyncio.sleep(2 * PAUSE_SECONDS)
    assert (len(told), listener._unswept) == (1, [])
