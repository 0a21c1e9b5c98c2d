from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.headers import forwarding, request_head
from router.http1 import RequestReader
from router.ids import IN_IDENTIFIED_REQUEST, Ids
from tests.router.fakes import Client
from tests.router.test_headers import values

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Sink(Client):
    def __init__(self) -> None:
        super().__init__()
        self.reader = RequestReader(self, IN_IDENTIFIED_REQUEST)

    def on_request(self, request: object) -> None:
        self.request = request


def sent(*fields: str, ids: Ids | None = None) -> tuple[str, list[str]]:
    """Return the id of a request, and the lines of the head that a replica gets."""
    sink = Sink()
    sink.reader.feed("\r\n".join(("GET / HTTP/1.1", "Host: a.example", *fields, "", "")).encode("latin-1"))
    request = sink.request
    (ids or Ids(random.Random(7).getrandbits)).mark(request)  # type: ignore[arg-type]
    head = request_head(request, forwarding("192.0.2.7"))  # type: ignore[arg-type]
    return request.id.decode(), head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")  # type: ignore[attr-defined]


def test_a_request_without_names_gets_some() -> None:
    name, lines = sent("X-A: 1", "Content-Length: 0")
    assert values(lines, "X-Request-Id") == [name]
    (parent,) = values(lines, "traceparent")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", parent)
    assert parent.split("-")[1] == name, "one name for both, since that is what people look for"
    assert values(lines, "X-A") == ["1"]


def test_a_request_of_http_1_0_that_has_no_host_keeps_the_only_name_that_it_brings() -> None:
    sink = Sink()
    sink.reader.feed(b"GET http://a.example/ HTTP/1.0\r\nX-Request-Id: mine\r\n\r\n")
    Ids(random.Random(7).getrandbits).mark(sink.request)  # type: ignore[arg-type]
    assert sink.request.id == b"mine"  # type: ignore[attr-defined]


def test_no_two_requests_get_the_same() -> None:
    ids = Ids(random.Random(7).getrandbits)
    assert len({sent(ids=ids)[0] for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["x", "a" * 128, "7f3c/1;a=b,c", "!~"])
def test_a_sound_id_is_passed_on(name: str) -> None:
    given_id, lines = sent(f"X-REQUEST-id: {name}")
    assert given_id == name
    assert values(lines, "X-Request-Id") == [name]


@pytest.mark.parametrize("fields", [["x" * 129], [""], ["a b"], ["caf\xe9"], ["a", "a"]])
def test_any_other_is_replaced(fields: list[str]) -> None:
    name, lines = sent(*(f"X-Request-Id: {field}" for field in fields))
    assert re.fullmatch(r"[0-9a-f]{32}", name)
    assert values(lines, "X-Request-Id") == [name]


@pytest.mark.parametrize("parent", [PARENT, PARENT[:-2] + "00", "01" + PARENT[2:], "cc" + PARENT[2:] + "-what-ever"])
def test_a_valid_traceparent_is_passed_on_with_its_state(parent: str) -> None:
    _, lines = sent(f"Traceparent: {parent}", "tracestate: a=1,b=2", "TraceState: c=3")
    assert values(lines, "traceparent") == [parent]
    assert values(lines, "tracestate") == ["a=1,b=2", "c=3"]


@pytest.mark.parametrize(
    "parents",
    [
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [PARENT.upper()],
        ["ff" + PARENT[2:]],
        [PARENT + "-x"],
        [PARENT + "0"],
        [PARENT[:-1]],
        ["00_" + PARENT[3:]],
        [""],
        [PARENT, PARENT],
    ],
)
def test_any_other_is_replaced_and_its_state_dropped(parents: list[str]) -> None:
    _, lines = sent(*(f"traceparent: {parent}" for parent in parents), "tracestate: a=1")
    (made,) = values(lines, "traceparent")
    assert made not in parents
    assert values(lines, "tracestate") == []


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=70))
def test_whatever_is_sent_one_valid_traceparent_goes_on(text: str) -> None:
    _, lines = sent(f"traceparent: {text}")
    (found,) = values(lines, "traceparent")
    assert re.match(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", found)
