"""What the router asks of the world, and what the world may tell it.

Everything here is a message: an immutable value, or a call that carries one and returns nothing. The other side may be
an object in this process, the parent of several workers, or a leader on another machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Clock(Protocol):
    """Seconds on a clock that never goes back; `time.monotonic`, or a test's own."""

    def __call__(self) -> float:
        """Return the present time."""


class UpstreamTls(NamedTuple):
    """How a replica is connected by TLS. `ca` is a PEM file of those who may have signed its certificate ("" = the
    system's), `name` what the certificate must be for ("" = the replica's host); with `verify` off neither counts."""

    verify: bool = True
    ca: str = ""
    name: str = ""


class Endpoint(NamedTuple):
    """A replica that may be sent requests: it answered its readiness probe and is not draining. A tuple, because it is
    looked up for every request."""

    replica: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class StartStatus:
    """What is known of the start that held requests wait for; told to callers in a 503.

    `phase` is one of: `asleep`, `pending`, `starting`, `failing`, `ready`. `failing` means that starts keep failing:
    those who wait are refused at once, and so is everyone until `retry_at` (clock seconds).
    """

    phase: str = "asleep"
    message: str = ""
    attempts: int = 0
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Replicas:
    """Snapshot of one revision's capacity. It replaces the previous one whole. `tls` tells how replicas are connected,
    by their names; those that it does not have, by plain HTTP."""

    revision: str
    endpoints: tuple[Endpoint, ...] = ()
    start: StartStatus = StartStatus()
    tls: Mapping[str, UpstreamTls] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RevisionStats:
    """One revision's traffic since the last collection (normally one second), and its state now.

    `concurrency` is the time-weighted average number of requests over the period, held ones included; `requests` counts
    arrivals. `open` is the requests now, from the end of their head to the last byte of their response; `held` of them
    wait for a slot. `idle_since` is when the last one ended (clock seconds): None while one is open, and for a revision
    that never had one. `tagged_since` is the same for those that came by tag. `busy` gives the requests running per
    replica, replicas without any left out.
    """

    concurrency: float = 0.0
    requests: int = 0
    open: int = 0
    held: int = 0
    idle_since: float | None = None
    tagged_open: int = 0
    tagged_since: float | None = None
    busy: Mapping[str, int] = field(default_factory=dict)


class Waker(Protocol):
    """Asked for capacity by a request that found none."""

    def wake(self, revision: str) -> None:
        """Say that a request is held for `revision`, which has no endpoint. Returns at once; may be repeated."""
