from __future__ import annotations

import pytest

from router.errors import EdgeError, Reason
from tests.router.fakes import request


def refused(line: str = "GET / HTTP/1.1", *fields: str, host: str = "a.example") -> str:
    with pytest.raises(EdgeError) as refusal:
        request(line, *fields, host=host)
    return refusal.value.reason


@pytest.mark.parametrize(
    "host", ["a.example", "A.example:80", "a.example:", "[::1]", "[2001:db8::1]:8080", "192.0.2.1", "a_b-c.d~", "%41"]
)
def test_a_host_is_a_name_or_address_with_an_optional_port(host: str) -> None:
    assert request(host=host).host == host.encode()


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a@b", "a/b", "a,b", "a?b", "a#b", "a\\b", "a:80:90", "a:x", "a:123456", "[::1", "::1", "[g]", "\xe9"],
)
def test_anything_else_is_no_host(host: str) -> None:
    with pytest.raises(EdgeError):
        request(host=host.encode().decode("latin-1"))


def test_two_hosts_are_refused_even_when_they_are_equal() -> None:
    assert refused("GET / HTTP/1.1", "Host: a.example") == Reason.BAD_REQUEST


@pytest.mark.parametrize("target", ["/", "/a?b=c", "/%2e%2e/", "//x", "/a;b", "/~!$&'()*+,=:@", "/a%20b"])
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
        "/\x7f",
        "https://a/",
        "ftp://a/",
        "http:///",
        "http://a@b/",
    ],
)
def test_a_target_that_is_no_plain_path_is_refused(target: str) -> None:
    assert refused(f"GET {target} HTTP/1.1") == Reason.BAD_REQUEST


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


def test_options_may_ask_about_the_server_as_a_whole() -> None:
    assert request("OPTIONS * HTTP/1.1").target == b"*"


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


def test_an_expectation_is_only_met_for_those_who_know_what_it_is() -> None:
    asked = "Expect: 100-Continue", "Content-Length: 5"
    assert request("POST / HTTP/1.1", *asked).expects_continue
    assert not request("POST / HTTP/1.0", *asked).expects_continue
    assert not request("POST / HTTP/1.1", "Expect: 200-maybe", "Content-Length: 5").expects_continue


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_an_offer_to_upgrade_must_not_carry_a_body(field: str) -> None:
    assert refused("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", field) == Reason.BAD_REQUEST
