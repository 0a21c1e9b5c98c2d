"""What is still on its way when something ends: answers in the edge's own buffers, uploads that were answered early,
requests behind others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, cast

import pytest

from router.connection import MAX_PIPELINED
from router.ports import Endpoint, Replicas, StartStatus
from router.table import OnDisconnect
from tests.router.fakes import HELLO
from tests.router.wire.edge import LOCAL, answer
from tests.router.wire.talk import PATIENCE
from tests.router.wire.test_tunnel import OFFER

if TYPE_CHECKING:
    from router.connection import Connection
    from router.upstream import Upstream
    from tests.router.wire.edge import Edge
    from tests.router.wire.talk import Talk

GET = "GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n%b\r\nno"


def connection(edge: Edge) -> Connection:
    (found,) = edge.listener.connections
    return found


async def taking_nothing(edge: Edge, tls: str = "") -> tuple[Talk, int]:
    """Return a client that takes nothing, and of how many answers; the end of the last one is in the edge's buffer."""
    await edge.serving(LARGE)
    client = await edge.client(tls=tls)
    for asked in range(1000):
        await client.send(GET.format(asked))
        await edge.until(lambda asked=asked: len(edge.ended) > asked)  # type: ignore[misc]
        if connection(edge).unsent:
            return client, asked + 1
    raise AssertionError("all that was sent was taken")


async def test_on_shutdown_answers_that_have_not_left_are_waited_for(edge: Edge) -> None:
    client, count = await taking_nothing(edge)
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0.1)
    edge.later(0)
    assert not draining.done()
    assert [(await client.response()).whole for _ in range(count)] == [True] * count
    edge.later(1.1)
    await draining


async def test_nor_is_what_has_left_tls_but_not_the_edge_cut_by_a_shutdown(edge: Edge) -> None:
    await edge.speak_tls("a")
    client, _ = await taking_nothing(edge, tls="a.example")
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    secure = connection(edge)._transport
    while secure.get_write_buffer_size():
        await client.reader.read(1000)
    assert connection(edge).unsent
    edge.later(1.1)
    await asyncio.sleep(0.1)
    assert not draining.done()
    while connection(edge).unsent:
        await client.reader.read(1000)
    edge.later(1.1)
    await draining


async def test_and_what_has_not_left_in_time_is_seen_to_be_cut(edge: Edge) -> None:
    client, count = await taking_nothing(edge)
    await edge.listener.drain(0.1)
    with contextlib.suppress(EOFError):
        assert [(await client.response()).whole for _ in range(count)] != [True] * count
    assert client.was_reset


async def test_a_client_of_tls_has_no_longer_for_the_rest_of_an_answer_than_others(edge: Edge) -> None:
    await edge.speak_tls("a")
    edge.bound(write=10.0)
    await taking_nothing(edge, tls="a.example")
    for _ in range(3):
        edge.later(6.0)
    await edge.until(lambda: not edge.listener.connections)


async def test_a_client_whose_answer_has_not_left_makes_no_room_for_another(edge: Edge) -> None:
    client, count = await taking_nothing(edge)
    edge.later(1)
    edge.bound(connections=1)
    late = await edge.client(GET.format("late"))
    assert (await late.response()).status == 503
    assert [(await client.response()).whole for _ in range(count)] == [True] * count


async def test_a_connection_that_its_replica_does_not_read_is_not_used_again(edge: Edge) -> None:
    answered = asyncio.Event()

    async def reads_nothing(talk: Talk) -> None:
        await talk.head()
        while True:
            await answered.wait()
            answered.clear()
            await talk.send(HELLO)

    def all_has_left() -> bool:
        current = connection(edge)._current
        if current is None or current.upstream is None or current.request.body is None:
            return False
        return current.request.body.complete or cast("Upstream", current.upstream)._clogged

    replica = await edge.serving(reads_nothing)
    client = await edge.client()
    for _ in range(1000):
        await client.send(POST.format(60_000), b"x" * 60_000)
        await edge.until(all_has_left)
        answered.set()
        assert (await client.response()).status == 200
        if len(replica.talks) == 2:
            return
    raise AssertionError("it was used for ever")


