from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from router.errors import EdgeError, Reason
from router.exchange import ClientGone, Exchange
from tests.router.fakes import exchange

Ask = Callable[[Exchange], Awaitable[object]]


class Asked:
    """An exchange that waits for some things in turn; `told` is what it got until now."""

    def __init__(self, *asks: Ask) -> None:
        self.exchange = exchange()
        self.told: list[object] = []
        self.exchange.run(self._run(asks))

    async def _run(self, asks: tuple[Ask, ...]) -> None:
        for ask in asks:
            try:
                self.told.append(await ask(self.exchange))
            except (ClientGone, EdgeError) as error:
                self.told.append(type(error))


def wait(asked: Exchange) -> Awaitable[None]:
    return asked.wait()


async def test_it_runs_at_once_until_it_waits() -> None:
    async def pass_by(_: Exchange) -> str:
        return "at once"

    assert Asked(pass_by, wait, pass_by).told == ["at once"]


async def test_one_that_is_resumed_has_run_on_before_that_returns() -> None:
    asked = Asked(wait, wait)
    asked.exchange.resume()
    assert asked.told == [None]
    asked.exchange.resume()
    assert asked.told == [None, None]


async def test_one_that_is_woken_runs_on_in_the_next_turn() -> None:
    asked = Asked(wait, wait)
    asked.exchange.wake()
    assert asked.told == []
    await asyncio.sleep(0)
    assert asked.told == [None]


async def test_who_wakes_one_that_was_woken_already_ends_no_other_wait() -> None:
    asked = Asked(wait, wait)
    asked.exchange.wake()
    asked.exchange.wake()
    asked.exchange.resume()
    assert asked.told == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked.told == [None]


async def test_what_it_awaits_may_be_a_task() -> None:
    async def connect(_: Exchange) -> str:
        return await asyncio.get_running_loop().create_task(asyncio.sleep(0, "connected"))

    asked = Asked(connect, wait)
    asked.exchange.wake()
    assert asked.told == []
    for _ in range(5):
        await asyncio.sleep(0)
    assert asked.told == ["connected"]


async def test_the_first_failure_counts() -> None:
    asked = Asked(wait)
    asked.exchange.fail(ClientGone())
    asked.exchange.fail(EdgeError(Reason.HOLD_TIMEOUT, ""))
    await asyncio.sleep(0)
    assert asked.told == [ClientGone]


async def test_a_failure_while_nothing_is_awaited_ends_the_next_wait() -> None:
    async def fail(asked: Exchange) -> None:
        asked.fail(ClientGone())

    assert Asked(fail, wait).told == [None, ClientGone]


async def test_a_failure_in_the_turn_of_the_wake_is_not_lost() -> None:
    asked = Asked(wait)
    asked.exchange.wake()
    asked.exchange.fail(ClientGone())
    await asyncio.sleep(0)
    assert asked.told == [ClientGone]


async def test_a_failure_is_not_overtaken_by_what_was_waited_for() -> None:
    asked = Asked(wait)
    asked.exchange.fail(ClientGone())
    asked.exchange.resume()
    assert asked.told == []
    await asyncio.sleep(0)
    assert asked.told == [ClientGone]


@pytest.mark.parametrize("end", [Exchange.wake, Exchange.resume])
def test_ending_a_wait_of_one_that_does_not_wait_does_nothing(end: Callable[[Exchange], None]) -> None:
    asked = exchange()
    end(asked)
    assert asked.failure is None
