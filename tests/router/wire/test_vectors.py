"""Every vector of tests/data/http-vectors.json against a listener, and what the replica gets of those accepted.

A vector is followed by `GET /after` on the same connection. `want` is A (accept), R (reject) or E (either); for E the
edge is strict, but for the exceptions below. What is accepted must reach the replica as exactly one request, whoever
parses it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.router.segments import dribble
from tests.router.wire.parsers import ByHttptools, aiohttp_server, by_h11, by_server

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge
    from tests.router.wire.parsers import Seen

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "http-vectors.json").read_text())
AFTER = b"GET /after HTTP/1.1\r\nHost: a.example\r\n\r\n"

ACCEPTED_THOUGH_EITHER_WILL_DO = {
    "cl-leading0": "a decimal number is all that RFC 9110 8.6 asks for, and it is written anew",
}
REFUSED_THOUGH_IT_MAY_BE_ACCEPTED = {"unknown-method": "501 is the other right answer (RFC 9110 9.1)"}
CLOSES = "conn-list-host"  # whose Connection field names close
ANSWERED_BY_THE_EDGE = "options-asterisk"

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
    heard, expected = await heard_of(edge, vector, how)
    assert by_h11(heard) == expected
    assert ByHttptools(heard).seen == expected


@pytest.mark.parametrize("vector", chosen(accept=True))
async def test_aiohttp_sees_the_same_requests_in_what_is_sent_on(edge: Edge, vector: dict[str, str]) -> None:
    heard, expected = await heard_of(edge, vector, "whole")
    async with aiohttp_server() as port:
        assert await by_server(port, heard, len(expected)) == expected


@pytest.mark.parametrize("vector", chosen(accept=True))
async def test_node_sees_the_same_requests_in_what_is_sent_on(edge: Edge, vector: dict[str, str], node: int) -> None:
    heard, expected = await heard_of(edge, vector, "whole")
    assert await by_server(node, heard, len(expected)) == expected


async def heard_of(edge: Edge, vector: dict[str, str], how: str) -> tuple[bytes, list[Seen]]:
    """Send a good request; return the bytes that the replica got, and the requests that they must be."""
    replica = await edge.serving()
    client = await edge.client(*pieces(vector, how))
    expected = [sent_on(vector)] if vector["name"] == CLOSES else [sent_on(vector), ("GET", "/after", b"")]
    for _ in expected:
        response = await client.response()
        assert (response.status, response.body) == (200, b"hello")
    if vector["name"] == CLOSES:
        assert await client.ended()
    await edge.settle()
    assert len(replica.talks) == 1, "a connection is reused when that is safe"
    return replica.heard, expected


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
    [
        ("GET / HTTP/2.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("CONNECT b:443 HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("FROB / HTTP/1.1", 501),
    ],
)
async def test_a_refusal_has_the_status_that_says_why(edge: Edge, line: str, status: int) -> None:
    client = await edge.client(f"{line}\r\nHost: a.example\r\n\r\n")
    assert (await client.response()).status == status
    assert await client.ended()
