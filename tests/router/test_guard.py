from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from router.errors import EdgeError, Reason
from router.headers import values
from router.http1 import RequestReader
from tests.router.fakes import Client, request

if TYPE_CHECKING:
    from router.request import Request


def refused(line: str = "GET / HTTP/1.1", *fields: str, host: str = "a.example") -> str:
    with pytest.raises(EdgeError) as refusal:
        request(line, *fields, host=host)
    return refusal.value.reason


@pytest.mark.parametrize(
    "host",
    ["a.example", "A.example:80", "a.:", "[::1]", "[2001:db8::1]:8080", "192.0.2.1", "a_b-c.d~", "%41", "a" * 255],
)
def test_a_host_is_a_name_or_address_with_an_optional_port(host: str) -> None:
    assert request(host=host).host == host.encode()


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a@b",
        "a/b",
        "a,b",
        "a?b",
        "a#b",
        "a\\b",
        "a:80:90",
        "a:x",
        "a:123456",
        "[::1",
        "::1",
        "[g]",
        "\xe9",
        "a" * 262,
    ],
)
def test_anything_else_is_no_host(host: str) -> None:
    with pytest.raises(EdgeError):
        request(host=host.encode().decode("latin-1"))


def test_two_hosts_are_refused_even_when_they_are_equal() -> None:
    assert refused("GET / HTTP/1.1", "Host: a.example") == Reason.BAD_REQUEST


@pytest.mark.parametrize(
    "target", ["/", "/a?b=c", "/%2e%2e/", "//x", "/a;b", "/~!$&'()*+,=:@", "/a%20b", "/?a=b%0D%0Ac"]
)
def test_a_path_is_taken_as_it_is(target: str) -> None:
    assert request(f"GET {target} HTTP/1.1").target == target.encode()


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "foo",
        "a:80",
        "/a#b",
        "/a%00",
        "/a%0Ab",
        "/a%0d",
        "/a%01?b",
        "/%1B",
        "/%7f",
        "/a?b=%00",
        "http://b.example/%1f",
        "/\x7f",
        "https://a/",
        "ftp://a/",
        "http:///",
        "http://a@b/",
    ],
)
def test_a_target_that_is_no_plain_path_is_refused(target: str) -> None:
    assert refused(f"GET {target} HTTP/1.1") == Reason.BAD_REQUEST


@pytest.mark.parametrize("line", ["GET  / HTTP/1.1", "GET   / HTTP/1.1", "POST /  HTTP/1.1", "PUT  http://a/ HTTP/1.0"])
def test_the_parts_of_a_request_line_have_one_space_between_them(line: str) -> None:
    assert refused(line) == Reason.BAD_REQUEST


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("http://b.example/x?y", "b.example", "/x?y"),
        ("HTTP://b.example:80/x", "b.example:80", "/x"),
        ("http://b.example", "b.example", "/"),
        ("http://b.example?y", "b.example", "/?y"),
    ],
)
def test_an_absolute_target_names_the_host_and_is_cut_to_its_path(target: str, host: str, path: str) -> None:
    made = request(f"GET {target} HTTP/1.1")
    assert (made.host, made.target) == (host.encode(), path.encode())


def test_options_may_ask_about_the_server_as_a_whole_and_that_is_the_edge() -> None:
    asked = request("OPTIONS * HTTP/1.1")
    assert asked.target == b"*"
    assert asked.refusal is not None
    assert (asked.refusal.reason, asked.refusal.status) == (Reason.OPTIONS, 200)


def test_and_so_they_do_with_an_absolute_target_that_has_no_path() -> None:
    assert request("OPTIONS http://b.example HTTP/1.1").refusal is not None
    assert request("OPTIONS http://b.example/ HTTP/1.1").refusal is None
    assert request("OPTIONS http://b.example?x HTTP/1.1").refusal is None


@pytest.mark.parametrize(("given", "left"), [("1", b"0"), ("007", b"6"), ("100", b"99")])
def test_max_forwards_of_options_is_counted_down(given: str, left: bytes) -> None:
    asked = request("OPTIONS / HTTP/1.1", f"Max-Forwards: {given}")
    assert asked.refusal is None
    assert b"".join(asked.lines) == b"Max-Forwards: %b\r\n" % left


