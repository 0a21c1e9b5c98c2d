"""The owner of admission: it has the queues of all revisions, and stands for all claimers together towards the loop and
the scaler.

A claim of another process waits in the same queue as any request would, with the same limits, order and errors. What a
claimer was granted is on its account; when it is lost, all of it comes back at once.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from activator.peers import messages as m
from activator.peers.account import Account, Claim
from activator.peers.agreement import Agreement
from activator.peers.tally import Tally
from router.concurrency import later
from router.counters import Counters
from router.errors import EdgeError
from router.ports import RevisionStats
from router.queues import Queues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from router.ports import Clock, Replicas, Waker
    from router.table import Revision, Table

STRICT_SECONDS = 1.0


class Owner:
    """Admission for claimers, each known by its account. They told of what was `dropped`, of `defects` and `stalls`."""

    def __init__(self, waker: Waker, clock: Clock) -> None:
        self.queues = Queues(waker, clock)
        self.counters = Counters(clock)
        self.accounts: list[Account] = []
        self.dropped = 0
        self.defects = 0
        self.stalls = 0
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self._agreement = Agreement()
        self._changed: set[str] = set()  # revisions for which others may wait than was told
        self._told: set[tuple[Account, str]] | None = None  # before the slots that are granted together

    # towards the loop and the scaler: what one process would be

    def replace_table(self, table: Table) -> None:
        """Serve by a new table from now on. Claimers must have been told it before."""
        shares = [share for service in table.services for share in service.shares]
        revisions = {share.revision.name: share.revision for share in shares}
        self.queues.wakes.limit = table.limits.max_wakes
        tighter = self._tighter(revisions)
        self.counters.replace(revisions.values(), in_use=self.queues)
        for name in tighter:
            self.queues[name].closed = True
        revived = self.queues.retired & revisions.keys()
        with self._together():
            self.queues.replace(revisions, shares)
        now = self._clock()
        for name in self.queues:
            self._tallies.setdefault(name, Tally(now))
        for name in tighter | self.queues.retired:  # of what has left no slot is kept: it would be forgotten with it
            until = math.inf if name in self.queues.retired else now + STRICT_SECONDS
            self._agreement.restrict(name, until, self.accounts, anew=True)
        for name in revived - tighter:
            self._agreement.restrict(name, now + STRICT_SECONDS, self.accounts)
            self._agreement.repeat(name, self.accounts)  # who ran nothing of it has forgotten all about it
        self._open_confirmed()
        self._recall_all()

    def update(self, replicas: Replicas) -> None:
        """Take a new capacity snapshot of one revision: tell all claimers, then send on those who wait."""
        if replicas.revision not in self.queues:
            return
        self._agreement.announce(replicas, self.accounts)
        with self._together():
            self.queues.take_snapshot(replicas)
            self._changed.add(replicas.revision)

    def collect(self) -> Mapping[str, RevisionStats]:
        """Return what was counted per revision since the last call."""
        now = self._clock()
        return {name: self._stats(name, *tally.collect(now)) for name, tally in self._tallies.items()}

    def look(self, revision: str) -> RevisionStats:
        """Return the state of `revision` now, without what was counted in the period."""
        return self._stats(revision, 0.0, 0) if revision in self._tallies else RevisionStats()

    def settled(self, revision: str, then: Callable[[str], None]) -> bool:
        """Tell whether `look` sees every open request. If not, all claimers are asked to begin none on their own, and
        `then` is called with the revision when they have agreed."""
        return self._agreement.ask(revision, self._clock() + STRICT_SECONDS, self.accounts, then)

    def restore(self, revision: str, idle_since: float | None, tagged_since: float | None) -> None:
        """Continue the idle clocks of `revision` from an earlier run, or from another edge (clock seconds, None = never
        had a request). Where requests came here, too, the last one counts."""
        tally = self._tallies.get(revision)
        if tally is not None and not tally.open:
            tally.idle_since = later(tally.idle_since, idle_since)
            tally.tagged_since = later(tally.tagged_since, tagged_since)

    def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return the requests running on each replica of `revision`; a replica not named has none."""
        return self.look(revision).busy

    async def drained(self, revision: str, replica: str) -> None:
        """Return once `replica`, which is no endpoint any more, has no request left in any process."""
        await self._agreement.drained(revision, replica)

    def sweep(self) -> None:
        """Check all clocks; to be called a few times a second."""
        now = self._clock()
        self.queues.sweep(now, {name for name in self.queues.retired if self._in_use(name)})
        for name in self._tallies.keys() - self.queues.keys():
            del self._tallies[name]
            self.counters.forget(name)
        self._recall_all()
        self._agreement.keep(self.queues.keys())
        self._agreement.sweep(now, self.accounts)

    # towards claimers

    def join(self, account: Account) -> None:
        """Take a new claimer, which has been told the terms: tell it all capacity."""
        self.accounts.append(account)
        account.on_grant = partial(self._granted, account)
        for name in self.queues:
            self._agreement.repeat(name, (account,))

    def leave(self, account: Account) -> None:
        """Forget a claimer that was lost: what it held is free again, what it waited for is given up."""
        if account not in self.accounts:
            return
        self.accounts.remove(account)
        now = self._clock()
        for tally in self._tallies.values():
            tally.lose(account, now)
        with self._together():
            account.give_up()
            self._agreement.leave(account)
            self._open_confirmed()
            self._changed.update(self.queues)

    def hear(self, account: Account, *messages: m.ToOwner) -> None:
        """Take messages of a claimer, which came together."""
        with self._together():
            for message in messages:
                self._take(account, message)

    def _take(self, account: Account, message: m.ToOwner) -> None:  # noqa: C901 - one line a message
        match message:
            case m.Claim():
                self._changed.add(message.revision)
                self._claim(account, message)
            case m.Release():
                self._changed.add(message.revision)
                account.release(message.revision, message.endpoint, message.slots)
            case m.Occupy():
                if (queue := self.queues.get(message.revision)) is not None:
                    account.occupy(message.revision, queue.slots_of(message.endpoint), message.slots)
            case m.Withdraw():
                if (claim := account.waiting.get(message.claim)) is not None:
                    self._changed.add(claim.revision)
                    account.withdraw(message.claim)
            case m.Count():
                self._count(account, message)
            case m.Beat():
                self.counters.refusals.update(message.refusals)
                self.dropped += message.dropped
                self.defects += message.defects
                self.stalls += message.stalls
            case m.Applied():
                self._agreement.applied(account, message.revision, message.version)
                self._open_confirmed()
            case m.Drained():
                self._agreement.has_drained(account, message.revision, message.replica, message.version)
            case m.Avoid():
                account.avoid(message.revision, message.endpoint, message.seconds)
            case m.Poke():
                self._wake(account, message.revision)

    def _wake(self, account: Account, revision: str) -> None:
        """Wake a revision for a request whose body is coming, or say at once why not: the body need not come then."""
        if revision not in self.queues or revision in self.queues.retired:
            return  # it has left the table, as the claimer will hear
        try:
            self.queues.wake(revision)
        except EdgeError as error:
            account.line.send(m.Bar(revision, error.reason, error.message, error.retry_after))

    def _tighter(self, revisions: Mapping[str, Revision]) -> set[str]:
        """Return the revisions whose limit gets lower than it was. Claimers may have more than that, and some of it by
        their own choice, so nothing is granted before all have told."""
        return {
            name
            for name, queue in self.queues.items()
            if name in revisions and _room(queue.revision) > _room(revisions[name])
        }

    def _open_confirmed(self) -> None:
        for name, queue in self.queues.items():
            if queue.closed and self._agreement.is_confirmed(name):
                queue.closed = False
                queue.refresh(self._clock())
                self._recall(name, self.accounts)

    def _in_use(self, name: str) -> bool:
        """Tell whether a request may run of a revision that has left the table."""
        return self._tallies[name].open > 0 or not self._agreement.is_confirmed(name)

    def _claim(self, account: Account, message: m.Claim) -> None:
        queue = self.queues.get(message.revision)
        if queue is None or message.revision in self.queues.retired:
            account.line.send(m.Move(message.claim))
            return
        slots = queue.take()
        if slots is not None:
            account.grant(message, slots)
            return
        Claim(message, account, queue).enter(self._clock())

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Tell who waits once for all that comes together, when that is done."""
        before, self._told = self._told, set()
        try:
            yield
        finally:
            self._told = before
        for name in list(self._changed):
            self._recall(name, self.accounts)

    def _granted(self, account: Account, revision: str) -> None:
        """Tell who else waits before a slot is granted: of several that come together, before each claimer's first, and
        then after the last."""
        if self._told is None:
            self._recall(revision, self.accounts)
            return
        if (account, revision) not in self._told:
            self._told.add((account, revision))
            self._recall(revision, (account,))
        self._changed.add(revision)

    def _recall(self, revision: str, accounts: Iterable[Account]) -> None:
        """Have claimers give back a slot for each who waits at another one. What is under way counts for all, so more
        may come back than is needed, but nobody waits for a slot that is spare."""
        self._changed.discard(revision)
        queue = self.queues.get(revision)
        if queue is not None and queue.revision.limits.container_concurrency:
            most = max([each.has(revision) for each in self.accounts], default=0)
            first = sorted(
                (arrived, each.number) for each in self.accounts for arrived in each.first_of(revision, most)
            )
            for account in accounts:
                account.recall(revision, (arrived for arrived, number in first if number != account.number))

    def _recall_all(self) -> None:
        for name in self.queues:
            self._recall(name, self.accounts)

    def _count(self, account: Account, count: m.Count) -> None:
        tally = self._tallies.get(count.revision)
        if tally is None:
            return
        tally.add(account, count)
        counters = self.counters.revisions.get(count.revision)
        if counters is not None:
            counters.add(count.reasons, count.durations, count.holds)
            counters.fallbacks += count.fallbacks
            if counters.tally is not None and count.tally is not None:
                counters.tally.merge(*count.tally)

    def _stats(self, name: str, concurrency: float, requests: int) -> RevisionStats:
        queue, tally = self.queues[name], self._tallies[name]
        granted = Counter(queue.in_flight()) if self._agreement.is_strict(name) else Counter[str]()
        stats = tally.stats(concurrency, requests, queue.held, queue.held + granted.total())
        return replace(stats, busy=Counter(stats.busy) | granted) if granted else stats


def _room(revision: Revision) -> float:
    return revision.limits.container_concurrency or math.inf
