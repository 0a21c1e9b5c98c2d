"""What every scaler is: it makes replicas of a revision exist, and says in snapshots what has become of them.

A scaler owns the life of a replica: starting, probing, replacing after a crash, draining. It decides no numbers. It
takes idle replicas first, publishes a replica as draining before it waits for its requests, and ends it only after the
last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from router.ports import RevisionStats, UpstreamTls


class Phase(StrEnum):
    """Where a replica is in its life."""

    PENDING = "pending"  # it cannot start yet (no GPU, no node); start clocks are paused
    STARTING = "starting"  # it runs, and has not yet answered its readiness probe
    READY = "ready"
    DRAINING = "draining"  # it gets no new request, and keeps those it has


UNREADY = (Phase.PENDING, Phase.STARTING)


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica. `since` is when it came into its phase (clock seconds); `host`/`port` are set once it has an
    address. `tls` is how it was started to be connected, None = plain HTTP. `vacant` = it was ordered, and nothing
    of it exists yet."""

    name: str
    phase: Phase
    since: float
    host: str = ""
    port: int = 0
    message: str = ""
    tls: UpstreamTls | None = None
    vacant: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """Snapshot of one revision's replicas, replaced whole.

    `desired` is what was last asked for. `failures` counts starts that failed since the last replica became ready;
    `last_failure` tells the last one in a sentence (with the process's last words); `retry_at` is when the next start
    will be tried, in clock seconds, None when none is pending. `doomed` = starting again cannot help (no such command).
    `room` is how many replicas the GPUs allow, None = no bound is known. `rivals` are the revisions whose end would
    make room for a replica that is PENDING. `edition` is another number once what is run has changed: starts that
    failed before say nothing of it.
    """

    revision: str
    desired: int = 0
    replicas: tuple[Replica, ...] = ()
    failures: int = 0
    last_failure: str = ""
    retry_at: float | None = None
    doomed: bool = False
    room: int | None = None
    rivals: frozenset[str] = frozenset()
    edition: int = 0

    def count(self, phase: Phase) -> int:
        """Return how many replicas are in `phase`."""
        return sum(replica.phase is phase for replica in self.replicas)


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """How to run one replica of a revision. Times in seconds, sizes in bytes.

    It is ready when GET `readiness_path` answers 200, asked every `startup_period` until then and every `probe_period`
    afterwards; `failure_threshold` failed probes in a row take it out of service until it answers again. `tls` is how
    it is connected, None = plain HTTP.

    Either it is a process: the command runs without a shell in `directory`, with `env` over the edge's own environment
    and with HOST, PORT and REPLICA set. SIGTERM ends it, SIGKILL follows after `termination_grace`.

    Or it is a pod of the Deployment of the revision's name, reached at `port` (0 = its containerPort); a
    readiness path of "" is that of its readiness probe. `drain_timeout` bounds how long one that is to go may take to
    end its requests, 0 = as long as they take.
    """

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path = Path()
    readiness_path: str = "/"
    startup_period: float = 0.02
    probe_period: float = 10.0
    probe_timeout: float = 1.0
    failure_threshold: int = 3
    termination_grace: float = 30.0
    log_bytes: int = 10 << 20
    tls: UpstreamTls | None = None
    port: int = 0
    drain_timeout: float = 0.0


class Routing(Protocol):
    """What a scaler may ask of the router before it ends a replica."""

    def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return the requests running on each replica of `revision`; a replica not named has none."""

    def look(self, revision: str) -> RevisionStats:
        """Return the state of `revision` now: how many requests are held for it."""

    async def drained(self, revision: str, replica: str) -> None:
        """Return once `replica`, already published as draining, has no request left."""


Listener = Callable[[ReplicaSet], None]


class Scaler(Protocol):
    """Makes the number of replicas of a revision what it was last told."""

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every new snapshot, in the loop turn in which it comes about."""

    def declare(self, specs: Mapping[str, ReplicaSpec]) -> None:
        """Replace the known revisions whole. A revision no longer named is drained to zero; a changed spec counts for
        replicas started from now on."""

    def replicas(self, revision: str) -> ReplicaSet:
        """Return the present snapshot of `revision` (an empty one when it is unknown)."""

    def scale(self, revision: str, replicas: int) -> None:
        """Ask for `replicas` >= 0 of `revision` and return at once; the first start is under way in this loop turn.
        ValueError for an unknown revision or a negative number."""

    async def close(self, *, drain: float) -> None:
        """Drain all replicas for at most `drain` seconds, then end them; return when none is left."""
