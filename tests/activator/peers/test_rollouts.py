"""A canary served by several processes: those who are held anywhere leave one that is cold, and what all of them have
counted is one comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from activator.peers import messages as m
from activator.peers.account import Account
from activator.peers.owner import Owner
from activator.peers.reporter import Reporter
from router.counters import Counters
from router.queues import Queues
from router.table import Limits, Revision, Service, Share, Table
from tests.router.fakes import Clock, Wakes, exchange, replicas, service

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITED = Limits(container_concurrency=1)
OLD, NEW = Revision("a-1", "a", LIMITED, compared=1), Revision("a-2", "a", LIMITED, compared=1)


class Line(list[m.Message]):
    def send(self, message: m.Message) -> None:
        self.append(message)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def owner(line: Line) -> Owner:
    owner = Owner(Wakes(), Clock())
    lead(owner, Share(OLD, 50), Share(NEW, 50, fallback=OLD))
    account = Account(line, 1)
    owner.join(account)
    return owner


def lead(owner: Owner, *shares: Share) -> None:
    owner.replace_table(Table((Service("a", ("a.example",), shares),)))


def said(line: Sequence[m.Message], *kinds: type[m.Message]) -> list[str]:
    return [type(message).__name__ for message in line if isinstance(message, kinds)]


async def test_a_claim_is_sent_back_when_the_last_replica_of_its_revision_is_lost(owner: Owner, line: Line) -> None:
    account = owner.accounts[0]
    owner.update(replicas(1, of="a-2"))
    owner.hear(account, m.Claim(1, "a-2", 1000.0, 0))
    owner.hear(account, m.Claim(2, "a-2", 1000.0, 0))
    line.clear()
    owner.update(replicas(0, of="a-2", phase="starting"))
    assert said(line, m.Snapshot, m.Move) == ["Snapshot", "Move"]
    assert line[-1] == m.Move(2)


async def test_and_when_it_has_lost_its_share(owner: Owner, line: Line) -> None:
    account = owner.accounts[0]
    owner.update(replicas(1, of="a-2"))
    for claim in (1, 2):
        owner.hear(account, m.Claim(claim, "a-2", 1000.0, 0))
    line.clear()
    lead(owner, Share(OLD, 100), Share(NEW, 0, fallback=OLD))
    assert line == [m.Move(2)]


def counted(owner: Owner) -> tuple[int, int, int]:
    counters = owner.counters.revisions["a-2"]
    assert counters.tally is not None
    return counters.tally.answered, counters.tally.failed, counters.fallbacks


async def test_what_all_claimers_counted_is_one_comparison(owner: Owner) -> None:
    clock = Clock()
    for _ in range(2):
        sent: list[m.ToOwner] = []
        counters, account = Counters(clock), Account(Line(), 1)
        counters.replace([OLD, NEW])
        reporter = _reporter(counters, sent, clock)
        for status in (200, 500):
            asked = exchange()
            asked.assign(service(), NEW, tagged=False)
            counters.enter(asked, clock.now)
            asked.status, asked.dispatched = status, clock.now
            counters.leave(asked, clock.now + 1)
        counters.revisions["a-2"].fallbacks = 3
        reporter.report_all()
        reporter.report_all()
        for message in sent:
            owner.hear(account, message)
    assert counted(owner) == (4, 2, 6)


async def test_requests_that_another_answered_are_told_of_even_when_nothing_else_is(owner: Owner) -> None:
    sent: list[m.ToOwner] = []
    counters = Counters(Clock())
    counters.replace([OLD, NEW])
    counters.revisions["a-2"].fallbacks = 1
    _reporter(counters, sent, Clock()).report_all()
    for message in sent:
        owner.hear(owner.accounts[0], message)
    assert counted(owner) == (0, 0, 1)


def _reporter(counters: Counters, sent: list[m.ToOwner], clock: Clock) -> Reporter:
    return Reporter(counters, Queues(Wakes(), clock), sent.append, clock)
