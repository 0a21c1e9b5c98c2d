"""Heads that go the short way, against the parser and the guard, whose verdict it must share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import EdgeError
from router.guard import MAX_TARGET
from router.headers import IN_REQUEST, Special, forwarding, passed_on, request_head
from router.http1 import RequestReader
from router.ids import IN_IDENTIFIED_REQUEST, Ids
from router.plain import Plain
from tests.router.fakes import Client

if TYPE_CHECKING:
    from router.request import Request

FORWARDING = forwarding("192.0.2.7")
GET = b"GET /x?y HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 5\r\nX-A: b c\r\n\r\nhello"


def plain(data: bytes, specials: Special) -> Request | None:
    return Plain(specials.names).take(data)


def with_field(line: bytes, to: bytes = GET) -> bytes:
    return to.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


class Reading(Client):
    """Reads requests, by the parser alone unless `short`: a head that comes in pieces is for the parser."""

    def __init__(self, data: bytes, specials: Special = IN_REQUEST, *, short: bool = False) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.reader = RequestReader(self, specials, forwarding=FORWARDING if specials is IN_REQUEST else None)
        for piece in (data,) if short else (data[:1], data[1:]):
            self.reader.feed(piece)

    def on_request(self, request: Request) -> None:
        self.requests.append(request)


class Upstream:
    """What a replica's parser makes of a head."""

    def __init__(self, head: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)
        self.method = self._parser.get_method()

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


def seen(request: Request) -> tuple[object, ...]:
    """Return all that the path and the replica see of a request."""
    body = request.body
    upstream = Upstream(request.sent or request_head(request, FORWARDING))
    return (
        (request.method, request.target, request.version, request.host, request.length, request.keep_alive),
        (request.ordinary, request.expects_continue, request.refusal, request.upgrade),
        (body is not None and (body.complete, body.take()), request.id, sorted(request.special)),
        (upstream.method, upstream.target, sorted(upstream.fields)),
        [request.values(name) for name in (b"x-a", b"accept", b"authorization")],
    )


