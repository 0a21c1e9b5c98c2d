from __future__ import annotations

import pytest

from router.errors import EdgeError, Reason
from router.guard import MAX_HOPS
from router.headers import forwarding, passed_on, request_head
from tests.router.fakes import request


def sent(*fields: str, line: str = "GET / HTTP/1.1", peer: str = "192.0.2.7") -> list[str]:
    """Return the lines of the head that a replica gets."""
    head = request_head(request(line, *fields), forwarding(peer)).decode("latin-1")
    assert head.endswith("\r\n\r\n")
    return head.removesuffix("\r\n\r\n").split("\r\n")


def values(lines: list[str], name: str) -> list[str]:
    return [line.partition(": ")[2] for line in lines[1:] if line.partition(": ")[0].lower() == name.lower()]


def test_the_head_begins_with_the_request_line_and_its_only_host() -> None:
    lines = sent("Accept: */*", line="POST /v1//x/%2e%2e;a?b=%00x HTTP/1.0".replace("%00", "%41"))
    assert lines[:2] == ["POST /v1//x/%2e%2e;a?b=%41x HTTP/1.1", "Host: a.example"]
    assert values(lines, "host") == ["a.example"]


@pytest.mark.parametrize(
    "field",
    [
        "Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "TE: gzip",
        "Trailer: X-T",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Proxy-Authorization: Basic eDp5",
        "Expect: 200-maybe",
    ],
)
def test_hop_by_hop_fields_go_no_further(field: str) -> None:
    lines = sent(field, "X-Kept: 1")
    assert values(lines, field.partition(":")[0]) == []
    assert values(lines, "X-Kept") == ["1"]


@pytest.mark.parametrize(
    "name", ["Knative-Serving-Tag", "Knative-Serving-Revision", "Knative-Serving-Namespace", "K-Network-Probe"]
)
def test_internal_fields_go_no_further(name: str) -> None:
    assert values(sent(f"{name}: x"), name) == []


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x-forwarded_proto", "Knative_Serving-Tag", "Content_Length"])
def test_what_a_server_may_take_for_a_field_that_the_edge_writes_goes_no_further(name: str) -> None:
    lines = sent(f"{name}: 1", "X_Kept: 1")
    assert (values(lines, name), values(lines, "X_Kept")) == ([], ["1"])


def test_what_a_connection_field_names_is_removed() -> None:
    lines = sent("Connection: close, X-A , x-b", "X-A: 1", "x-B: 2", "X-C: 3")
    assert [values(lines, name) for name in ("X-A", "X-B", "X-C", "Connection")] == [[], [], ["3"], []]


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Content-Type", "Content-Length", "Host"])
def test_a_connection_field_cannot_take_away_protected_ones(name: str) -> None:
    fields = {"Host": (), "Content-Length": ("Content-Length: 0",)}.get(name, (f"{name}: 1",))
    assert len(values(sent(f"Connection: {name}", *fields), name)) == 1


def test_a_connection_field_cannot_take_away_what_the_edge_writes() -> None:
    lines = sent("Connection: X-Forwarded-For, Via, Forwarded, X-Forwarded-Host", "Via: 1.0 other")
    assert values(lines, "X-Forwarded-For") == ["192.0.2.7"]
    assert values(lines, "Via") == ["1.0 other", "1.1 gpu-activator"]
    assert len(values(lines, "Forwarded")) == len(values(lines, "X-Forwarded-Host")) == 1


def test_forwarding_fields_of_the_client_are_replaced() -> None:
    lines = sent(
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "x-forwarded-host: evil.example",
        "Forwarded: for=10.0.0.1;host=evil.example",
    )
    assert values(lines, "X-Forwarded-For") == ["192.0.2.7"]
    assert values(lines, "X-Forwarded-Proto") == ["http"]
    assert values(lines, "X-Forwarded-Host") == ["a.example"]
    assert values(lines, "Forwarded") == ['for=192.0.2.7;proto=http;host="a.example"']


