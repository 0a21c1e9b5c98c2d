"""Services that share a host, chosen by the model's name in bodies as real clients send them."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import pytest

from router.body import BUFFER
from router.table import Revision, Service, Share, Table
from router.watch import BODY_GRACE_SECONDS
from tests.router.fakes import HELLO
from tests.router.wire.edge import Edge, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.router.wire.edge import Replica
    from tests.router.wire.talk import Talk

HEAD = "POST /v1/completions HTTP/1.1\r\nHost: a.example\r\n{}\r\n\r\n"
CHUNKED = HEAD.format("Transfer-Encoding: chunked")
LIST = "GET /v1/models HTTP/1.1\r\nHost: a.example\r\n\r\n"


class Shared(Edge):
    """An edge where the models `small`, of revision a-1, and `large`, of b-1, share a host. `small` takes one request
    at a time."""

    def share(self) -> None:
        self.limit(container_concurrency=1)
        small = Share(Revision("a-1", "a", self.limits), 100)
        services = (
            Service("a", ("a.example",), (small,), models=("small",)),
            Service("b", ("a.example",), (Share(Revision("b-1", "b"), 100),), models=("large",)),
        )
        self.proxy.replace_table(Table(services, self.bounds))

    async def awake(self) -> tuple[Replica, Replica]:
        """Return a ready replica of each service; they answer with their names."""
        found = []
        for revision in ("a-1", "b-1"):
            replica = self.replica(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + revision.encode()))
            await replica.open()
            self.proxy.update(self.snapshot(revision, replica))
            found.append(replica)
        return found[0], found[1]

    @property
    def awaited(self) -> int:
        """Bytes of memory that count for bodies."""
        return self.proxy.admission.buffers.total


@pytest.fixture
async def edge() -> AsyncIterator[Shared]:
    edge = Shared()
    await edge.open()
    edge.share()
    yield edge
    await edge.close()
    assert edge.awaited == 0


def body(model: str, size: int = 0) -> bytes:
    return json.dumps({"model": model, "prompt": os.urandom(size).hex()}).encode()


def sized(data: bytes, *fields: str) -> bytes:
    return HEAD.format("\r\n".join((*fields, f"Content-Length: {len(data)}"))).encode() + data


def chunks(data: bytes, size: int) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [0, 100, BUFFER // 2, BUFFER, 1 << 20])
async def test_a_body_of_any_size_reaches_the_model_it_names_untouched(edge: Shared, size: int) -> None:
    small, large = await edge.awake()
    data = body("large", size)
    client = await edge.client(sized(data))
    assert (await client.response()).body == b"b-1"
    assert large.heard.endswith(data)
    assert small.heard == b""


async def test_a_body_in_chunks_reaches_the_model_it_names_whole(edge: Shared) -> None:
    got: list[bytes] = []

    async def keeps(talk: Talk) -> None:
        got.append((await talk.request()).body)
        await talk.send(HELLO)

    replica = edge.replica(keeps)
    await replica.open()
    edge.proxy.update(edge.snapshot("b-1", replica))
    data = body("large", BUFFER)
    client = await edge.client(CHUNKED, *(chunks(data, 5000)[at : at + 3000] for at in range(0, 3 * BUFFER, 3000)))
    assert (await client.response()).status == 200
    assert got == [data]


async def test_a_body_that_comes_byte_by_byte_is_read_and_passed_on(edge: Shared) -> None:
    _, large = await edge.awake()
    data = body("large")
    request = sized(data)
    client = await edge.client(*(request[at : at + 1] for at in range(len(request))))
    assert (await client.response()).body == b"b-1"
    assert large.heard.endswith(b"\r\n\r\n" + data)
    await client.send(CHUNKED)
    for at in range(len(data)):
        await client.send(b"1\r\n%s\r\n" % data[at : at + 1])
    await client.send(b"0\r\n\r\n")
    assert (await client.response()).body == b"b-1"


async def test_a_client_that_waits_to_be_told_to_go_on_is_told_so_once(edge: Shared) -> None:
    await edge.awake()
    data = body("large")
    client = await edge.client(HEAD.format(f"Expect: 100-continue\r\nContent-Length: {len(data)}"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert edge.awaited == len(data)
    await client.send(data)
    response = await client.response()
    assert (response.body, response.interim) == (b"b-1", [])


async def test_a_body_that_is_awaited_takes_no_slot_and_wakes_nothing(edge: Shared) -> None:
    await edge.awake()
    slow = await edge.client(sized(body("small"))[:-5])
    await edge.until(lambda: edge.awaited > 0)
    assert (edge.running, edge.open_requests, edge.wakes) == (0, 0, [])
    quick = await edge.client(sized(body("small")))
    assert (await quick.response()).body == b"a-1"
    await slow.send(sized(body("small"))[-5:])
    assert (await slow.response()).body == b"a-1"


async def test_a_sleeping_model_is_woken_by_its_name_and_the_others_are_not(edge: Shared) -> None:
    client = await edge.client(sized(body("large", BUFFER)))
    await edge.until(lambda: edge.proxy.look("b-1").held == 1)
    assert set(edge.wakes) == {"b-1"}
    await edge.awake()
    assert (await client.response()).body == b"b-1"


async def test_a_body_whose_beginning_comes_too_slowly_is_refused(edge: Shared) -> None:
    client = await edge.client(HEAD.format("Content-Length: 10000"), b"{")
    await edge.until(lambda: edge.awaited > 0)
    edge.later(0)
    edge.later(BODY_GRACE_SECONDS + 0.1)
    refused = await client.response()
    assert (refused.status, refused.get("Activator-Reason")) == (408, "request_timeout")
    assert json.loads(refused.body)["error"]["code"] == "request_timeout"
    assert await client.ended()


async def test_a_client_that_leaves_before_its_model_is_known_leaves_nothing(edge: Shared) -> None:
    client = await edge.client(HEAD.format("Content-Length: 10000"), b"{")
    await edge.until(lambda: edge.awaited > 0)
    client.leave()
    await edge.until(lambda: edge.awaited == 0)
    await edge.until(lambda: [exchange.reason for exchange in edge.ended] == ["client_left"])


async def test_a_body_that_turns_out_to_be_malformed_is_refused(edge: Shared) -> None:
    client = await edge.client(CHUNKED, b"1\r\n{\r\n")
    await edge.until(lambda: edge.awaited > 0)
    await client.send(b"zz\r\n")
    refused = await client.response()
    assert (refused.status, refused.get("Activator-Reason")) == (400, "bad_request")


async def test_a_connection_goes_on_after_lists_refusals_and_answers(edge: Shared) -> None:
    await edge.awake()
    client = await edge.client(LIST + LIST.replace("GET", "HEAD"))
    listed = await client.response()
    assert [card["state"] for card in json.loads(listed.body)["data"]] == ["ready", "ready"]
    assert (await client.response(to="HEAD")).get("Content-Length") == listed.get("Content-Length")
    await client.send(sized(body("none")) + sized(body("small")) + LIST.encode())
    unknown = await client.response()
    assert (unknown.status, json.loads(unknown.body)["error"]["code"]) == (404, "model_not_found")
    assert (await client.response()).body == b"a-1"
    assert (await client.response()).status == 200


async def test_a_bomb_is_sent_on_as_it_came_and_not_unpacked(edge: Shared) -> None:
    _, large = await edge.awake()
    bomb = gzip.compress(b'{"model": "large", "prompt": "' + b" " * (48 << 20) + b'"}')
    client = await edge.client(sized(bomb, "Content-Encoding: gzip"))
    assert (await client.response()).body == b"b-1"
    assert large.heard.endswith(bomb)


async def test_a_body_without_a_name_goes_by_the_header_which_is_passed_on(edge: Shared) -> None:
    small, _ = await edge.awake()
    data = os.urandom(2 * BUFFER)
    client = await edge.client(sized(data, "x-gateway-model-name: small", "Content-Type: audio/wav"))
    assert (await client.response()).body == b"a-1"
    assert b"x-gateway-model-name: small" in small.heard
    assert small.heard.endswith(data)


async def test_a_web_socket_goes_by_the_header(edge: Shared) -> None:
    _, large = await edge.awake()
    offer = "GET /v1/realtime HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    client = await edge.client(f"{offer}{key}\r\n")
    assert (await client.response()).status == 400
    client = await edge.client(f"{offer}{key}X-Gateway-Model-Name: large\r\n\r\n")
    assert (await client.response()).body == b"b-1"
    assert b"/v1/realtime" in large.heard