@pytest.mark.parametrize(
    "data",
    [
        GET,
        POST,
        with_field(b"Accept: a, b"),
        with_field(b"x-a: 1\r\nX-A: 2"),
        GET.replace(b"Host", b"host"),
        GET.replace(b"Host", b"X-A: 1\r\nHost"),
        with_field(b"X-B: 1", POST.replace(b"Host", b"x-a: 1\r\nConnection: keep-alive\r\nAccept: x\r\nhost")),
        with_field(b"connection: keep-alive"),
        with_field(b"X-Connection: keep-alive\r\nConnection: keep-alive\r\nConnection-X: keep-alive"),
        with_field(b"X-A: 1\r\nContent-Length: 0\r\nconnection: keep-alive\r\nx-a: 2"),
        with_field(b"Content-Length: 0"),
        with_field(b"content-length: 005") + b"hello",
        with_field(b"Connection: keep-alive", POST),
        with_field(b"X-Forwarded-For: 192.0.2.9\r\nx-forwarded-proto: https\r\nX-A: 1\r\nX-Forwarded-For: 192.0.2.8"),
        with_field(b"Forwarded: for=x\r\nX-Forwarded-Host: b\r\nConnection: keep-alive\r\nX-Forwarded-Port: 1", POST),
    ],
)
def test_an_ordinary_request_goes_the_short_way_and_is_what_the_parser_makes_of_it(data: bytes) -> None:
    request = plain(data, IN_REQUEST)
    assert request is not None
    (short,), (long,) = Reading(data, short=True).requests, Reading(data).requests
    assert seen(short) == seen(long)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GET[:-1],
        GET + GET,
        GET + b"x",
        b"\r\n" + GET,
        POST[:-1],
        POST + b"!",
        GET.replace(b"1.1", b"1.0"),
        GET.replace(b"GET", b"PURGE"),
        GET.replace(b"GET", b"get"),
        GET.replace(b"/x?y", b"*"),
        GET.replace(b"/x?y", b"http://a.example/"),
        GET.replace(b"/x?y", b"/x#y"),
        GET.replace(b"/x?y", b"/%00"),
        GET.replace(b"/x?y", b"/%0a"),
        GET.replace(b"/x?y", b"/" + b"x" * MAX_TARGET),
        GET.replace(b"/x?y ", b"/x?y  "),
        GET.replace(b"a.example", b""),
        GET.replace(b"a.example", b"a b"),
        GET.replace(b"a.example", b"a.example:123456"),
        GET.replace(b"\r\n", b"\n"),
        GET.replace(b"Host: a.example\r\n", b"X-A: 1\r\n"),
        with_field(b"Host: a.example"),
        with_field(b"X-A: 1\r\nhost: a.example"),
        GET.replace(b"Host", b"HOST: a.example\r\nHost"),
        GET.replace(b"Host", b"X-A: 1\r\nVia: 1.1 somebody\r\nHost"),
        with_field(b"hOST: a.example"),
        with_field(b"Connection: close"),
        with_field(b"Connection: keep-alive, x-a"),
        with_field(b"Connection: x: keep-alive"),
        with_field(b"Connection: keep-alive\r\nconnection: keep-alive"),
        with_field(b"Content-Length: 0\r\ncontent-length: 0"),
        with_field(b"Content-Length: 0000000000"),
        with_field(b"Connection: keep-alive\r\nConnection: keep-alive"),
        with_field(b"Content-Length: 0\r\nContent-Length: 0"),
        with_field(b"Content-Length: 0\r\nContent-Length: 5") + b"hello",
        with_field(b"Content-Length: +5") + b"hello",
        with_field(b"Content-Length: 5 ") + b"hello",
        with_field(b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        with_field(b"Transfer-Encoding: chunked\r\nContent-Length: 5") + b"0\r\n\r\n",
        with_field(b"Expect: 100-continue", POST),
        with_field(b"Upgrade: websocket"),
        with_field(b"X-Forwarded-For: 192.0.2.9\r\nVia: 1.1 somebody"),
        with_field(b"X-Forwarded-For: "),
        with_field(b"Knative-Serving-Tag: candidate"),
        with_field(b"X_Forwarded_For: 192.0.2.9"),
        with_field(b"Content_Length: 0"),
        GET.replace(b"a.example", b"a" * 256),
        with_field(b"Via: 1.1 somebody"),
        with_field(b"TE: trailers"),
        with_field(b"X-A : 1"),
        with_field(b" X-A: 1"),
        with_field(b"X-A:1"),
        with_field(b"X-A: 1 "),
        with_field(b"X-A: 1\t"),
        with_field(b"X-A: \xe9"),
        with_field(b"X-A: 1\r\n 2"),
        with_field(b"X-A: 1\r2"),
        with_field(b"X-A: 1\n2: 3"),
        with_field(b"X-A: \x00"),
        with_field(b"X-A:"),
        with_field(b": 1"),
        with_field(b"\r\n".join(b"X-%d: 1" % number for number in range(100))),
        with_field(b"X-A: " + b"x" * (8 << 10)),
    ],
)
def test_whatever_is_not_ordinary_is_left_to_the_parser(data: bytes) -> None:
    assert plain(data, IN_REQUEST) is None


def test_a_head_goes_upstream_as_it_came_with_the_forwarding_fields_behind() -> None:
    request = plain(with_field(b"Connection: keep-alive\r\naccept: x", POST), IN_REQUEST)
    assert request is not None
    assert request_head(request, FORWARDING) == (
        b"POST /x HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 5\r\nX-A: b c\r\naccept: x\r\n"
        b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nVia: 1.1 gpu-activator\r\n"
        b'Forwarded: for=192.0.2.7;proto=http;host="a.example:80"\r\nX-Forwarded-Host: a.example:80\r\n\r\n'
    )


def test_a_name_that_is_not_known_yet_is_ordinary_from_its_first_time_on() -> None:
    data = with_field(b"X-Never-Seen-Before: 1")
    assert all(plain(data, IN_REQUEST) is not None for _ in range(2))


IDENTIFIED = (
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    b"X-Request-Id: one\r\nX-A: 1\r\ntracestate: a=1"
)


@pytest.mark.parametrize("data", [GET, POST, with_field(IDENTIFIED), with_field(IDENTIFIED + b"\r\nx-request-id: two")])
def test_a_request_that_gets_names_goes_the_short_way_too(data: bytes) -> None:
    assert plain(data, IN_IDENTIFIED_REQUEST) is not None
    short, long = named(data, short=True), named(data, short=False)
    assert short.id
    assert seen(short) == seen(long)