def test_the_scheme_is_that_of_the_clients_connection() -> None:
    head = request_head(request(), forwarding("192.0.2.7", b"https")).decode().split("\r\n")
    assert values(head, "X-Forwarded-Proto") == ["https"]
    assert values(head, "Forwarded") == ['for=192.0.2.7;proto=https;host="a.example"']


def trusted(*fields: str, peer: str = "10.0.0.9") -> list[str]:
    """Return the lines of the head that a replica gets from a trusted hop."""
    made = request("GET / HTTP/1.1", *fields, "X-Kept: 1")
    made.forwarded = passed_on(made, peer, b"http")
    return request_head(made, forwarding("unused")).decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def test_what_a_trusted_hop_tells_is_passed_on_and_added_to() -> None:
    lines = trusted(
        "X-Forwarded-For: 203.0.113.5",
        "x-forwarded-for: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: www.example",
        "Forwarded: for=203.0.113.5;proto=https",
        "Via: 1.1 balancer",
    )
    assert values(lines, "X-Forwarded-For") == ["203.0.113.5, 10.0.0.1, 10.0.0.9"]
    assert values(lines, "X-Forwarded-Proto") == ["https"]
    assert values(lines, "X-Forwarded-Host") == ["www.example"]
    assert values(lines, "Forwarded") == ['for=203.0.113.5;proto=https, for=10.0.0.9;proto=http;host="a.example"']
    assert values(lines, "Via") == ["1.1 balancer", "1.1 gpu-activator"]
    assert values(lines, "X-Kept") == ["1"]
    assert values(lines, "Host") == ["a.example"]


@pytest.mark.parametrize(
    ("told", "stays"),
    [
        ('for="[2001:db8::7]";host="a\\"b", for=x', True),
        ('for=203.0.113.5;host="evil', False),
        ('for="evil\\"', False),
        ('for=x, for="', False),
    ],
)
def test_a_quote_that_a_client_left_open_does_not_swallow_the_hop_that_is_appended(told: str, stays: bool) -> None:
    own = 'for=10.0.0.9;proto=http;host="a.example"'
    assert values(trusted(f"Forwarded: {told}"), "Forwarded") == [f"{told}, {own}" if stays else own]


def test_a_trusted_hop_that_tells_nothing_is_a_client_like_any_other() -> None:
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via")
    plain = sent("X-Kept: 1", peer="fd00::9")
    assert [values(trusted(peer="fd00::9"), name) for name in names] == [values(plain, name) for name in names]


def test_an_ipv6_client_is_quoted_where_the_rfc_says_so() -> None:
    lines = sent(peer="2001:db8::7")
    assert values(lines, "Forwarded") == ['for="[2001:db8::7]";proto=http;host="a.example"']
    assert values(lines, "X-Forwarded-For") == ["2001:db8::7"]


def test_all_else_passes_as_it_was_written_and_in_order() -> None:
    fields = ["X-B: 1", "x-a: caf\xe9", "X-B: 2", "Cookie: a=b", "Authorization: Bearer t", "Accept-Encoding: gzip"]
    assert [line for line in sent(*fields) if line in fields] == fields


def test_a_declared_length_is_kept_and_a_chunked_body_announced_once() -> None:
    assert values(sent("Content-Length: 5", line="POST / HTTP/1.1"), "Content-Length") == ["5"]
    lines = sent("Transfer-Encoding: chunked", line="POST / HTTP/1.1")
    assert (values(lines, "Transfer-Encoding"), values(lines, "Content-Length")) == (["chunked"], [])


def test_a_request_that_comes_round_again_and_again_is_stopped() -> None:
    own = ["Via: 1.1 gpu-activator"] * (MAX_HOPS - 1)
    assert len(values(sent(*own, "Via: 1.1 other"), "Via")) == MAX_HOPS + 1
    with pytest.raises(EdgeError) as stop:
        sent(*own, "Via: 1.1 other, 1.1 gpu-activator")
    assert (stop.value.reason, stop.value.status) == (Reason.LOOP_DETECTED, 508)
