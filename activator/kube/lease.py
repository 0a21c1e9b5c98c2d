"""Who leads, by a Lease (coordination.k8s.io/v1), as client-go's leader election does it: one edge decides for all.

What is written in a Lease as time is told by somebody else's clock, and is never compared with ours. A candidate
measures by its own clock for how long the Lease has not changed; a leader counts from before it sent its last renewal,
and has stopped being one when RENEW_DEADLINE has passed, whether it had occasion to notice or not: `leads` is computed,
not remembered. So one that was frozen for a minute is no leader in its first breath.

kubernetes-asyncio has leader election, too; it goes by the wall clock, keeps a leader acting until it notices that it
is none, and never releases the Lease.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from activator.kube.errors import CONFLICT, NOT_FOUND, ApiError, UnreachableError
from activator.kube.resources import LEASES, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.kube.client import Client
    from activator.kube.resources import Object

LEASE_DURATION = 15.0
RENEW_DEADLINE = 10.0
AFTERWARDS = LEASE_DURATION - RENEW_DEADLINE  # in which nobody else can lead: what a leader began must have ended
RETRY_PERIOD = 2.0
WITHIN = 6.0  # one call: renewing takes one, also when the API server takes seconds for it
RELEASED = 1  # leaseDurationSeconds of a Lease that was given up: it may not be 0


def boot_clock() -> float:
    """Return seconds since the machine was started, its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease as it was last seen to change, at clock second `at`."""

    version: str
    holder: str
    duration: float
    at: float


class Candidate:
    """One that leads, or would. Pure: it is told what was read and written, and says what to write.

    `identity` must be unique. All times are clock seconds.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._seen: Seen | None = None
        self._renewed: float | None = None

    def leads(self, now: float) -> bool:
        """Tell whether this one may act as the leader at `now`."""
        return self._renewed is not None and now < self._renewed + RENEW_DEADLINE

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen, "" for nobody."""
        return self._seen.holder if self._seen else ""

    def look(self, lease: Object | None, now: float) -> bool:
        """Take note of the Lease as it was read (None = there is none); tell whether to write it now."""
        if lease is None:
            self._seen = self._renewed = None
            return True
        spec = lease.get("spec") or {}
        version, holder = version_of(lease), str(spec.get("holderIdentity") or "")
        if holder != self.identity:
            self._renewed = None
        if self._seen is None or self._seen.version != version:
            self._seen = Seen(version, holder, _seconds(spec), now)
        return not holder or holder == self.identity or now >= self._seen.at + self._seen.duration

    def claim(self, lease: Object | None, namespace: str, name: str, wall: float) -> Object:
        """Return the Lease as this one writes it: with the resourceVersion that was read, so that of several who try at
        once only one succeeds."""
        spec = dict((lease or {}).get("spec") or {})
        stamp = _stamp(wall)
        mine = spec.get("holderIdentity") == self.identity
        written = {
            **spec,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(LEASE_DURATION),
            "acquireTime": spec.get("acquireTime", stamp) if mine else stamp,
            "renewTime": stamp,
            "leaseTransitions": _whole(spec.get("leaseTransitions")) + (not mine and lease is not None),
        }
        return _lease(lease, namespace, name, written)

    def wrote(self, lease: Object, sent: float, now: float) -> None:
        """Take note that `claim` was accepted; it was sent at `sent`."""
        self._seen = Seen(version_of(lease), self.identity, LEASE_DURATION, now)
        self._renewed = sent

    def release(self, lease: Object, namespace: str, name: str, wall: float) -> Object:
        """Return the Lease given up, and lead no more: the next one need not wait."""
        self._renewed = None
        stamp = _stamp(wall)
        spec = {"holderIdentity": "", "leaseDurationSeconds": RELEASED, "acquireTime": stamp, "renewTime": stamp}
        written = {**(lease.get("spec") or {}), **spec}
        return _lease(lease, namespace, name, written)


class Election:
    """Keeps a candidate at it. `on_change` is called with whether it leads, whenever that has changed,
    `on_trouble` with why the Lease can be neither read nor written, once until it can.

    `clock` must go on while the machine sleeps; `wall` gives Unix seconds, which are only written.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = boot_clock,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.candidate = Candidate(identity)
        self.on_change: Callable[[bool], None] | None = None
        self.on_trouble: Callable[[str], None] | None = None
        self._troubled = False
        self._client = client
        self._name = name
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._led = False
        self._closed = False
        self._busy = asyncio.Lock()
        self._last: Object | None = None

    def leads(self) -> bool:
        """Tell whether this one may act as the leader, now. To be asked anew before each act."""
        return self.candidate.leads(self._clock())

    async def run(self) -> None:
        """Try to lead, and go on leading, until cancelled or released."""
        while not self._closed:
            self._tell()
            try:
                async with self._busy:
                    await self._once()
                self._troubled = False
            except (ApiError, UnreachableError) as error:
                self._complain(error)
            self._tell()
            await asyncio.sleep(self._pause())

    async def release(self) -> None:
        """Stand no more, and give the Lease up if it is held: whoever comes next need not wait for it to expire."""
        self._closed = True
        async with self._busy:
            try:
                if self.leads():
                    await self._give_up()
            except (ApiError, UnreachableError) as error:
                self._complain(error)
        self._tell()

    async def _give_up(self) -> None:
        lease = await self._client.get(LEASES, self._name, within=WITHIN)
        self.candidate.look(lease, self._clock())
        if self.candidate.holder == self.candidate.identity:
            given_up = self.candidate.release(lease, self._client.namespace, self._name, self._wall())
            await self._client.replace(LEASES, self._name, given_up, within=WITHIN)

    async def _once(self) -> None:
        if self.leads() and self._last is not None and await self._write(self._last):
            return
        lease = await self._read()
        if self.candidate.look(lease, self._clock()):
            await self._write(lease)

    async def _write(self, lease: Object | None) -> bool:
        """Claim the Lease as it was last known; tell whether nobody else was faster."""
        sent = self._clock()
        body = self.candidate.claim(lease, self._client.namespace, self._name, self._wall())
        try:
            if lease is None:
                self._last = await self._client.create(LEASES, body, within=WITHIN)
            else:
                self._last = await self._client.replace(LEASES, self._name, body, within=WITHIN)
        except ApiError as error:
            if error.status not in {CONFLICT, NOT_FOUND}:
                raise
            return False
        self.candidate.wrote(self._last, sent, self._clock())
        return True

    async def _read(self) -> Object | None:
        try:
            return await self._client.get(LEASES, self._name, within=WITHIN)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def _pause(self) -> float:
        """Return the seconds until the next attempt: those who wait spread theirs, as client-go's do."""
        return RETRY_PERIOD if self.leads() else RETRY_PERIOD * (1 + 0.2 * self._jitter())

    def _complain(self, error: ApiError | UnreachableError) -> None:
        if not self._troubled and self.on_trouble is not None:
            self.on_trouble(str(error))
        self._troubled = True

    def _tell(self) -> None:
        leads = self.leads()
        if leads != self._led:
            self._led = leads
            if self.on_change is not None:
                self.on_change(leads)


def _lease(lease: Object | None, namespace: str, name: str, spec: dict[str, Any]) -> Object:
    metadata = dict((lease or {}).get("metadata") or {"name": name, "namespace": namespace})
    return {"apiVersion": LEASES.version, "kind": "Lease", "metadata": metadata, "spec": spec}


def _seconds(spec: dict[str, Any]) -> float:
    return float(_whole(spec.get("leaseDurationSeconds"))) or LEASE_DURATION


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _stamp(wall: float) -> str:
    """Return a MicroTime (RFC 3339 with microseconds)."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