def test_and_at_0_the_edge_answers() -> None:
    asked = request("OPTIONS / HTTP/1.1", "Max-Forwards: 0")
    assert asked.refusal is not None
    assert asked.refusal.reason == Reason.OPTIONS


@pytest.mark.parametrize("fields", [["x"], ["-1"], [""], ["1" * 10], ["1", "2"], ["\xb2"]])
def test_max_forwards_of_options_is_one_number(fields: list[str]) -> None:
    assert refused("OPTIONS / HTTP/1.1", *(f"Max-Forwards: {field}" for field in fields)) == Reason.BAD_REQUEST


def test_max_forwards_means_nothing_to_other_methods() -> None:
    assert b"".join(request("GET / HTTP/1.1", "Max-Forwards: x").lines) == b"Max-Forwards: x\r\n"


def by_tls(target: str) -> tuple[bytes, bytes]:
    class Sink(Client):
        def on_request(self, request: Request) -> None:
            self.request = request

    sink = Sink()
    RequestReader(sink, scheme=b"https").feed(f"GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
    return sink.request.host, sink.request.target


def test_a_long_absolute_target_that_is_refused_holds_nobody_up() -> None:
    began = time.process_time()
    for start in "abcdefghijklmnopqrst":
        assert refused(f"GET http://{start * 4000}/{'b' * 4000}#c HTTP/1.1") == Reason.BAD_REQUEST
    assert time.process_time() - began < 2  # of 5 ms in one pass; to cut host from path in every way takes 6 s


def test_an_absolute_target_has_the_scheme_by_which_it_came() -> None:
    assert by_tls("HTTPS://b.example:443/x?y") == (b"b.example:443", b"/x?y")
    with pytest.raises(EdgeError):
        by_tls("http://b.example/")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("GET / HTTP/2.0", Reason.VERSION_UNSUPPORTED),
        ("GET / HTTP/0.9", Reason.VERSION_UNSUPPORTED),
        ("TRACE / HTTP/1.1", Reason.METHOD_NOT_ALLOWED),
        ("CONNECT /x HTTP/1.1", Reason.METHOD_NOT_ALLOWED),
        ("BREW / HTTP/1.1", Reason.METHOD_UNKNOWN),
    ],
)
def test_versions_and_methods_that_are_not_spoken_are_refused(line: str, reason: Reason) -> None:
    assert refused(line) == reason


@pytest.mark.parametrize(
    "value", ["gzip", "identity", "chunked, chunked", "gzip, chunked", '"chunked"', "xchunked", ""]
)
def test_no_transfer_encoding_is_taken_but_chunked(value: str) -> None:
    assert refused("POST / HTTP/1.1", f"Transfer-Encoding: {value}") == Reason.BAD_REQUEST


def test_chunked_is_taken_once_and_from_http_1_1_only() -> None:
    assert request("POST / HTTP/1.1", "Transfer-Encoding: Chunked").length is None
    assert refused("POST / HTTP/1.0", "Transfer-Encoding: chunked") == Reason.BAD_REQUEST
    assert refused("POST / HTTP/1.1", *["Transfer-Encoding: chunked"] * 2) == Reason.BAD_REQUEST


def test_the_declared_length_is_a_number() -> None:
    assert [request("POST / HTTP/1.1", f"Content-Length: {n}").length for n in ("0", "005", "7")] == [0, 5, 7]


@pytest.mark.parametrize("zeros", [20, 5000])
def test_a_length_has_a_bound_on_its_digits(zeros: int) -> None:
    assert refused("POST / HTTP/1.1", "Content-Length: " + "0" * zeros + "5") == Reason.BAD_REQUEST


def test_an_expectation_is_only_met_for_those_who_know_what_it_is() -> None:
    asked = "Expect: 100-Continue", "Content-Length: 5"
    assert request("POST / HTTP/1.1", *asked).expects_continue
    assert not request("POST / HTTP/1.0", *asked).expects_continue
    assert not request("POST / HTTP/1.1", "Expect: 200-maybe", "Content-Length: 5").expects_continue


@pytest.mark.parametrize("fields", [["Expect: more, 100-continue"], ["Expect: more", "Expect: 100-continue"]])
def test_also_where_more_is_expected(fields: list[str]) -> None:
    assert request("POST / HTTP/1.1", *fields, "Content-Length: 5").expects_continue