async def test_an_answer_before_the_end_of_an_upload_is_not_lost_by_the_reset_behind_it(edge: Edge) -> None:
    listening = socket.create_server((LOCAL, 0))
    listening.settimeout(PATIENCE)

    def refuse() -> None:
        for _ in range(20):
            each, _ = listening.accept()
            each.recv(1000)
            each.sendall(TOO_LARGE % b"Connection: close\r\n")
            each.close()  # what was not read makes it a reset

    thread = asyncio.get_running_loop().run_in_executor(None, refuse)
    for number in range(20):
        endpoint = Endpoint(f"r{number}", LOCAL, listening.getsockname()[1])  # a broken one is avoided for a moment
        edge.proxy.update(Replicas("a-1", (endpoint,), StartStatus("ready")))
        client = await edge.client(POST.format(8 << 20))
        with contextlib.suppress(ConnectionError, TimeoutError):
            await client.send(*[b"x" * 65536] * 64)
        assert (await client.response()).status == 413
        client.leave()
    await thread
    listening.close()


@pytest.mark.parametrize(("said", "status"), [(TOO_LARGE % b"", 413), (HELLO, 200)])
async def test_a_client_is_told_that_nothing_is_read_behind_an_early_answer(
    edge: Edge, said: bytes, status: int
) -> None:
    async def answers(talk: Talk) -> None:
        await talk.head()
        await talk.send(said)
        await talk.ended()

    await edge.serving(answers)
    client = await edge.client(POST.format(1 << 20), b"x" * 100_000)
    early = await client.response()
    assert (early.status, early.get("Connection")) == (status, "close")


async def test_that_is_so_with_an_answer_that_came_before_too(edge: Edge) -> None:
    async def answers(talk: Talk) -> None:
        for _ in range(3):
            await talk.request()
            await talk.send(TOO_LARGE % b"")
        await talk.head()
        await talk.send(TOO_LARGE % b"")
        await talk.ended()

    replica = await edge.serving(answers)
    client = await edge.client()
    for _ in range(3):
        await client.send(POST.format(3), b"abc")
        assert (await client.response()).get("Connection") is None
    await client.send(POST.format(1 << 20), b"x" * 100_000)
    assert (await client.response()).get("Connection") == "close"
    assert len(replica.talks) == 1


async def test_an_answer_that_comes_in_the_turn_in_which_its_time_is_over_is_not_begun(edge: Edge) -> None:
    edge.limit(first_byte=5.0)
    replica = await edge.serving(answer(go=asyncio.Event()))
    client = await edge.client(GET.format(1))
    await edge.until(lambda: bool(replica.talks and replica.talks[0].heard))
    replica.talks[0].writer.write(HELLO)
    edge.later(6)
    assert (await client.response()).status == 504
    await edge.serving()
    await client.send(GET.format(2))
    assert (await client.response()).status == 200


