"""Replica-seconds are counted for as long as a replica holds its place, whatever becomes of its revision."""

from __future__ import annotations

from activator.metering import Metering
from activator.scalers.base import Phase, Replica, ReplicaSet
from activator.usage import Ledger

WALL = 1767312000.0


class Stage:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.busy: dict[str, int] = {}
        self.metering = Metering(self.ledger, lambda _: self.busy)
        self.metering.declare({"m-1": "m", "m-2": "m"})

    def saw(self, revision: str, *phases: Phase) -> None:
        replicas = tuple(Replica(f"{revision}-{number}", phase, 0.0) for number, phase in enumerate(phases))
        self.metering.saw(ReplicaSet(revision, len(phases), replicas))

    def used(self, revision: str, service: str = "m") -> tuple[float, float]:
        row = self.ledger.total(service, revision)
        return row.running, row.idle


def test_a_replica_runs_from_its_start_and_is_idle_while_it_is_ready_without_a_request() -> None:
    stage = Stage()
    stage.saw("m-1", Phase.PENDING, Phase.STARTING, Phase.READY, Phase.READY, Phase.DRAINING)
    stage.busy["m-1-2"] = 1
    stage.metering.period(2.0, WALL)
    assert stage.used("m-1") == (8.0, 2.0)
    assert stage.used("m-2") == (0.0, 0.0)


def test_what_was_only_ordered_runs_for_nobody() -> None:
    stage = Stage()
    vacant = Replica("m-1/1", Phase.STARTING, 0.0, vacant=True)
    stage.metering.saw(ReplicaSet("m-1", 2, (Replica("m-1-a", Phase.STARTING, 0.0), vacant)))
    stage.metering.period(2.0, WALL)
    assert stage.used("m-1") == (2.0, 0.0)


def test_one_that_drains_counts_after_its_revision_has_left_until_it_has_ended() -> None:
    stage = Stage()
    stage.saw("m-1", Phase.DRAINING)
    stage.metering.declare({"m-2": "m"})
    stage.metering.period(1.0, WALL)
    stage.metering.declare({"m-2": "m"})
    stage.metering.period(1.0, WALL)
    assert [row["service"] for row in stage.ledger.table()] == ["m"]
    stage.saw("m-1")
    stage.metering.period(1.0, WALL)
    assert stage.used("m-1") == (2.0, 0.0)


def test_a_revision_that_moves_to_another_service_is_billed_there_from_then_on() -> None:
    stage = Stage()
    stage.saw("m-1", Phase.READY)
    stage.metering.period(2.0, WALL)
    stage.metering.declare({"m-1": "n"})
    stage.metering.period(1.0, WALL)
    assert [(row["service"], row["replica_minutes"]) for row in stage.ledger.table()] == [("m", 0.033), ("n", 0.017)]
    assert (stage.used("m-1"), stage.used("m-1", "n")) == ((2.0, 2.0), (1.0, 1.0))


def test_the_total_of_a_revision_is_kept_until_it_has_left_with_its_last_replica() -> None:
    stage = Stage()
    stage.saw("m-1", Phase.DRAINING)
    stage.metering.period(2.0, WALL)
    stage.metering.declare({"m-2": "m"})
    assert stage.used("m-1") == (2.0, 0.0)
    stage.saw("m-1")
    stage.metering.declare({"m-2": "m"})
    assert stage.used("m-1") == (0.0, 0.0)
    assert len(stage.ledger.table()) == 1
