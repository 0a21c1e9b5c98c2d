"""What a socket cannot be made to do at the right moment: tests/router/wire has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.ports import Endpoint
from router.upstream import Upstream
from tests.router.fakes import HELLO, Client, Clock, Transport, exchange, revision, service

if TYPE_CHECKING:
    from router.exchange import Exchange


class Clogged(Client):
    """A client that is slower than its replica from the first byte on."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.upstream is not None:
            self.upstream.pause_reading()

    upstream: Upstream | None = None


def connected() -> tuple[Upstream, Transport, list[Upstream]]:
    given: list[Upstream] = []
    upstream, transport = Upstream(Endpoint("r1", "192.0.2.1", 80), given.append, Clock()), Transport()
    upstream.connection_made(transport)
    return upstream, transport, given


async def test_a_connection_whose_last_bytes_came_too_fast_is_read_on_when_it_is_given_back() -> None:
    upstream, transport, given = connected()
    client = Clogged()
    client.upstream = upstream
    asked = exchange(client=client)
    asked.assign(service(), revision(), tagged=False)
    asked.run(carried(upstream, asked))
    upstream.data_received(HELLO)
    assert (given, transport.reading, upstream.usable) == ([upstream], True, True)


async def carried(upstream: Upstream, asked: Exchange) -> None:
    with upstream:
        await upstream.carry(asked)