@pytest.mark.parametrize("fields", [["TE: trailers"], ["TE: gzip;q=0.5, Trailers"], ["TE: gzip", "TE: trailers"]])
def test_the_replica_is_told_of_a_client_that_takes_trailers(fields: list[str]) -> None:
    made = request("GET / HTTP/1.1", *fields, "Connection: TE")
    assert (made.trailers, made.ordinary) == (True, False)
    assert b"".join(made.lines) == b"Connection: TE\r\nTE: trailers\r\n"


def test_and_of_nothing_else_that_a_client_would_take() -> None:
    assert not request("GET / HTTP/1.1", "TE: gzip").lines
    assert not request("GET / HTTP/1.0", "TE: trailers").lines


KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
OFFER = ("Connection: Upgrade", "Upgrade: websocket", KEY, "Sec-WebSocket-Version: 13")


def offers(*fields: str, line: str = "GET / HTTP/1.1") -> bool:
    """Tell whether the reader takes a request for an offer of WebSocket; if it does not, it must not pass it on."""
    made = request(line, *fields)
    assert (b"websocket" in made.lines) == (made.upgrade is not None)
    return made.upgrade is not None


@pytest.mark.parametrize(
    "fields",
    [
        OFFER,
        tuple(field.swapcase() if field is not KEY else field for field in OFFER),
        ("Connection: keep-alive, Upgrade", *OFFER[1:]),
        ("Connection: close", *OFFER),
        (*OFFER, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate", "Origin: null"),
    ],
)
def test_a_proper_offer_of_websocket_is_taken(fields: tuple[str, ...]) -> None:
    assert offers(*fields)


def test_an_offer_goes_on_with_one_connection_field_since_some_models_read_only_the_first() -> None:
    made = request("GET / HTTP/1.1", "TE: trailers", *OFFER)
    assert made.upgrade is not None
    assert values(made.lines, b"connection") == [b"Upgrade"]
    assert not values(made.lines, b"te")


@pytest.mark.parametrize(
    "fields",
    [
        OFFER[1:],
        OFFER[:1] + OFFER[2:],
        OFFER[:2] + OFFER[3:],
        OFFER[:3],
        ("Connection: xupgrade", *OFFER[1:]),
        ("Proxy-Connection: Upgrade", *OFFER[1:]),
        ("Proxy-Connection: Upgrade", "Connection: keep-alive", *OFFER[1:]),
        ("Connection: Upgrade, Sec-WebSocket-Key", *OFFER[1:]),
        ("Connection: Upgrade, Sec-WebSocket-Version", *OFFER[1:]),
        (*OFFER, "Upgrade: websocket"),
        (*OFFER, "Upgrade: h2c"),
        (*OFFER, KEY),
        (*OFFER, "Sec-WebSocket-Version: 13"),
        (*OFFER, "Content-Length: 0"),
    ],
)
def test_an_offer_that_lacks_something_or_has_too_much_is_declined(fields: tuple[str, ...]) -> None:
    assert not offers(*fields)


@pytest.mark.parametrize("value", ["h2c", "websocket, h2c", "websocket/13", "xwebsocket", "TLS/1.0", ""])
def test_an_offer_of_another_protocol_is_declined(value: str) -> None:
    assert not offers(OFFER[0], f"Upgrade: {value}", *OFFER[2:])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZTE2",
        "dGhlIHNhbXBsZSBub25j_Q==",
    ],
)
def test_a_key_that_is_not_16_bytes_in_base64_is_no_key(value: str) -> None:
    assert not offers(*OFFER[:2], f"Sec-WebSocket-Key: {value}", OFFER[3])


@pytest.mark.parametrize("value", ["", "8", "013", "13, 8", "14"])
def test_there_is_no_version_of_websocket_but_13(value: str) -> None:
    assert not offers(*OFFER[:3], f"Sec-WebSocket-Version: {value}")


@pytest.mark.parametrize("line", ["POST / HTTP/1.1", "HEAD / HTTP/1.1", "OPTIONS / HTTP/1.1", "GET / HTTP/1.0"])
def test_only_a_get_of_http_1_1_may_offer_websocket(line: str) -> None:
    assert not offers(*OFFER, line=line)


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_an_offer_to_upgrade_must_not_carry_a_body(field: str) -> None:
    assert refused("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", field) == Reason.BAD_REQUEST
