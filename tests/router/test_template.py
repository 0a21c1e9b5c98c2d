"""Heads that differ from the one before by some values, against what the parser and the guard make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import EdgeError
from router.headers import IN_REQUEST, forwarding
from router.plain import Plain
from router.repeats import LONGEST_KEPT
from router.template import PATIENCE
from tests.router.test_plain import Reading, seen

if TYPE_CHECKING:
    from router.request import Request

FORWARDING = forwarding("192.0.2.7")
GET = b"GET /x?%d HTTP/1.1\r\nX-Id: %d\r\nHost: a.example\r\nAccept: a, b\r\n\r\n"
POST = (
    b"POST /v1 HTTP/1.1\r\nAccept: x\r\nhost: a.example:80\r\nX-Forwarded-For: 192.0.2.9\r\nConnection: keep-alive\r\n"
    b"Content-Length: %d\r\nX-Id: %d\r\n\r\n"
)


def get(number: int, line: bytes = b"") -> bytes:
    return (GET % (number, number)).replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n" if line else b"\r\n\r\n")


def post(body: bytes, number: int = 1) -> bytes:
    return POST % (len(body), number) + body


def filled(request: Request | None) -> bool:
    """Tell whether a request was known from its template, which tells at once what goes upstream."""
    return request is not None and bool(request.sent)


def after(*heads: bytes) -> Plain:
    """Return what takes heads, and has taken these."""
    plain = Plain(IN_REQUEST.names, FORWARDING)
    for head in heads:
        assert plain.take(head) is not None
    return plain


def check_alike(*messages: bytes) -> None:
    """Check that messages of one connection are what each of them is alone, by the parser."""
    reading = Reading(messages[0], short=True)
    for data in messages[1:]:
        reading.reader.feed(data)
    assert [seen(request) for request in reading.requests] == [seen(Reading(data).requests[0]) for data in messages]


def test_the_third_of_heads_that_differ_by_some_values_is_known() -> None:
    assert [filled(after(get(1), get(2)).take(data)) for data in (get(3), get(40), get(2))] == [True] * 3
    check_alike(*(get(number) for number in (1, 2, 3, 40, 41, 2, 2, 2)))


def test_lengths_may_differ_and_the_body_is_what_they_say() -> None:
    assert filled(after(post(b"one"), post(b"other")).take(post(b"x" * 1000)))
    check_alike(*(post(body) for body in (b"one", b"other", b"x" * 1000, b"", b"\r\n\r\n", b"y" * 99999, b"one")))


def test_values_that_have_differed_once_may_differ_again() -> None:
    plain = after(get(1), get(2), get(2).replace(b"a, b", b"c"))
    assert filled(plain.take(get(3).replace(b"a, b", b"d")))
    check_alike(get(1), get(2), get(2).replace(b"a, b", b"c"), get(3).replace(b"a, b", b"d"), get(3))


def test_what_goes_upstream_has_the_fields_where_they_were_without_those_of_the_edge() -> None:
    request = after(post(b"one"), post(b"other", 2)).take(post(b"hello, world", 345))
    assert request is not None
    assert request.sent == (
        b"POST /v1 HTTP/1.1\r\nHost: a.example:80\r\nAccept: x\r\nContent-Length: 12\r\nX-Id: 345\r\n"
        b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nVia: 1.1 gpu-activator\r\n"
        b'Forwarded: for=192.0.2.7;proto=http;host="a.example:80"\r\nX-Forwarded-Host: a.example:80\r\n\r\n'
    )
    assert request.fields == b"Accept: x\r\nContent-Length: 12\r\nX-Id: 345\r\n"
    assert request.header(b"content-length") == b"12"


@pytest.mark.parametrize(
    "data",
    [
        get(3)[:-1],
        get(3) + b"x",
        get(3) + get(4),
        get(3).replace(b"GET", b"PUT"),
        get(3).replace(b"1.1", b"1.0"),
        get(3).replace(b"/x?3", b"*"),
        get(3).replace(b"/x?3", b"/x 3"),
        get(3).replace(b"/x?3", b"/%00"),
        get(3).replace(b"/x?3", b"/%7f"),
        get(3).replace(b"/x?3", b"/x#3"),
        get(3).replace(b"/x?3", b"/\xff"),
        get(3).replace(b"/x?3", b"/" + b"x" * LONGEST_KEPT),
        get(3).replace(b"a.example", b"b.example"),
        get(3).replace(b"Accept", b"Expect"),
        get(3).replace(b"a, b", b"c"),
        get(3).replace(b"Id: 3", b"Id:"),
        get(3).replace(b"Id: 3", b"Id: "),
        get(3).replace(b"Id: 3", b"Id:3"),
        get(3).replace(b"Id: 3", b"Id: 3 "),
        get(3).replace(b"Id: 3", b"Id: \t3"),
        get(3).replace(b"Id: 3", b"Id: 3\x00"),
        get(3).replace(b"Id: 3", b"Id: \xe9"),
        get(3).replace(b"Id: 3", b"Id: 3\n4"),
        get(3).replace(b"Id: 3", b"Id: 3\r4"),
        get(3).replace(b"Id: 3", b"Id: 3\r\n 4"),
        get(3).replace(b"Id: 3", b"Id: 3\r\nVia: 1.1 b"),
        get(3).replace(b"Id: 3", b"Id: 3\r\nTransfer-Encoding: chunked"),
        get(3, b"Content-Length: 1"),
    ],
)
def test_a_head_that_differs_by_more_than_that_is_looked_at(data: bytes) -> None:
    assert not filled(after(get(1), get(2)).take(data))


@pytest.mark.parametrize("told", [b"+5", b"5 ", b" 5", b"-5", b"5,5", b"0x5", b"5_0", b"", b"4", b"6", b"0000000005"])
def test_a_length_that_is_not_that_of_the_body_is_looked_at(told: bytes) -> None:
    plain = after(post(b"one"), post(b"other"))
    assert not filled(plain.take(post(b"hello").replace(b"Length: 5", b"Length: " + told)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (get(1), get(2).replace(b"a.example", b"b.example")),
        (get(1), get(2).replace(b"GET", b"PUT")),
        (post(b"one"), post(b"other").replace(b"192.0.2.9", b"192.0.2.8")),
        (get(1), b"GET /x?2 HTTP/1.1\r\nHost: a.example\r\nX-Id: 2\r\nAccept: a, b\r\n\r\n"),
        (get(1), get(2).replace(b"X-Id", b"X-id")),
        (get(1), get(2, b"X-A: 1")),
        (get(1), get(1)),
        (get(1, b"X-A: " + b"x" * LONGEST_KEPT), get(2, b"X-A: " + b"x" * LONGEST_KEPT)),
    ],
)
def test_heads_that_differ_by_more_than_values_that_pass_are_all_looked_at(one: bytes, other: bytes) -> None:
    plain = after(one, other)
    assert not any(filled(plain.take(data)) for data in (one, other, one))
    check_alike(one, other, one, other)


def test_after_many_heads_that_are_not_alike_no_more_are_compared() -> None:
    one, other = get(1), get(2).replace(b"a.example", b"b.example")
    for times, known in ((PATIENCE - 2, True), (PATIENCE - 1, False)):
        plain = after(one, *([other, one] * times)[:times])
        assert [filled(plain.take(post(body))) for body in (b"one", b"other", b"third")] == [False, False, known]


def test_where_the_fields_upstream_depend_on_more_than_the_connection_all_are_looked_at() -> None:
    plain = Plain(IN_REQUEST.names)
    assert not any(filled(plain.take(get(number))) for number in range(4))


def test_nothing_is_kept_of_a_body() -> None:
    reading = Reading(post(b"one"), short=True)
    for body in (b"other", b"third one"):
        reading.reader.feed(post(body))
    first, *others = [request.body for request in reading.requests]
    assert first is not None
    assert all(body is not None and body is not first and body.complete for body in others)


def test_a_field_of_a_known_head_is_found_by_its_name() -> None:
    request = after(get(1), get(2)).take(get(3))
    assert request is not None
    assert request.values(b"x-id") == [b"3"]


numbers = st.integers(0, 2)
lines = st.sampled_from(
    [b"", b"X-A: 1", b"x-a: 2", b"X-A: ", b"X-A: \xff", b"Host: b", b"Connection: keep-alive", b"TE: x"]
)
messages = st.one_of(
    st.builds(get, numbers, lines),
    st.builds(post, st.sampled_from([b"", b"a", b"bc", b"\r\n\r\n"]), numbers),
    st.builds(
        lambda data, at, junk: data[:at] + junk + data[at:], st.builds(get, numbers), numbers, st.binary(max_size=1)
    ),
    st.builds(lambda data, at: data[:at] + data[at + 1 :], st.builds(post, st.just(b"ab")), st.integers(0, 150)),
)


def read(sequence: list[bytes], *, short: bool) -> tuple[list[tuple[object, ...]], str]:
    """Return what a connection makes of messages, and why it refuses the last one, if it does."""
    reading, why = Reading(get(0), short=short), ""
    try:
        for data in sequence:
            for piece in (data,) if short else (data[:1], data[1:]):
                reading.reader.feed(piece)
    except EdgeError as refusal:
        why = refusal.reason
    return [seen(request) for request in reading.requests], why


@given(st.lists(messages, min_size=3, max_size=9))
def test_in_any_sequence_each_message_is_what_the_parser_makes_of_it(sequence: list[bytes]) -> None:
    assert read(sequence, short=True) == read(sequence, short=False)
