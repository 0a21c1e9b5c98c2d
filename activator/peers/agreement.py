"""What all claimers have agreed to: the capacity each has been told, and what each has confirmed.

Two things need everyone's word. A replica may end when every claimer has confirmed a snapshot without it and has
nothing left there. And the last replica of a revision may only go when nobody begins requests unseen: so claimers are
told to choose nothing themselves (a *strict* snapshot), and when all have confirmed that, the owner sees everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.peers import messages as m
from router.ports import Replicas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from activator.peers.account import Account


class Departure:
    """A replica that left with the snapshot `version`; `pending` are those who have not told that it is drained."""

    def __init__(self, version: int, pending: Iterable[Account]) -> None:
        self.version = version
        self.pending = set(pending)
        self.over = asyncio.Event()


class Terms:
    """What is agreed about one revision. Claimers may choose themselves while `strict_until` is None; `pending` are
    those who have not confirmed that they do not; `then` is who wants to know when they all have."""

    def __init__(self, revision: str) -> None:
        self.replicas = Replicas(revision)
        self.version = 0
        self.strict_until: float | None = None
        self.strict_version = 0
        self.pending: set[Account] = set()
        self.then: Callable[[str], None] | None = None
        self.departures: dict[str, Departure] = {}

    @property
    def strict(self) -> bool:
        """Whether every request is a claim."""
        return self.strict_until is not None

    def snapshot(self) -> m.Snapshot:
        """Return what a claimer is told."""
        replicas = self.replicas
        return m.Snapshot(
            version=self.version,
            revision=replicas.revision,
            endpoints=replicas.endpoints,
            ending=tuple(self.departures),
            start=replicas.start,
            tls=dict(replicas.tls),
            free=not self.strict,
        )

    def check(self) -> None:
        """Take note of the departures of which the last has told."""
        for name, departure in list(self.departures.items()):
            if not departure.pending:
                self.departures.pop(name).over.set()


class Agreement:
    """The terms of all revisions. `version` is that of the last snapshot, of a former agreement at first: what was
    confirmed of that one counts no more."""

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self._terms: dict[str, Terms] = {}

    def is_strict(self, revision: str) -> bool:
        """Tell whether claimers were told to choose nothing themselves."""
        terms = self._terms.get(revision)
        return terms is not None and terms.strict

    def is_confirmed(self, revision: str) -> bool:
        """Tell whether all claimers have confirmed what they were last asked to."""
        terms = self._terms.get(revision)
        return terms is None or not terms.pending

    def announce(self, replicas: Replicas, accounts: Collection[Account]) -> None:
        """Tell all claimers the capacity of a revision, if it is another than before."""
        terms = self._terms.setdefault(replicas.revision, Terms(replicas.revision))
        if replicas == terms.replicas:
            return
        names = {endpoint.replica for endpoint in replicas.endpoints}
        gone = {endpoint.replica for endpoint in terms.replicas.endpoints} - names
        terms.replicas = replicas
        self._send(terms, accounts)
        for name in names & terms.departures.keys():
            terms.departures.pop(name).over.set()
        terms.departures.update({name: Departure(terms.version, accounts) for name in gone})
        terms.check()

    def restrict(self, revision: str, until: float, accounts: Collection[Account], *, anew: bool = False) -> Terms:
        """Have every request of a revision be a claim, at least until that time. With `anew` all are to confirm it once
        more, after what they were told before."""
        terms = self._terms.setdefault(revision, Terms(revision))
        was_free, terms.strict_until = not terms.strict, until
        if was_free or anew:
            terms.pending = set(accounts)
            self._send(terms, accounts)
            terms.strict_version = terms.version
        return terms

    def ask(self, revision: str, until: float, accounts: Collection[Account], then: Callable[[str], None]) -> bool:
        """Tell whether all have confirmed that every request of a revision is a claim; if not, `then` is called with
        the revision once they have."""
        terms = self.restrict(revision, until, accounts)
        terms.then = then if terms.pending else None
        return not terms.pending

    def free(self, revision: str, accounts: Collection[Account]) -> None:
        """Let claimers of a revision choose again, whoever has yet to confirm that they do not: nobody wants to know
        any more."""
        terms = self._terms.get(revision)
        if terms is not None and terms.strict:
            terms.strict_until = terms.then = None
            terms.pending.clear()
            self._send(terms, accounts)

    def sweep(self, now: float, accounts: Collection[Account]) -> None:
        """Let claimers choose again where that was restricted for long enough."""
        for name, terms in self._terms.items():
            if terms.strict_until is not None and terms.strict_until <= now and not terms.pending:
                self.free(name, accounts)

    def keep(self, revisions: Collection[str]) -> None:
        """Forget the terms of all other revisions of which no replica is awaited."""
        for name in self._terms.keys() - set(revisions):
            if not self._terms[name].departures:
                del self._terms[name]

    def repeat(self, revision: str, accounts: Iterable[Account]) -> None:
        """Tell claimers the capacity of a revision, of which they may know nothing."""
        terms = self._terms.get(revision)
        if terms is not None:
            self._tell(terms, accounts)

    def applied(self, account: Account, revision: str, version: int) -> None:
        """Take note that a claimer has confirmed a snapshot."""
        terms = self._terms.get(revision)
        if terms is not None and version >= terms.strict_version:
            self._confirm(terms, account)

    def has_drained(self, account: Account, revision: str, replica: str, version: int) -> None:
        """Take note that a replica, or any if it is "", runs nothing of a claimer any more."""
        terms = self._terms.get(revision)
        if terms is None:
            return
        for name, departure in terms.departures.items():
            if replica in {name, ""} and version >= departure.version:
                departure.pending.discard(account)
        terms.check()

    async def drained(self, revision: str, replica: str) -> None:
        """Return when a replica that has left runs nothing of anyone any more."""
        terms = self._terms.get(revision)
        departure = terms.departures.get(replica) if terms is not None else None
        if departure is not None:
            await departure.over.wait()

    def replace(self, former: Account, account: Account) -> None:
        """Wait for a claimer that is back in place of what it was; it is told all capacity next."""
        for terms in self._terms.values():
            for pending in (terms.pending, *(departure.pending for departure in terms.departures.values())):
                if former in pending:
                    pending.remove(former)
                    pending.add(account)

    def leave(self, account: Account) -> None:
        """Wait for a claimer no more."""
        for terms in list(self._terms.values()):
            for departure in terms.departures.values():
                departure.pending.discard(account)
            terms.check()
            self._confirm(terms, account)

    def _confirm(self, terms: Terms, account: Account) -> None:
        terms.pending.discard(account)
        if terms.then is not None and not terms.pending:
            then, terms.then = terms.then, None
            then(terms.replicas.revision)

    def _send(self, terms: Terms, accounts: Iterable[Account]) -> None:
        self.version += 1
        terms.version = self.version
        self._tell(terms, accounts)

    def _tell(self, terms: Terms, accounts: Iterable[Account]) -> None:
        snapshot = terms.snapshot()
        for account in accounts:
            account.line.send(snapshot)