def named(data: bytes, *, short: bool) -> Request:
    (request,) = Reading(data, IN_IDENTIFIED_REQUEST, short=short).requests
    Ids(lambda _: 7).mark(request)
    return request


@pytest.mark.parametrize(
    "lines", [b"X-A: 1", b"X-Forwarded-For: 192.0.2.9\r\nForwarded: for=x\r\nX-Forwarded-Proto: https"]
)
def test_a_trusted_hop_is_believed_on_the_short_way_too(lines: bytes) -> None:
    assert plain(with_field(lines), IN_REQUEST) is not None
    short, long = believed(with_field(lines), short=True), believed(with_field(lines), short=False)
    assert seen(short) == seen(long)


def believed(data: bytes, *, short: bool) -> Request:
    (request,) = Reading(data, short=short).requests
    request.forwarded = passed_on(request, "192.0.2.1", b"https")
    return request


@pytest.mark.parametrize("short", [True, False])
def test_behind_a_last_request_nothing_is_taken(short: bool) -> None:
    reading = Reading(with_field(b"Connection: close"), short=short)
    with pytest.raises(EdgeError):
        reading.reader.feed(GET)
    assert len(reading.requests) == 1


@pytest.mark.parametrize("cut", range(1, len(POST)))
def test_a_request_in_two_pieces_and_one_behind_it_are_what_they_would_be_in_one(cut: int) -> None:
    reading = Reading(POST[:cut], short=True)
    reading.reader.feed(POST[cut:])
    reading.reader.feed(POST)
    assert [seen(request) for request in reading.requests] == [seen(Reading(POST).requests[0])] * 2


pieces = st.sampled_from(
    [
        b"GET /x HTTP/1.1\r\n",
        b"GET /x HTTP/1.1\r\nX-A: 1\r\n",
        b"POST /a%20b HTTP/1.1\r\n",
        b"HEAD / HTTP/1.0\r\n",
        b"Host: a.example\r\n",
        b"Host: [::1]\r\n",
        b"host: b\r\n",
        b"Content-Length: 5\r\n",
        b"content-length: 0\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: close, x-a\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"X-A: b: c\r\n",
        b"x-a:\r\n",
        b"Accept: */*\r\n",
        b"Authorization: Bearer t\r\n",
        b"X-Forwarded-For: 192.0.2.9\r\n",
        b"x-request-id: one\r\n",
        b"\r\n",
        b"hello",
        b"\n",
        b" ",
        b"\t",
        b":",
        b"\r",
        b"\x00",
        b"\xff",
        b"%0a",
    ]
)
heads = st.one_of(
    st.lists(pieces, max_size=12).map(b"".join),
    st.lists(pieces, max_size=6).map(lambda found: GET[:-2] + b"".join(found) + b"\r\n"),
    st.lists(pieces, max_size=4).map(lambda found: POST[:18] + b"".join(found) + POST[18:]),
    st.lists(pieces, max_size=4).map(lambda found: POST[:38] + b"".join(found) + POST[38:]),
    st.tuples(st.sampled_from([GET, POST]), st.integers(0, 90), st.binary(max_size=3)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
    ),
    st.tuples(st.sampled_from([GET, POST]), st.integers(0, 90), st.integers(1, 3)).map(
        lambda cut: cut[0][: cut[1]] + cut[0][cut[1] + cut[2] :]
    ),
)


@given(data=heads)
@example(data=GET)
@example(data=POST)
def test_whatever_is_taken_is_one_request_and_the_parser_makes_the_same_of_it(data: bytes) -> None:
    for specials in (IN_REQUEST, IN_IDENTIFIED_REQUEST):
        if plain(data, specials) is None:
            continue
        (short,), (long,) = Reading(data, specials, short=True).requests, Reading(data, specials).requests
        assert seen(short) == seen(long)


def test_a_head_request_is_never_ordinary_as_its_answer_has_no_body_whatever_it_says() -> None:
    data = GET.replace(b"GET", b"HEAD", 1)
    assert plain(data, IN_REQUEST) is None
    (request,) = Reading(data).requests
    assert not request.ordinary
