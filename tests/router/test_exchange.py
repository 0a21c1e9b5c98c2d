from __future__ import annotations

import asyncio

import pytest

from router.body import Body
from router.errors import EdgeError, Reason
from router.exchange import ClientGone
from router.table import OnDisconnect
from tests.router.fakes import Client, exchange, request, revision, service


async def test_the_first_failure_counts() -> None:
    asked = exchange()
    asked.fail(ClientGone())
    asked.fail(EdgeError(Reason.HOLD_TIMEOUT, ""))
    with pytest.raises(ClientGone):
        await asked.wait()


async def test_a_failure_between_two_waits_ends_the_next() -> None:
    asked = exchange()
    asyncio.get_running_loop().call_soon(asked.wake, "slot")
    assert await asked.wait() == "slot"
    asked.fail(ClientGone())
    with pytest.raises(ClientGone):
        await asked.wait()


async def test_a_failure_after_the_wait_was_ended_is_not_lost() -> None:
    asked = exchange()
    loop = asyncio.get_running_loop()
    loop.call_soon(asked.wake, "slot")
    loop.call_soon(asked.fail, ClientGone())
    assert await asked.wait() == "slot"
    await asyncio.sleep(0)
    assert isinstance(asked.failure, ClientGone)


def test_waking_one_that_does_not_wait_does_nothing() -> None:
    asked = exchange()
    asked.wake("early")
    assert asked.failure is None


def test_a_declared_body_over_the_limit_is_refused_before_it_comes() -> None:
    made = request("POST / HTTP/1.1", "Content-Length: 11")
    made.body = Body(Client())
    asked = exchange(made)
    with pytest.raises(EdgeError) as refusal:
        asked.assign(service(), revision(max_body=10), tagged=False)
    assert refusal.value.status == 413
    asked.assign(service(), revision(max_body=0), tagged=False)


@pytest.mark.parametrize("on_disconnect", OnDisconnect)
def test_one_that_was_not_sent_never_outlives_its_client(on_disconnect: OnDisconnect) -> None:
    asked = exchange()
    asked.assign(service(), revision(on_disconnect=on_disconnect), tagged=False)
    assert not asked.outlives_client
    asked.client_left()
    assert isinstance(asked.failure, ClientGone)
