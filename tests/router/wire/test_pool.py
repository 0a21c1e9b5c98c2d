from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from router.table import OnDisconnect
from tests.router.fakes import HELLO

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge, Script
    from tests.router.wire.talk import Talk

MiB = 1 << 20
GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: a.example\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


async def test_a_response_is_never_taken_for_the_next_ones(edge: Edge) -> None:
    await edge.serving(HELLO + OK + b"Content-Length: 6\r\n\r\npoison")
    client = await edge.client()
    for _ in range(5):
        await client.send(GET)
        assert (await client.response()).body == b"hello"


async def test_bytes_that_come_on_an_idle_connection_close_it(edge: Edge) -> None:
    replica = await edge.serving(HELLO)
    client = await edge.client(GET)
    await client.response()
    await edge.settle()
    await replica.talks[0].send(OK + b"Content-Length: 6\r\n\r\npoison")
    await edge.until(replica.talks[0].reader.at_eof)
    await client.send(GET)
    assert (await client.response()).body == b"hello"
    assert len(replica.talks) == 2


@pytest.mark.parametrize(
    ("asked", "head"), [(GET.replace("GET", "HEAD"), OK), (GET, b"HTTP/1.1 304 Not Modified\r\n")], ids=["HEAD", "304"]
)
async def test_a_body_that_must_not_be_there_and_comes_late_is_nobodys_answer(
    edge: Edge, asked: str, head: bytes
) -> None:
    poison, go = OK + b"Content-Length: 6\r\n\r\npoison", asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        if talk is replica.talks[0]:
            await go.wait()
            await talk.send(head + b"Content-Length: %d\r\n\r\n" % len(poison))
            await talk.reader.read(1)  # the next request, or the end
            await talk.send(poison)
        else:
            await talk.send(HELLO)

    edge.limit(container_concurrency=1)
    replica = await edge.serving(script)
    one, other = await edge.client(asked), await edge.client()
    await edge.until(lambda: edge.running == 1)
    await other.send(GET)
    await edge.until(lambda: edge.held == 1)
    go.set()
    assert (await one.response(to="HEAD")).get("Content-Length") == str(len(poison))
    assert (await other.response()).body == b"hello"


async def test_a_replica_that_vanishes_without_a_word_is_noticed_by_the_kernel(edge: Edge) -> None:
    await edge.serving()
    client = await edge.client(GET)
    await client.response()
    await edge.settle()
    (upstream,) = [each for slots in edge.proxy.pool._connected for each in slots.idle]
    found = upstream._transport.get_extra_info("socket")
    asked = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert [found.getsockopt(socket.IPPROTO_TCP, each) for each in asked] == [60, 15, 4]


