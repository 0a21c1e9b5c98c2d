"""What counts as everyone's word: of each snapshot its own, and of each replica that leaves its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from activator.peers.account import Account
from activator.peers.agreement import Agreement
from tests.router.fakes import replicas

if TYPE_CHECKING:
    from activator.peers import messages as m
    from router.ports import Replicas

NAME = "a-1"


class Told:
    """A way on which nothing is lost."""

    def __init__(self) -> None:
        self.versions: list[int] = []

    def send(self, message: m.Message) -> None:
        self.versions.append(cast("m.Snapshot", message).version)


def joined(*told: Told) -> list[Account]:
    return [Account(line, number) for number, line in enumerate(told)]


def some(count: int) -> Replicas:
    return replicas(count, NAME)


def test_a_word_on_a_former_snapshot_is_none_on_the_next() -> None:
    agreement, told = Agreement(), Told()
    accounts = joined(told)
    agreement.announce(some(1), accounts)
    agreement.restrict(NAME, 10.0, accounts)
    first, strict = told.versions
    agreement.applied(accounts[0], NAME, first)
    assert not agreement.is_confirmed(NAME)
    agreement.applied(accounts[0], NAME, strict)
    assert agreement.is_confirmed(NAME)


async def test_a_replica_waits_for_the_word_of_all_on_itself() -> None:
    agreement, told = Agreement(), Told()
    accounts = joined(told, Told())
    agreement.announce(some(3), accounts)
    agreement.announce(some(1), accounts)
    one, other = some(3).endpoints[1].replica, some(3).endpoints[2].replica
    leaves = asyncio.ensure_future(agreement.drained(NAME, one))
    for account, replica in ((accounts[0], other), (accounts[1], other), (accounts[0], one)):
        agreement.has_drained(account, NAME, replica, told.versions[-1])
    await asyncio.sleep(0)
    assert not leaves.done()
    agreement.has_drained(accounts[1], NAME, one, told.versions[-1])
    await asyncio.wait_for(leaves, 1)


def test_a_word_on_a_revision_that_is_forgotten_is_no_error() -> None:
    agreement = Agreement()
    (account,) = joined(Told())
    agreement.applied(account, NAME, 1)
    agreement.has_drained(account, NAME, "", 1)
    assert agreement.is_confirmed(NAME)
