"""Whom a request comes from, where some of those before it are believed and others are not."""

from __future__ import annotations

import pytest

from router.headers import forwarding, passed_on
from router.origin import client_of
from tests.router.fakes import request


def trusts(address: str) -> bool:
    return address.startswith("10.")


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.5", "192.0.2.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "2001:db8::5", "2001:db8::5"),
        ("10.0.0.1", "198.51.100.9, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.9, hush-hush", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9, hush-hush, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.5, " + "10.0.0.2, " * 900 + "10.0.0.2", "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_hop(peer: str, told: str, client: str) -> None:
    asked = request("GET / HTTP/1.1", *([f"X-Forwarded-For: {told}"] if told else []))
    if trusts(peer):
        asked.forwarded = passed_on(asked, peer, b"http")
    assert client_of(asked, forwarding(peer)[0], trusts) == client
