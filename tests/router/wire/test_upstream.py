from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from router.body import BUFFER
from router.errors import Reason
from tests.router.fakes import HELLO
from tests.router.wire.edge import answer
from tests.router.wire.talk import Script

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge
    from tests.router.wire.talk import Talk

MiB = 1 << 20
PIECE = bytes(range(256)) * 256  # 64 KiB
GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
HEAD = "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: a.example\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
FULL = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 4\r\n\r\nfull"


def resident() -> int:
    """Return the bytes of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def told(edge: Edge) -> Script:
    """Return a replica that does what the test tells it."""
    script = Script()
    await edge.serving(script)
    return script


async def test_a_body_is_streamed_both_ways_as_it_comes(edge: Edge) -> None:
    script = await told(edge)
    client = await edge.client(CHUNKED, b"10000\r\n" + PIECE + b"\r\n")
    replica = await script.at
    assert (await replica.head()).get("Transfer-Encoding") == "chunked"
    sent = replica.chunks()
    assert len(await anext(sent)) > 0
    await replica.send(OK, b"Transfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
    assert (await client.head()).status == 200
    heard = client.chunks()
    assert await anext(heard) == b"early"
    await client.send(b"3\r\nend\r\n0\r\n\r\n")
    assert (b"".join([data async for data in sent]))[-3:] == b"end"
    await replica.send(b"4\r\nlast\r\n0\r\n\r\n")
    assert [data async for data in heard] == [b"last"]


@pytest.mark.parametrize("status", [99, 102, 199])
async def test_a_forged_answer_within_a_response_reaches_nobody(edge: Edge, status: int) -> None:
    forged = b"HTTP/1.1 %03d X\r\nContent-Length: %d\r\n\r\n" % (status, len(HELLO))
    await edge.serving(forged + HELLO + FULL)
    client = await edge.client(GET + GET)
    for _ in range(2):
        refused = await client.response()
        assert (refused.status, refused.get("Activator-Reason")) == (502, "upstream_broke")
    assert await client.quiet()


async def test_trailers_reach_a_client_that_takes_them(edge: Edge) -> None:
    replica = await edge.serving(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\nX-Checksum: 7\r\n\r\n")
    client = await edge.client(GET.replace("\r\n\r\n", "\r\nTE: trailers\r\n\r\n"))
    assert (await client.head()).status == 200
    assert await client.until(b"\r\n0\r\n") == b"3\r\nyes\r\n0\r\n"
    assert await client.until(b"\r\n\r\n") == b"X-Checksum: 7\r\n\r\n"
    assert b"\r\nTE: trailers\r\n" in replica.heard
    await client.send(GET)
    assert (await client.response()).body == b"yes"
    assert client.heard.endswith(b"\r\n0\r\n\r\n")


async def test_each_server_sent_event_arrives_on_its_own_and_at_once(edge: Edge) -> None:
    script = await told(edge)
    client = await edge.client(GET)
    replica = await script.at
    await replica.head()
    await replica.send(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    head = await client.head()
    assert (head.status, head.get("Content-Type")) == (200, "text/event-stream")
    heard = client.chunks()
    for number in range(20):
        event = b"data: %d\n\n" % number
        await replica.send(b"%x\r\n%s\r\n" % (len(event), event))
        assert await anext(heard) == event
    await replica.send(b"0\r\n\r\n")
    assert [event async for event in heard] == []


async def test_a_request_with_a_length_keeps_it_and_a_small_one_in_chunks_gets_one(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client(POST + "Content-Length: 5\r\n\r\n", "he", "llo")
    await client.response()
    await client.send(CHUNKED, "3;ext=1\r\nfoo\r\n", "3\r\nbar\r\n0\r\nX-T: 1\r\n\r\n")
    await client.response()
    first, second = replica.heard.split(b"POST")[1:]
    assert b"Content-Length: 5\r\n" in first
    assert first.endswith(b"\r\n\r\nhello")
    assert b"Content-Length: 6\r\n" in second
    assert second.endswith(b"\r\n\r\nfoobar")


async def test_a_large_body_in_chunks_is_chunked_anew(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client(CHUNKED, f"{BUFFER:x};ext=1\r\n" + "x" * BUFFER + "\r\n")
    while b"POST" not in replica.heard:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await client.send("3\r\nbar\r\n0\r\nX-T: 1\r\n\r\n")
    await client.response()
    head, _, body = replica.heard.partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert (b"ext" in body, body.endswith(b"3\r\nbar\r\n0\r\n\r\n")) == (False, True)


async def test_a_large_upload_to_a_slow_replica_waits_in_the_client_and_not_in_memory(edge: Edge) -> None:
    script = await told(edge)
    client = await edge.client(POST + f"Content-Length: {50 * MiB}\r\n\r\n")
    before, sent = resident(), 0

    async def upload() -> None:
        nonlocal sent
        for _ in range(50 * MiB // len(PIECE)):
            client.writer.write(PIECE)
            await client.writer.drain()
            sent += len(PIECE)

    uploading = asyncio.get_running_loop().create_task(upload())
    replica = await script.at
    request = await replica.head()
    stalled = -1
    while stalled != sent:
        stalled = sent
        await asyncio.sleep(0.1)
    assert sent < 40 * MiB
    assert resident() - before < 12 * MiB
    digest, size = hashlib.sha256(), 0
    while size < int(request.get("Content-Length") or 0):
        data = await replica.reader.read(MiB)
        digest.update(data)
        size += len(data)
    await uploading
    assert digest.digest() == hashlib.sha256(PIECE * (size // len(PIECE))).digest()
    await replica.send(HELLO)
    assert (await client.response()).body == b"hello"
    assert resident() - before < 12 * MiB


async def test_a_slow_client_pauses_the_replica(edge: Edge) -> None:
    script = await told(edge)
    client = await edge.client(GET)
    replica = await script.at
    await replica.head()
    before, sent = resident(), 0

    async def respond() -> None:
        nonlocal sent
        await replica.send(OK + b"Content-Length: %d\r\n\r\n" % (50 * MiB))
        for _ in range(50 * MiB // len(PIECE)):
            replica.writer.write(PIECE)
            await replica.writer.drain()
            sent += len(PIECE)

    responding = asyncio.get_running_loop().create_task(respond())
    assert (await client.head()).status == 200
    stalled = -1
    while stalled != sent:
        stalled = sent
        await asyncio.sleep(0.1)
    assert sent < 40 * MiB
    assert resident() - before < 12 * MiB
    digest, size = hashlib.sha256(), 0
    while size < 50 * MiB:
        data = await client.reader.read(MiB)
        digest.update(data)
        size += len(data)
    await responding
    assert digest.digest() == hashlib.sha256(PIECE * (size // len(PIECE))).digest()


@pytest.mark.parametrize(
    ("line", "response", "fields"),
    [
        (HEAD, OK + b"Content-Length: 500\r\n\r\n", {"Content-Length": "500"}),
        (HEAD, OK + b"Transfer-Encoding: chunked\r\n\r\n", {"Content-Length": None}),
        (GET, b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", {"Content-Length": None, "Transfer-Encoding": None}),
        (GET, b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', {"ETag": '"x"', "Content-Length": None}),
    ],
)
async def test_a_response_without_a_body_ends_with_its_head(
    edge: Edge, line: str, response: bytes, fields: dict[str, str | None]
) -> None:
    await edge.serving(response)
    client, method = await edge.client(line), line.partition(" ")[0]
    for _ in range(3):  # the connection goes on
        answered = await client.response(to=method)
        assert answered.whole
        assert {name: answered.get(name) for name in fields} == fields
        await client.send(line)
    await client.response(to=method)


async def test_early_hints_come_early(edge: Edge) -> None:
    script = await told(edge)
    client = await edge.client(GET)
    replica = await script.at
    await replica.head()
    await replica.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    hints = await client.head()
    assert (hints.status, hints.get("Link")) == (103, "</a.css>")
    await replica.send(HELLO)
    assert (await client.response()).body == b"hello"


async def test_an_http_1_0_client_gets_plain_bytes_and_the_end(edge: Edge) -> None:
    await edge.serving(
        b"HTTP/1.1 103 Early Hints\r\n\r\n"
        + OK
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n"
    )
    client = await edge.client("GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n")
    response = await client.response()
    assert (response.interim, response.body, response.get("Transfer-Encoding")) == ([], b"foobar", None)
    assert response.get("Connection") == "close"


async def test_a_response_that_ends_with_its_connection_arrives_whole(edge: Edge) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK + b"\r\n", b"hel", b"lo")
        talk.leave()

    await edge.serving(script)
    client = await edge.client(GET + GET)
    for _ in range(2):
        response = await client.response()
        assert (response.body, response.whole, response.get("Transfer-Encoding")) == (b"hello", True, "chunked")


async def test_a_client_that_expects_100_is_told_to_go_on(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client(POST + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.head()).status == 100
    await client.send("hello")
    assert (await client.response()).body == b"hello"
    assert b"Expect" not in replica.heard


async def test_a_client_that_expects_100_for_too_large_a_body_gets_413_instead(edge: Edge) -> None:
    edge.limit(max_body=4)
    replica = await edge.serving()
    client = await edge.client(POST + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    response = await client.response()
    assert (response.interim, response.status, response.get("Activator-Reason")) == ([], 413, "body_too_large")
    assert replica.heard == b""
    assert await client.ended()


async def test_a_chunked_body_is_cut_off_when_it_becomes_too_large(edge: Edge) -> None:
    edge.limit(max_body=100_000)
    script = await told(edge)
    client = await edge.client(CHUNKED, b"10000\r\n" + PIECE + b"\r\n")
    replica = await script.at
    await replica.head()
    await client.send(b"10000\r\n" + PIECE + b"\r\n")
    response = await client.response()
    assert (response.status, response.get("Activator-Reason")) == (413, "body_too_large")
    with pytest.raises(EOFError):
        [data async for data in replica.chunks()]  # no last chunk: the replica can tell
    assert await client.ended()


async def test_a_body_that_turns_out_to_be_malformed_is_never_ended_for_the_replica(edge: Edge) -> None:
    script = await told(edge)
    client = await edge.client(CHUNKED, b"10000\r\n" + PIECE + b"\r\n")
    replica = await script.at
    await replica.head()
    await client.send(b"0x5\r\nhello\r\n0\r\n\r\n" + GET.encode())
    assert (await client.response()).status == 400
    with pytest.raises(EOFError):
        [data async for data in replica.chunks()]
    assert await client.ended()


async def test_an_answer_that_comes_during_the_upload_is_passed_on_at_once(edge: Edge) -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(FULL)
        await asyncio.sleep(10)

    await edge.serving(script)
    client = await edge.client(POST + f"Content-Length: {50 * MiB}\r\n\r\n", PIECE)
    response = await client.response()
    assert (response.status, response.body) == (507, b"full")
    for _ in range(20):
        client.writer.write(PIECE)  # it goes on for a moment, and is not reset
    assert await client.ended()


@pytest.mark.parametrize(
    "part",
    [
        OK + b"Content-Length: 100\r\n\r\nonly this",
        OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n0\r\n",
    ],
)
async def test_a_response_that_breaks_off_never_looks_complete(edge: Edge, part: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(part)
        await asyncio.sleep(0.02)
        talk.leave()

    await edge.serving(script)
    client = await edge.client(GET)
    response = await client.response()
    assert (response.status, response.body, response.whole) == (200, b"only this", False)
    assert await client.ended()
    assert edge.ended[0].reason == Reason.UPSTREAM_BROKE


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_response_that_ends_with_a_reset_never_looks_complete(edge: Edge, version: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK + b"\r\nonly this")
        await asyncio.sleep(0.02)
        talk.reset()

    await edge.serving(script)
    client = await edge.client(GET.replace("1.1", version))
    response = await client.response()
    assert (response.body, response.whole) == (b"only this", False)
    assert client.was_reset


async def broken(talk: Talk) -> None:
    await talk.request()
    talk.reset()


async def closing(talk: Talk) -> None:
    await talk.request()
    talk.leave()


@pytest.mark.parametrize(
    "script",
    [broken, closing, answer(b"rubbish\r\n\r\n"), answer(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx")],
    ids=["reset", "close", "rubbish", "ambiguous"],
)
async def test_a_replica_that_gives_no_proper_answer_is_502(edge: Edge, script: object) -> None:
    replica = await edge.serving(script)  # type: ignore[arg-type]
    client = await edge.client(GET)
    response = await client.response()
    assert (response.status, response.get("Activator-Reason")) == (502, "upstream_broke")
    assert (response.get("Content-Type"), response.get("X-Should-Retry")) == ("application/json", "false")
    assert b'"revision": "a-1"' in response.body
    assert replica.heard.count(b"GET") == 1, "what was sent is not sent again"
    await client.send(GET)
    assert (await client.response()).status == 502, "the client's connection goes on"
