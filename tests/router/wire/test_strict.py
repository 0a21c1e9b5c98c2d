"""The guard is at least as strict as those who may stand behind it: none of them refuses what the edge takes.

That the edge takes these vectors and no others is shown in test_vectors. Where one of them is refused, what is sent on
has to be something else than what came: see the exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.router.wire.parsers import ByHttptools, aiohttp_server, by_h11, by_server
from tests.router.wire.test_vectors import AFTER, CLOSES, VECTORS, accepted

if TYPE_CHECKING:
    from collections.abc import Iterable

OFFER = "it stops behind every offer to upgrade, and waits; this one is not sent on"
STRICTER = {
    "h11": {"leading-crlf": "an empty line is to be ignored (RFC 9112 2.2); it is not sent on"},
    "httptools": {"upgrade-h2c": OFFER},
    "aiohttp": {"upgrade-h2c": OFFER},
    "node": {
        "upgrade-h2c": OFFER,
        "expect-bogus": "417 is the other right answer (RFC 9110 10.1.1); the field is not sent on",
    },
}


def taken(by: str) -> Iterable[object]:
    """Return the vectors that the edge takes, and the parser `by` has no reason to refuse."""
    return [
        pytest.param(vector, id=vector["name"])
        for vector in VECTORS
        if accepted(vector) and vector["name"] not in STRICTER.get(by, {})
    ]


def raw(vector: dict[str, str]) -> tuple[bytes, int]:
    """Return a client's bytes, and how many requests they are."""
    data = vector["request"].encode("latin-1")
    return (data, 1) if vector["name"] == CLOSES else (data + AFTER, 2)


@pytest.mark.parametrize("vector", taken("h11"))
def test_h11_takes_what_the_edge_takes(vector: dict[str, str]) -> None:
    data, count = raw(vector)
    assert len(by_h11(data)) == count


@pytest.mark.parametrize("vector", taken("httptools"))
def test_httptools_takes_what_the_edge_takes(vector: dict[str, str]) -> None:
    data, count = raw(vector)
    assert len(ByHttptools(data).seen) == count


@pytest.mark.parametrize("vector", taken("aiohttp"))
async def test_aiohttp_takes_what_the_edge_takes(vector: dict[str, str]) -> None:
    data, count = raw(vector)
    async with aiohttp_server() as port:
        assert len(await by_server(port, data, count)) == count


@pytest.mark.parametrize("vector", taken("node"))
async def test_node_takes_what_the_edge_takes(vector: dict[str, str], node: int) -> None:
    data, count = raw(vector)
    assert len(await by_server(node, data, count)) == count