async def test_connections_are_reused_while_they_are_fresh_and_not_later(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client()

    async def talks_after(request: str, pause: float) -> int:
        edge.clock.ahead += pause
        await client.send(request)
        await client.response()
        return len(replica.talks)

    post = POST + "Content-Length: 0\r\n\r\n"
    assert [await talks_after(GET, 0.0), await talks_after(GET, 1.5), await talks_after(GET, 2.5)] == [1, 1, 2]
    assert [await talks_after(post, 0.5), await talks_after(post, 1.5), await talks_after(post, 0.5)] == [2, 3, 3]


async def test_idle_connections_are_closed_after_a_while(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client(GET)
    await client.response()
    edge.later(3.0)
    await edge.until(replica.talks[0].reader.at_eof)


async def test_a_connection_that_was_in_use_at_one_sweep_is_closed_by_a_later_one(edge: Edge) -> None:
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await go.wait()
        await talk.send(HELLO)
        await talk.ended()

    replica = await edge.serving(script)
    client = await edge.client(GET)
    await edge.until(lambda: edge.running == 1 and bool(replica.talks))
    edge.later(3.0)
    go.set()
    await client.response()
    await edge.settle()
    edge.later(3.0)
    await edge.until(replica.talks[0].reader.at_eof)


async def test_a_connection_that_the_replica_closed_is_not_used_again(edge: Edge) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(HELLO)
        talk.leave()

    replica = await edge.serving(script)
    client = await edge.client()
    for number in range(1, 5):
        await client.send(POST + "Content-Length: 2\r\n\r\nhi")
        assert (await client.response()).status == 200
        await edge.until(replica.talks[-1].writer.is_closing)
        await asyncio.sleep(0.01)
        assert len(replica.talks) == number


async def test_a_connection_that_a_slow_client_paused_is_read_again_when_it_is_reused(edge: Edge) -> None:
    replica = await edge.serving(OK + b"Content-Length: %d\r\n\r\n" % (8 * MiB) + bytes(8 * MiB))
    for _ in range(3):
        client = await edge.client(GET)
        await asyncio.sleep(0.05)
        assert len((await client.response()).body) == 8 * MiB
    assert len(replica.talks) == 1


async def closes_when_asked_again(talk: Talk) -> None:
    """Answer one request on a connection; read the next, and end it without a word."""
    await talk.request()
    await talk.send(HELLO)
    await talk.request()
    talk.leave()


async def resets_when_asked_again(talk: Talk) -> None:
    await talk.request()
    await talk.send(HELLO)
    await talk.request()
    talk.reset()


async def begins_to_answer_again(talk: Talk) -> None:
    await talk.request()
    await talk.send(HELLO)
    await talk.request()
    await talk.send(OK[:9])
    talk.leave()


@pytest.mark.parametrize("ends", [closes_when_asked_again, resets_when_asked_again])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_what_a_kept_connection_ends_on_is_sent_once_more(edge: Edge, ends: Script, method: str) -> None:
    edge.limit(container_concurrency=1)
    replica = await edge.serving(ends)
    client = await edge.client()
    asked = GET.replace("GET", method)
    for _ in range(3):
        await client.send(asked)
        assert (await client.response(to=method)).status == 200
    assert [talk.heard.count(method.encode()) for talk in replica.talks] == [2, 2, 1]
    assert [exchange.reason for exchange in edge.ended] == [""] * 3


@pytest.mark.parametrize(
    ("request_", "ends", "limits"),
    [
        (POST + "Content-Length: 0\r\n\r\n", closes_when_asked_again, {}),
        (POST + "Content-Length: 2\r\n\r\nhi", closes_when_asked_again, {}),
        (GET.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"), closes_when_asked_again, {}),
        (GET.replace("GET", "DELETE"), closes_when_asked_again, {}),
        (GET, begins_to_answer_again, {}),
        (GET, closes_when_asked_again, {"retry_unanswered": False}),
    ],
)
async def test_but_not_what_may_have_changed_something_or_was_answered_in_part_or_must_not_be(
    edge: Edge, request_: str, ends: Script, limits: dict[str, object]
) -> None:
    edge.limit(**limits)
    replica = await edge.serving(ends)
    client = await edge.client(request_)
    assert (await client.response()).status == 200
    await client.send(request_)
    refused = await client.response()
    assert (refused.status, refused.get("Activator-Reason")) == (502, "upstream_broke")
    assert len(replica.talks) == 1


async def test_what_a_replica_was_at_work_on_when_it_broke_is_not_sent_again(edge: Edge) -> None:
    go = asyncio.Event()

    async def works_and_dies(talk: Talk) -> None:
        await talk.request()
        await talk.send(HELLO)
        await talk.request()
        await go.wait()
        talk.reset()

    replica = await edge.serving(works_and_dies)
    client = await edge.client(GET)
    assert (await client.response()).status == 200
    await client.send(GET)
    await edge.until(lambda: replica.heard.count(b"GET") == 2)
    edge.clock.ahead += 1.1
    go.set()
    assert (await client.response()).status == 502
    assert len(replica.talks) == 1


async def test_a_post_is_not_sent_by_a_connection_whose_end_nobody_has_seen_yet(edge: Edge) -> None:
    replica = await edge.serving(HELLO)
    client = await edge.client(GET)
    assert (await client.response()).status == 200
    post = (POST + "Content-Length: 2\r\n\r\nhi").encode()
    with twin(client) as at_client, twin(replica.talks[0]) as at_replica:
        at_client.send(post)
        at_replica.shutdown(socket.SHUT_RDWR)
    assert (await client.response()).status == 200
    assert len(replica.talks) == 2


def twin(talk: Talk) -> socket.socket:
    """Return another hold of a connection's socket, that acts without the event loop."""
    return socket.socket(fileno=os.dup(talk.writer.get_extra_info("socket").fileno()))


async def test_what_is_finished_for_a_client_that_has_left_is_not_sent_again(edge: Edge) -> None:
    go = asyncio.Event()

    async def leaves_when_asked_again(talk: Talk) -> None:
        await talk.request()
        await talk.send(HELLO)
        await talk.request()
        await go.wait()
        talk.leave()

    edge.limit(on_disconnect=OnDisconnect.FINISH)
    replica = await edge.serving(leaves_when_asked_again)
    client = await edge.client(GET)
    assert (await client.response()).status == 200
    await client.send(GET)
    await edge.until(lambda: replica.heard.count(b"GET") == 2)
    client.reset()
    await edge.until(lambda: not edge.listener.connections)
    edge.proxy.update(edge.snapshot("a-1"))
    go.set()
    await edge.until(lambda: edge.open_requests == 0)
    assert (edge.held, list(edge.wakes), len(replica.talks)) == (0, [], 1)


async def test_a_new_connection_that_ends_is_not_tried_again(edge: Edge) -> None:
    async def never(talk: Talk) -> None:
        await talk.request()
        talk.leave()

    replica = await edge.serving(never)
    client = await edge.client(GET)
    assert (await client.response()).status == 502
    assert len(replica.talks) == 1


async def test_nothing_is_sent_a_third_time(edge: Edge) -> None:
    async def once(talk: Talk) -> None:
        await talk.request()
        if len(replica.talks) == 1:
            await talk.send(HELLO)
            await talk.request()
        talk.leave()

    replica = await edge.serving(once)
    client = await edge.client(GET)
    assert (await client.response()).status == 200
    await client.send(GET)
    assert (await client.response()).status == 502
    assert sum(talk.heard.count(b"GET") for talk in replica.talks) == 3


async def test_one_that_is_sent_once_more_goes_before_those_who_wait(edge: Edge) -> None:
    edge.limit(container_concurrency=1)
    heard: list[str] = []
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        first = True
        while True:
            heard.append((await talk.request()).target)
            if not first and len(replica.talks) == 1:
                await go.wait()
                talk.leave()
                return
            await talk.send(HELLO)
            first = False

    replica = await edge.serving(script)
    asker = await edge.client(GET)
    await asker.response()
    await asker.send(GET.replace("/", "/again", 1))
    await edge.until(lambda: len(heard) == 2)
    waiting = [await edge.client(GET.replace("/", f"/{number}", 1)) for number in range(3)]
    await edge.until(lambda: edge.held == 3)
    go.set()
    for client in (asker, *waiting):
        assert (await client.response()).status == 200
    assert heard == ["/", "/again", "/0", "/again", "/1", "/2"]
