"""One client, one draw: by header, cookie or address, the same for ever, and even over all clients."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.headers import forwarding
from router.split import by_draw, sticky_draw
from router.table import Key, Service, Share, Sticky
from tests.router.fakes import request, revision

HEADER, COOKIE, ADDRESS = Sticky(Key.HEADER, b"x-client"), Sticky(Key.COOKIE, b"session"), Sticky(Key.ADDRESS)


PINNED = 0.7782849620551878


def service(sticky: Sticky | None, name: str = "a", percent: int = 0) -> Service:
    shares = Share(revision("a-1"), 100 - percent), Share(revision("a-2"), percent)
    return Service(name, ("a.example",), shares, sticky=sticky)


def draw(
    sticky: Sticky | None, *fields: str, peer: str = "192.0.2.7", name: str = "a", forwarded: bytes = b""
) -> float | None:
    asked = request("GET / HTTP/1.1", *fields)
    asked.forwarded = forwarded
    return sticky_draw(service(sticky, name), asked, forwarding(peer)[0])


@pytest.mark.parametrize(
    ("sticky", "fields"),
    [
        (HEADER, ["X-Client: 7"]),
        (COOKIE, ["Cookie: a=b; session=7; c=d"]),
        (COOKIE, ["Cookie: a=b", "Cookie: session=7"]),
        (ADDRESS, []),
        (Sticky(Key.HEADER, b"x-forwarded-for"), ["X-Forwarded-For: 198.51.100.1"]),
    ],
)
def test_a_client_has_one_draw(sticky: Sticky, fields: list[str]) -> None:
    found = draw(sticky, *fields)
    assert found is not None
    assert 0 <= found < 1
    assert draw(sticky, *fields, "Accept: */*") == found


@pytest.mark.parametrize(
    ("sticky", "fields"),
    [
        (None, ["X-Client: 7"]),
        (HEADER, []),
        (HEADER, ["X-Client:"]),
        (COOKIE, ["Cookie: sessions=7; xsession=8"]),
        (COOKIE, ["Cookie: session="]),
        (COOKIE, ["Session: 7"]),
    ],
)
def test_a_request_that_does_not_say_who_sends_it_has_none(sticky: Sticky | None, fields: list[str]) -> None:
    assert draw(sticky, *fields) is None


def test_the_address_is_the_clients_also_behind_a_trusted_hop() -> None:
    told = b"X-Forwarded-For: %s, 10.0.0.%d\r\nX-Forwarded-Proto: http\r\n"
    behind = [draw(ADDRESS, peer="10.0.0.1", forwarded=told % (b"198.51.100.1", hop)) for hop in (1, 2)]
    assert behind[0] == behind[1] == draw(ADDRESS, peer="198.51.100.1")
    assert draw(ADDRESS, peer="192.0.2.8") != draw(ADDRESS, peer="192.0.2.7")


def test_services_do_not_share_their_luck() -> None:
    assert draw(HEADER, "X-Client: 7", name="a") != draw(HEADER, "X-Client: 7", name="b")


def test_draws_are_known_so_that_no_release_moves_every_client() -> None:
    assert draw(HEADER, "X-Client: 7") == pytest.approx(PINNED, abs=1e-15)


def test_ten_thousand_clients_are_spread_evenly() -> None:
    tens = Counter(int((draw(HEADER, f"X-Client: {client}") or 0) * 10) for client in range(10_000))
    assert sum((tens[ten] - 1000) ** 2 / 1000 for ten in range(10)) < 27.88  # chi-square, 9 degrees, p = 0.001


@given(st.integers(0, 10**9), st.integers(0, 100), st.integers(0, 100))
def test_when_a_share_grows_nobody_leaves_it(client: int, one: int, other: int) -> None:
    before, after = sorted((one, other))
    found = draw(HEADER, f"X-Client: {client}")
    assert found is not None
    names = [by_draw(service(HEADER, percent=percent), found).revision.name for percent in (before, after)]
    assert names != ["a-2", "a-1"]
