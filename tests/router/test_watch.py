"""What the kernel tells of a client, as bytes of struct tcp_info. Real sockets are in tests/router/wire."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from router.body import Body
from router.exchange import SWITCHING
from router.table import OnDisconnect
from router.watch import MOST_LEFT, Watch, left_unseen
from tests.router.fakes import Client, exchange, request, revision

if TYPE_CHECKING:
    from router.exchange import Exchange

ESTABLISHED, CLOSE, CLOSE_WAIT = 1, 7, 8

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")


class Kernel:
    """A socket in a certain state."""

    def __init__(self, state: int) -> None:
        self.state = state
        self.acknowledged = 0

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        if self.state < 0:
            raise OSError
        return (bytes([self.state]) + bytes(119) + self.acknowledged.to_bytes(8, sys.byteorder))[:size]


class Carrier:
    def client_left(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def check_clocks(self, now: float) -> None: ...


def transport(state: int) -> asyncio.Transport:
    return asyncio.Transport({"socket": Kernel(state)})


def asked(*, dispatched: bool, complete: bool = False, finish: bool = False) -> Exchange:
    made = request("POST / HTTP/1.1", "Content-Length: 9")
    made.body = Body(Client())
    made.body.complete = complete
    asks = exchange(made)
    asks.revision = revision(on_disconnect=OnDisconnect.FINISH if finish else OnDisconnect.CANCEL)
    asks.upstream = Carrier() if dispatched else None
    return asks


@pytest.mark.parametrize("dispatched", [False, True])
async def test_one_that_is_there_has_not_left(dispatched: bool) -> None:
    assert not left_unseen(transport(ESTABLISHED), asked(dispatched=dispatched))
    assert not left_unseen(transport(-1), asked(dispatched=dispatched)), "nothing is known"


@pytest.mark.parametrize("dispatched", [False, True])
async def test_one_that_cut_the_connection_has_left(dispatched: bool) -> None:
    assert left_unseen(transport(CLOSE), asked(dispatched=dispatched))


async def test_one_that_sends_no_more_has_left_while_it_is_held() -> None:
    assert left_unseen(transport(CLOSE_WAIT), asked(dispatched=False))
    assert left_unseen(transport(CLOSE_WAIT), asked(dispatched=False, finish=True))


async def test_the_rest_of_a_body_may_be_on_its_way_from_one_that_sends_no_more() -> None:
    assert not left_unseen(transport(CLOSE_WAIT), asked(dispatched=True))


async def test_so_may_the_last_bytes_of_a_websocket() -> None:
    talks = asked(dispatched=True, complete=True)
    talks.status = SWITCHING
    assert not left_unseen(transport(CLOSE_WAIT), talks)
    assert left_unseen(transport(CLOSE), talks)


async def test_one_that_sends_no_more_may_wait_for_its_answer_where_requests_are_finished() -> None:
    assert left_unseen(transport(CLOSE_WAIT), asked(dispatched=True, complete=True))
    assert not left_unseen(transport(CLOSE_WAIT), asked(dispatched=True, complete=True, finish=True))


def test_that_more_waits_for_a_client_is_no_progress_but_what_it_takes_is() -> None:
    client, watch = transport(ESTABLISHED), Watch()
    kernel: Kernel = client.get_extra_info("socket")
    kernel.acknowledged = 100
    assert not any(watch.takes_nothing(1000 + now, client, 10.0, now) for now in range(11))
    kernel.acknowledged = 101
    assert not any(watch.takes_nothing(2000 + now, client, 10.0, now) for now in range(11, 22))
    assert watch.takes_nothing(3000, client, 10.0, 22)


@pytest.mark.parametrize("longest", [0.0, 10.0])
def test_no_more_is_kept_for_a_client_than_may_be_however_it_takes_it(longest: float) -> None:
    assert not Watch().takes_nothing(MOST_LEFT, transport(ESTABLISHED), longest, 0.0)
    assert Watch().takes_nothing(MOST_LEFT + 1, transport(ESTABLISHED), longest, 0.0)
