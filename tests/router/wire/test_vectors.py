"""Every vector of tests/data/http-vectors.json against a listener, and what the replica gets of those accepted.

A vector is followed by `GET /after` on the same connection. `want` is A (accept), R (reject) or E (either); for E the
edge is strict, but for the exceptions below. What is accepted must reach the replica as exactly one request, whoever
parses it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import h11
import httptools
import pytest

from tests.router.segments import dribble

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "http-vectors.json").read_text())
AFTER = b"GET /after HTTP/1.1\r\nHost: a.example\r\n\r\n"

ACCEPTED_THOUGH_EITHER_WILL_DO = {
    "cl-leading0": "a decimal number is all that RFC 9110 8.6 asks for, and it is written anew",
}
REFUSED_THOUGH_IT_MAY_BE_ACCEPTED = {"unknown-method": "501 is the other right answer (RFC 9110 9.1)"}
ANSWERED_BY_THE_EDGE = "options-asterisk"

Seen = tuple[str, str, bytes]
SENT_ON: dict[str, Seen] = {
    "leading-crlf": ("GET", "/", b""),
    "get-with-body": ("GET", "/", b"hello"),
    "expect-bogus": ("POST", "/x", b""),
}


def accepted(vector: dict[str, str]) -> bool:
    if vector["want"].startswith("E"):
        return vector["name"] in ACCEPTED_THOUGH_EITHER_WILL_DO
    return vector["want"].startswith("A") and vector["name"] not in REFUSED_THOUGH_IT_MAY_BE_ACCEPTED


def sent_on(vector: dict[str, str]) -> Seen:
    """Return the one request that a replica must get."""
    simple = ("POST", "/x", b"hello") if vector["request"].startswith("POST") else ("GET", "/", b"")
    return SENT_ON.get(vector["name"], simple)


def by_h11(data: bytes) -> list[Seen]:
    """Return the requests in `data` as h11 sees them; it raises for what it does not take."""
    server, seen, body = h11.Connection(h11.SERVER), [], b""
    server.receive_data(data)
    while (event := server.next_event()) is not h11.NEED_DATA:
        if isinstance(event, h11.Request):
            line, body = (event.method.decode(), event.target.decode()), b""
            names = [name for name, _ in event.headers]
            assert names.count(b"host") == 1
            assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            seen.append((*line, body))
            server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()
    assert server.trailing_data[0] == b""
    return seen


class ByHttptools:
    """Collects the requests as httptools sees them."""

    def __init__(self, data: bytes) -> None:
        self.seen: list[Seen] = []
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.seen.append((self._parser.get_method().decode(), self._target.decode(), self._body))


def pieces(vector: dict[str, str], how: str) -> list[bytes]:
    data = vector["request"].encode("latin-1")
    return [data + AFTER] if how == "whole" else [*dribble(data), AFTER]


def chosen(*, accept: bool) -> list[object]:
    return [
        pytest.param(vector, id=vector["name"])
        for vector in VECTORS
        if accepted(vector) is accept and vector["name"] != ANSWERED_BY_THE_EDGE
    ]


def test_there_are_84_vectors() -> None:
    assert len({vector["name"] for vector in VECTORS}) == 84


@pytest.mark.parametrize("how", ["whole", "dribbled"])
@pytest.mark.parametrize("vector", chosen(accept=False))
async def test_a_bad_request_is_refused_and_nothing_of_it_is_sent_on(
    edge: Edge, vector: dict[str, str], how: str
) -> None:
    replica = await edge.serving()
    client = await edge.client(*pieces(vector, how))
    response = await client.response()
    assert 400 <= response.status <= 505
    assert response.get("Activator-Reason")
    assert response.get("Connection") == "close"
    assert await client.ended()
    assert replica.heard == b""


@pytest.mark.parametrize("how", ["whole", "dribbled"])
@pytest.mark.parametrize("vector", chosen(accept=True))
async def test_a_good_request_reaches_the_replica_as_exactly_one(edge: Edge, vector: dict[str, str], how: str) -> None:
    replica = await edge.serving()
    client = await edge.client(*pieces(vector, how))
    closing = vector["name"] == "conn-list-host"
    expected = [sent_on(vector)] if closing else [sent_on(vector), ("GET", "/after", b"")]
    for _ in expected:
        response = await client.response()
        assert (response.status, response.body) == (200, b"hello")
    if closing:
        assert await client.ended()
    await edge.settle()
    assert len(replica.talks) == 1, "a connection is reused when that is safe"
    assert by_h11(replica.heard) == expected
    assert ByHttptools(replica.heard).seen == expected


@pytest.mark.parametrize("how", ["whole", "dribbled"])
async def test_options_about_the_server_is_answered_by_the_edge(edge: Edge, how: str) -> None:
    (vector,) = (vector for vector in VECTORS if vector["name"] == ANSWERED_BY_THE_EDGE)
    replica = await edge.serving()
    client = await edge.client(*pieces(vector, how))
    response = await client.response()
    assert (response.status, response.get("Activator-Reason")) == (200, "options")
    assert "OPTIONS" in (response.get("Allow") or "")
    assert (await client.response()).body == b"hello"
    assert by_h11(replica.heard) == [("GET", "/after", b"")]


async def test_it_wakes_nothing_and_is_no_demand(edge: Edge) -> None:
    body = "Content-Length: 5\r\n\r\nhello"
    client = await edge.client(f"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n{body}")
    assert (await client.response()).status == 200
    client = await edge.client("OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n")
    assert (await client.response()).status == 200
    assert (edge.wakes, edge.proxy.collect()["a-1"].requests) == ([], 0)


async def test_the_host_of_an_absolute_target_wins(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client("GET http://b.example/?q HTTP/1.1\r\nHost: a.example\r\n\r\n")
    await client.response()
    assert replica.heard.startswith(b"GET /?q HTTP/1.1\r\nHost: b.example\r\n")
    assert b"a.example" not in replica.heard


@pytest.mark.parametrize(
    ("line", "status"),
    [("GET / HTTP/2.0", 505), ("CONNECT b:443 HTTP/1.1", 405), ("TRACE / HTTP/1.1", 405), ("FROB / HTTP/1.1", 501)],
)
async def test_a_refusal_has_the_status_that_says_why(edge: Edge, line: str, status: int) -> None:
    client = await edge.client(f"{line}\r\nHost: a.example\r\n\r\n")
    assert (await client.response()).status == status
    assert await client.ended()
