"""What can be told of a running edge: one view per revision, from which the admin API and the metrics are written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from activator.coldstarts import PHASES, ColdStarts
from activator.deaths import Deaths
from activator.lifecycle import present
from router.counters import RevisionCounters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from activator.deaths import Death
    from activator.front import Health, PeerFacts, Router
    from activator.loop import Loop
    from activator.revision import Record
    from activator.rollouts import Rollouts
    from activator.scalers.base import ReplicaSet, Scaler
    from activator.stalls import Stalls
    from activator.usage import Ledger, Row
    from router.counters import Histogram
    from router.ports import Clock, RevisionStats, StartStatus
    from router.table import Service, Share


@dataclass(frozen=True, slots=True)
class RevisionView:
    """One revision as it is now. Times are clock seconds."""

    namespace: str
    service: str
    revision: str
    percent: int
    tag: str | None
    replicas: ReplicaSet
    start: StartStatus
    stats: RevisionStats
    record: Record | None
    reasons: Mapping[str, int]
    durations: Mapping[int, Histogram]
    holds: Histogram
    cold_starts: Mapping[str, Histogram]
    last_cold_start: float | None
    died: Death | None
    usage: Row
    pokes: int
    metric: str
    target: float

    @property
    def wanted(self) -> int:
        """What the last decision wanted, before bounds."""
        return self.record.outcome.decision.desired if self.record else 0

    @property
    def stable(self) -> float:
        """The stable average at the last decision."""
        return self.record.outcome.decision.stable if self.record else 0.0

    @property
    def panic(self) -> float:
        """The panic average at the last decision."""
        return self.record.outcome.decision.panic if self.record else 0.0

    @property
    def excess(self) -> int:
        """The excess burst capacity at the last decision."""
        return self.record.outcome.decision.excess_burst_capacity if self.record else 0

    @property
    def panicking(self) -> bool:
        """Whether the last decision was in panic mode."""
        return self.record is not None and self.record.outcome.decision.panicking


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What an edge on Kubernetes can tell beside: whether it leads, mistakes by Deployment, calls to the API server by
    (verb, resource, status), and Events that were withheld or lost. By Deployment, how often another writer of replicas
    was corrected, and whether it has its way; by kind of objects, whether they are up to date."""

    leads: bool
    problems: Mapping[str, int]
    calls: Mapping[tuple[str, str, int], int]
    withheld: int
    lost: int
    corrections: Mapping[str, int] = field(default_factory=dict)
    contested: Mapping[str, bool] = field(default_factory=dict)
    watches: Mapping[str, bool] = field(default_factory=dict)


class Insight:
    """Reads all parts of a running edge; changes none."""

    def __init__(
        self,
        parts: tuple[Router, Loop, Scaler, Ledger, Rollouts],
        clock: Clock,
        health: Callable[[], Health],
        stalls: Stalls,
    ) -> None:
        self.router, self.loop, self.scaler, self.ledger, self.rollouts = parts
        self.clock = clock
        self.health = health
        self.stalls = stalls
        self.cold_starts = ColdStarts()
        self.deaths = Deaths()
        self.services: tuple[Service, ...] = ()
        self.namespace = "local"
        self.cluster: Callable[[], ClusterFacts] | None = None
        self.peers: Callable[[], PeerFacts] | None = None
        self.expiries: Callable[[], Mapping[str, float]] = dict  # of certificates by file, in Unix seconds
        self.saved: Callable[[], bool] = lambda: True  # what must survive a restart
        self.logs: Callable[[str], str] | None = None  # the directory with those of a revision's replicas
        self.reloads = 0
        self.reload_failures = 0
        self.config_problems: tuple[str, ...] = ()  # for which the configuration that is there now was refused
        self.restart_keys: list[str] = []  # of which the configuration says what is not in force
        self.defects = 0
        self.ready = False

    @property
    def config_valid(self) -> bool:
        """Whether the configuration that is there now is the one in force."""
        return not self.config_problems

    def troubles(self) -> list[str]:
        """Return what is wrong with the edge itself, in sentences."""
        told = [f"configuration refused, and what was in force stays: {each}" for each in self.config_problems]
        if self.restart_keys:
            told.append(f"these keys need a restart, and what was in force stays: {', '.join(self.restart_keys)}")
        return told if self.saved() else [*told, "state cannot be saved: the log of the edge tells why"]

    def saw(self, replicas: ReplicaSet) -> None:
        """Take a snapshot of the scaler's."""
        now = self.clock()
        self.cold_starts.see(replicas, now)
        self.deaths.see(replicas, now)

    def keep(self, revisions: Collection[str]) -> None:
        """Forget all revisions but these."""
        self.cold_starts.keep(revisions)
        self.deaths.keep(revisions)

    def refusals(self) -> Counter[str]:
        """Return the edge's own answers by reason, over all revisions and what never reached one."""
        total = Counter(self.router.counters.refusals)
        for reasons in self.reasons().values():
            total.update(reasons)
        return total

    def reasons(self) -> dict[str, Counter[str]]:
        """Return the edge's own answers by revision and reason."""
        return {name: counters.reasons for name, counters in self.router.counters.revisions.items()}

    def names(self) -> list[str]:
        """Return the names of all services that have revisions, in order."""
        return sorted({revision.plan.service for revision in self.loop.revisions.values()})

    def revisions(self, service: str | None = None) -> list[RevisionView]:
        """Return a view of every revision, or of one service's."""
        names = [name for name, revision in self.loop.revisions.items() if service in {None, revision.plan.service}]
        shares: dict[str, list[Share]] = {name: [] for name in names}
        for share in (share for each in self.services for share in each.shares):
            shares.setdefault(share.revision.name, []).append(share)
        return [self._view(name, shares[name]) for name in names]

    def records(self, service: str) -> list[tuple[str, Record]]:
        """Return the kept records of a service with their revisions, oldest first, the last 1,000."""
        revisions = [revision for revision in self.loop.revisions.values() if revision.plan.service == service]
        records = [(revision.plan.name, record) for revision in revisions for record in revision.records]
        return sorted(records, key=lambda pair: pair[1].at)[-1000:]

    def usage(self) -> list[dict[str, Any]]:
        """Return the ledger's rows."""
        return self.ledger.table()

    def _view(self, name: str, shares: list[Share]) -> RevisionView:
        revision = self.loop.revisions[name]
        counters = self.router.counters.revisions.get(name) or RevisionCounters(name, self.clock())
        replicas = self.scaler.replicas(name)
        cold = self.cold_starts.histograms
        return RevisionView(
            namespace=self.namespace,
            service=revision.plan.service,
            revision=name,
            percent=sum(share.percent for share in shares),
            tag=next((share.tag for share in shares if share.tag), None),
            replicas=replicas,
            start=present(revision.plan.bounds, revision.life, replicas, self.clock()).start,
            stats=self.router.look(name),
            record=revision.records[-1] if revision.records else None,
            reasons=counters.reasons,
            durations=counters.durations,
            holds=counters.holds,
            cold_starts={phase: cold[name, phase] for phase in PHASES if (name, phase) in cold},
            last_cold_start=self.cold_starts.last.get(name),
            died=self.deaths.last(name, self.clock()),
            usage=self.ledger.total(revision.plan.service, name),
            pokes=self.loop.pokes[name],
            metric=revision.plan.spec.metric,
            target=revision.plan.spec.target,
        )