async def test_the_model_has_its_time_from_the_last_byte_that_it_was_sent(edge: Edge) -> None:
    edge.limit(first_byte=5.0)
    edge.bound(body_rate=0)
    edge.limit()

    async def silent(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    replica = await edge.serving(silent)
    client = await edge.client(POST.format(70_003), b"x" * 70_000)
    for heard in range(3):
        edge.later(4)
        await client.send(b"y")
        await edge.until(lambda heard=heard: replica.heard.count(b"y") == heard + 1)  # type: ignore[misc]
    edge.later(4.9)
    assert edge.running == 1
    edge.later(0.2)
    assert (await client.response()).status == 504


async def test_time_in_which_the_rest_of_a_body_is_awaited_is_not_the_models(edge: Edge) -> None:
    edge.bound(body_rate=0)
    edge.limit(first_byte=5.0)

    async def reads_all(talk: Talk) -> None:
        while talk.heard.count(b"y") < 3 and await talk.hear():
            pass
        await talk.send(HELLO)

    replica = await edge.serving(reads_all)
    client = await edge.client(POST.format(70_003), b"x" * 70_000)
    for heard in range(3):
        await edge.until(lambda heard=heard: replica.heard.count(b"y") == heard)  # type: ignore[misc]
        edge.later(6)
        await client.send(b"y")
    assert (await client.response()).body == b"hello"


@pytest.mark.parametrize("closes", [True, False])
async def test_who_leaves_behind_a_request_that_is_finished_for_nobody_waits_no_more(edge: Edge, closes: bool) -> None:
    edge.limit(on_disconnect=OnDisconnect.FINISH, container_concurrency=1)
    go = asyncio.Event()

    async def slow(talk: Talk) -> None:
        await talk.request()
        await go.wait()
        await talk.send(HELLO)

    replica = await edge.serving(slow)
    client = await edge.client(GET.format(1) + GET.format(2))
    await edge.until(lambda: b"GET /1" in replica.heard)
    client.leave() if closes else client.half_close()
    await asyncio.sleep(0.05)
    edge.ready()
    go.set()
    await edge.until(lambda: edge.held == 1)
    await asyncio.sleep(0.05)
    edge.later(1)
    await edge.until(lambda: edge.held == 0)
    assert [exchange.reason for exchange in edge.ended] == ["", "client_left"]


async def test_no_more_requests_are_parsed_than_may_wait(edge: Edge) -> None:
    client = await edge.client("".join(GET.format(number) for number in range(1000)))
    await edge.until(lambda: edge.held == 1)
    assert len(connection(edge)._waiting) == MAX_PIPELINED
    await edge.serving()
    assert [(await client.response()).status for _ in range(1000)] == [200] * 1000


async def test_however_many_requests_are_sent_at_once_no_more_is_read_than_can_be_answered(edge: Edge) -> None:
    await edge.serving()
    client = await edge.client()
    sending = asyncio.create_task(client.send(*[GET.format(1) * 1000] * 100))
    most = 0
    for _ in range(200):
        await client.response()
        most = max(most, len(connection(edge)._unread))
    assert 0 < most < 1 << 20
    sending.cancel()
    client.reset()


async def test_requests_in_a_row_are_all_answered_to_one_who_sends_no_more(edge: Edge) -> None:
    edge.limit(on_disconnect=OnDisconnect.FINISH)
    await edge.serving()
    client = await edge.client("".join(GET.format(number) for number in range(1000)))
    assert (await client.response()).status == 200
    client.half_close()
    assert [(await client.response()).status for _ in range(999)] == [200] * 999


async def test_what_comes_behind_an_offer_that_is_held_counts_as_memory_and_is_not_read_on(edge: Edge) -> None:
    client = await edge.client(OFFER.encode() + b"x" * 1000)
    await edge.until(lambda: edge.held == 1)
    await client.send(b"y" * 100_000)
    await asyncio.sleep(0.02)
    assert edge.proxy.admission.buffers.total == 1000
    assert edge.proxy.queues["a-1"].held_bytes == 1000
    client.reset()
    await asyncio.sleep(0.02)
    edge.later(1)
    await edge.settle()


async def test_an_upload_has_its_time_to_wait_from_its_turn_on(edge: Edge) -> None:
    edge.limit(hold=3.0)
    go = asyncio.Event()
    await edge.serving(answer(go=go))
    client = await edge.client(GET.format(1) + POST.format(40_000), b"x" * 20_000)
    await edge.until(lambda: edge.running == 1)
    edge.later(5)
    go.set()
    assert (await client.response()).status == 200
    edge.later(0.1)
    await client.send(b"x" * 20_000)
    assert (await client.response()).status == 200


async def test_a_body_that_turns_out_malformed_ends_its_request_at_once(edge: Edge) -> None:
    client = await edge.client("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await edge.until(lambda: bool(edge.listener.busy))
    await client.send("no size\r\n")
    assert (await client.response()).status == 400
    assert await client.ended()


async def test_what_is_malformed_behind_a_whole_body_is_not_held_against_it(edge: Edge) -> None:
    client = await edge.client(POST.format(5) + "hello" + "no request\r\n\r\n")
    await edge.until(lambda: edge.held == 1)
    await edge.serving()
    assert [(await client.response()).status for _ in range(2)] == [200, 400]
    assert await client.ended()
