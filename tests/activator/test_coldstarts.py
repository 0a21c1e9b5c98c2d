from __future__ import annotations

from activator.coldstarts import PHASES, ColdStarts
from activator.scalers.base import Phase, Replica, ReplicaSet


def seen(*replicas: Replica) -> ReplicaSet:
    return ReplicaSet("m-1", len(replicas), replicas)


def replica(phase: Phase, port: int = 0, name: str = "m-1-1") -> Replica:
    return Replica(name, phase, 0.0, "127.0.0.1" if port else "", port)


def times(starts: ColdStarts, revision: str = "m-1") -> dict[str, float]:
    return {name: starts.histograms[revision, name].total for name in PHASES if (revision, name) in starts.histograms}


def test_a_cold_start_is_measured_by_phase() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.PENDING)), 10.0)
    starts.see(seen(replica(Phase.PENDING)), 12.0)
    starts.see(seen(replica(Phase.STARTING)), 13.0)
    starts.see(seen(replica(Phase.STARTING, 9000)), 15.0)
    starts.see(seen(replica(Phase.READY, 9000)), 20.0)
    assert times(starts) == {"pending": 2.0, "start": 3.0, "load": 5.0, "total": 10.0}
    assert starts.last == {"m-1": 10.0}


def test_a_replica_that_starts_at_once_was_never_pending() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING)), 0.0)
    starts.see(seen(replica(Phase.READY, 9000)), 4.0)
    assert times(starts) == {"pending": 0.0, "start": 4.0, "load": 0.0, "total": 4.0}


def test_a_start_beside_a_ready_replica_is_not_cold() -> None:
    starts = ColdStarts()
    old = replica(Phase.READY, 9000)
    starts.see(seen(old), 0.0)
    starts.see(seen(old, replica(Phase.STARTING, name="m-1-2")), 1.0)
    starts.see(seen(old, replica(Phase.READY, 9001, "m-1-2")), 9.0)
    assert starts.histograms == {}


def test_replicas_that_start_together_from_zero_are_all_cold() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING, 1), replica(Phase.STARTING, 2, "m-1-2")), 0.0)
    starts.see(seen(replica(Phase.READY, 1), replica(Phase.STARTING, 2, "m-1-2")), 3.0)
    starts.see(seen(replica(Phase.READY, 1), replica(Phase.READY, 2, "m-1-2")), 5.0)
    assert times(starts)["total"] == 8.0
    assert starts.last == {"m-1": 5.0}


def test_a_start_that_came_to_nothing_is_not_counted() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING)), 0.0)
    starts.see(seen(), 3.0)
    starts.see(seen(replica(Phase.STARTING, name="m-1-2")), 4.0)
    starts.see(seen(replica(Phase.READY, 9000, "m-1-2")), 6.0)
    assert times(starts)["total"] == 2.0


def test_a_start_that_was_given_up_is_not_counted() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING)), 0.0)
    starts.see(seen(replica(Phase.DRAINING)), 3.0)
    starts.see(seen(replica(Phase.READY, 9000)), 4.0)
    assert starts.histograms == {}


def test_a_ready_replica_that_hangs_and_recovers_is_no_cold_start() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING, 9000)), 0.0)
    starts.see(seen(replica(Phase.READY, 9000)), 1.0)
    starts.see(seen(replica(Phase.STARTING, 9000)), 50.0)
    starts.see(seen(replica(Phase.READY, 9000)), 60.0)
    assert times(starts)["total"] == 1.0


def test_revisions_are_kept_apart() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING)), 0.0)
    starts.see(ReplicaSet("n-1", 1, (replica(Phase.STARTING, name="n-1-1"),)), 1.0)
    starts.see(seen(replica(Phase.READY, 9000)), 2.0)
    starts.see(ReplicaSet("n-1", 1, (replica(Phase.READY, 9001, "n-1-1"),)), 5.0)
    assert times(starts)["total"] == 2.0
    assert times(starts, "n-1")["total"] == 4.0


def test_nothing_is_kept_of_revisions_that_have_left() -> None:
    starts = ColdStarts()
    starts.see(seen(replica(Phase.STARTING)), 0.0)
    starts.see(seen(replica(Phase.READY, 9000)), 4.0)
    starts.keep({"m-1"})
    assert starts.last == {"m-1": 4.0}
    starts.keep({"m-2"})
    assert (starts.histograms, starts.last) == ({}, {})
