"""What a socket cannot be made to do at the right moment: tests/router/wire has the rest."""

from __future__ import annotations

from typing import Any

import pytest

from router.body import Body
from router.errors import EdgeError
from router.tunnel import Tunnel
from tests.router.fakes import Client, Clock, Transport, exchange, request, revision, service


class Socket(Transport):
    """A replica's socket; `half` = it can close one side alone."""

    def __init__(self, *, half: bool = True) -> None:
        super().__init__()
        self.half = half
        self.ended = 0

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def can_write_eof(self) -> bool:
        return self.half

    def write_eof(self) -> None:
        self.ended += 1


class Whole(Client):
    """A client whose connection cannot be half closed."""

    def write_eof(self) -> bool:
        return False


def opened(client: Client, transport: Socket, *early: bytes) -> tuple[Tunnel, Body]:
    made = request()
    made.upgrade = Body(client)
    for data in early:
        made.upgrade.feed(data)
    tunnel = Tunnel(exchange(made, client), transport, Clock())
    tunnel.switch()
    return tunnel, made.upgrade


async def test_a_tunnel_takes_the_connection_over_and_sends_what_came_too_early() -> None:
    client, transport = Client(), Socket()
    tunnel, _ = opened(client, transport, b"early ", b"x" * 70_000)
    assert transport.protocol is tunnel
    assert transport.got == b"early " + b"x" * 70_000
    assert client.reading


async def test_an_end_that_came_too_early_is_passed_on_behind_what_came_before_it() -> None:
    client, transport = Client(), Socket()
    made = request()
    made.upgrade = Body(client)
    made.upgrade.feed(b"early")
    made.upgrade.finish()
    Tunnel(exchange(made, client), transport, Clock()).switch()
    assert (transport.got, transport.ended, transport.closed) == (b"early", 1, False)


async def test_an_end_that_is_told_twice_is_one_end() -> None:
    client, transport = Client(), Socket()
    tunnel, upgrade = opened(client, transport)
    assert tunnel.eof_received()
    assert tunnel.eof_received()
    assert not transport.closed
    upgrade.finish()
    upgrade.finish()
    assert transport.closed


async def test_a_replica_whose_connection_cannot_be_half_closed_is_closed_with_the_client() -> None:
    transport = Socket(half=False)
    _, upgrade = opened(Client(), transport)
    upgrade.finish()
    assert transport.closed


async def test_a_client_whose_connection_cannot_be_half_closed_ends_with_the_replica() -> None:
    tunnel, _ = opened(Whole(), Socket())
    assert not tunnel.eof_received()


async def test_nothing_is_asked_of_a_connection_that_is_closing() -> None:
    client, transport = Client(), Socket()
    tunnel, upgrade = opened(client, transport)
    transport.closed = True
    upgrade.feed(b"late")
    upgrade.finish()
    tunnel.pause_reading()
    assert (transport.got, transport.reading, transport.ended) == (b"", True, 0)
    transport.reading = False
    tunnel.resume_reading()
    assert not transport.reading


@pytest.mark.parametrize("clock", ["total", "idle"])
async def test_a_tunnel_ends_by_its_clocks_and_not_before(clock: str) -> None:
    limits: dict[str, Any] = {clock: 5.0}
    asked = exchange()
    asked.assign(service(), revision(**limits), tagged=False)
    asked.dispatched = 1000.0
    tunnel = Tunnel(asked, Socket(), Clock(1000.0))
    tunnel.check_clocks(1005.0)
    assert asked.failure is None
    tunnel.check_clocks(1005.1)
    assert isinstance(asked.failure, EdgeError)


async def test_each_side_waits_for_the_other() -> None:
    client, transport = Client(), Socket()
    tunnel, _ = opened(client, transport)
    states = []
    for act in (tunnel.pause_writing, tunnel.resume_writing, tunnel.pause_reading, tunnel.resume_reading):
        act()
        states.append((client.reading, transport.reading))
    assert states == [(False, True), (True, True), (True, False), (True, True)]
