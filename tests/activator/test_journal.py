"""The log tells each change of a replica's phase once."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from activator import logs
from activator.journal import Journal
from activator.revision import Revision
from activator.rollouts import Told
from activator.scalers.base import Phase, Replica, ReplicaSet
from activator.traffic.rollout import Event
from router.ports import RevisionStats
from tests.activator.stage import bounds, plan


@pytest.fixture
def journal() -> Journal:
    return Journal(logs.logger("edge"))


def told(journal: Journal, *snapshots: ReplicaSet) -> list[Any]:
    with capture_logs() as lines:
        for snapshot in snapshots:
            journal.saw(snapshot)
    return [(line["replica"], line["phase"], line["message"]) for line in lines]


def one(phase: Phase, message: str = "") -> ReplicaSet:
    return ReplicaSet("a-1", 1, (Replica("a-1-0", phase, 0.0, message=message),))


def test_each_phase_is_told_once(journal: Journal) -> None:
    starting, ready = one(Phase.STARTING), one(Phase.READY)
    assert told(journal, starting, starting, ready) == [("a-1-0", "starting", None), ("a-1-0", "ready", None)]


def test_another_message_in_the_same_phase_is_not_told(journal: Journal) -> None:
    assert len(told(journal, one(Phase.PENDING, "no GPU"), one(Phase.PENDING, "still none"))) == 1


def test_a_replica_that_is_gone_is_told_with_what_it_died_of(journal: Journal) -> None:
    gone = ReplicaSet("a-1", 1, last_failure="it exited with status 3")
    assert told(journal, one(Phase.STARTING), gone)[-1] == ("a-1-0", "gone", "it exited with status 3")


def test_a_replica_that_is_gone_or_late_is_told_with_the_file_of_its_log(journal: Journal) -> None:
    journal.logs = "/logs/{}".format
    with capture_logs() as lines:
        journal.saw(one(Phase.STARTING))
        journal.look(60.0)
        journal.saw(ReplicaSet("a-1", 1, last_failure="it exited with status 3"))
    assert [line.get("log") for line in lines] == [None, "/logs/a-1/a-1-0.log", "/logs/a-1/a-1-0.log"]


def test_what_another_one_died_of_is_not_told_of_a_replica_that_was_to_go(journal: Journal) -> None:
    gone = ReplicaSet("a-1", 0, last_failure="a-1-9 exited with status 3")
    assert told(journal, one(Phase.READY), one(Phase.DRAINING), gone)[-1] == ("a-1-0", "gone", None)


def test_a_replica_that_someone_took_away_is_not_told_with_what_another_one_died_of_earlier(journal: Journal) -> None:
    two = (Replica("a-1-0", Phase.READY, 0.0), Replica("a-1-1", Phase.READY, 0.0))
    failure = "a-1-1 exited with status 3"
    died = ReplicaSet("a-1", 2, two[:1], last_failure=failure)
    lines = told(journal, ReplicaSet("a-1", 2, two), died, ReplicaSet("a-1", 2, (), last_failure=failure))
    assert lines[-2:] == [("a-1-1", "gone", failure), ("a-1-0", "gone", None)]


@pytest.mark.parametrize(("last", "level"), [(Phase.READY, "warning"), (Phase.DRAINING, "info")])
def test_only_a_replica_that_was_not_to_go_is_a_warning(journal: Journal, last: Phase, level: str) -> None:
    with capture_logs() as lines:
        journal.saw(one(last))
        journal.saw(ReplicaSet("a-1", 1, last_failure="it exited with status 3"))
    assert [line["log_level"] for line in lines] == ["info", level]


def test_a_replica_that_ceases_to_be_ready_is_a_warning(journal: Journal) -> None:
    with capture_logs() as lines:
        for snapshot in (one(Phase.READY), one(Phase.STARTING, "GET / answered 500"), one(Phase.READY)):
            journal.saw(snapshot)
    assert [line["log_level"] for line in lines] == ["info", "warning", "info"]


def late(journal: Journal, *ages: float) -> list[Any]:
    with capture_logs() as lines:
        for now in ages:
            journal.look(now)
    return [(line["log_level"], line["replica"], line["phase"], line["seconds"], line["message"]) for line in lines]


def test_a_start_that_takes_long_is_told_ever_more_rarely_with_what_its_probe_says(journal: Journal) -> None:
    told(journal, one(Phase.STARTING), one(Phase.STARTING, "connection refused"))
    assert late(journal, 59.0) == []
    assert late(journal, *map(float, range(60, 601))) == [
        ("warning", "a-1-0", "starting", age, "connection refused") for age in (60, 120, 240, 480)
    ]


def test_of_several_late_ones_of_a_revision_the_oldest_is_told(journal: Journal) -> None:
    pods = [Replica(f"a-1-{number}", Phase.PENDING, float(number), message="no GPU") for number in range(9)]
    told(journal, ReplicaSet("a-1", 9, tuple(pods)))
    with capture_logs() as lines:
        journal.look(100.0)
    assert [(line["replica"], line["replicas"]) for line in lines] == [("a-1-0", 9)]


def test_a_replica_that_became_ready_or_is_gone_is_not_told_of_as_late(journal: Journal) -> None:
    told(journal, one(Phase.STARTING), one(Phase.READY))
    assert late(journal, 100.0) == []
    told(journal, one(Phase.PENDING))
    assert [line[2] for line in late(journal, 100.0)] == ["pending"]
    told(journal, ReplicaSet("a-1", 0))
    assert late(journal, 1000.0) == []


@pytest.mark.parametrize(("seconds", "level"), [(20.0, "info"), (21.0, "warning")])
def test_a_start_that_is_given_up_is_a_warning(journal: Journal, seconds: float, level: str) -> None:
    revision = Revision(plan("a-1", bounds=bounds(progress_deadline=20.0)), 0, 0.0)
    starting = one(Phase.STARTING, "GET / answered 404")
    with capture_logs() as lines:
        journal.changed(revision, starting, revision.step(starting, RevisionStats(open=1), seconds))
    assert [line["log_level"] for line in lines] == [level]
    assert (level == "warning") == ("(GET / answered 404)" in lines[0]["why"])


def test_an_order_that_became_a_replica_by_another_name_has_not_died(journal: Journal) -> None:
    ordered = ReplicaSet("a-1", 1, (Replica("a-1-0", Phase.PENDING, 0.0, vacant=True),))
    assert ("a-1-0", "gone", None) in told(journal, ordered, ReplicaSet("a-1", 1, last_failure="a-1-9 was evicted"))


def test_revisions_are_told_apart(journal: Journal) -> None:
    other = ReplicaSet("b-1", 1, (Replica("a-1-0", Phase.READY, 0.0),))
    assert len(told(journal, one(Phase.READY), other)) == 2


@pytest.mark.parametrize(("kind", "level"), [("step", "info"), ("rolled-back", "warning")])
def test_what_happens_to_a_canary_is_told_with_its_numbers(journal: Journal, kind: str, level: str) -> None:
    with capture_logs() as lines:
        journal.moved(Told(1.0, "m", "m-2", Event(kind, "It failed.", {"canary": {"failed": 7}})))
    (line,) = lines
    assert line == {
        "event": "canary",
        "service": "m",
        "revision": "m-2",
        "kind": kind,
        "why": "It failed.",
        "canary": {"failed": 7},
        "log_level": level,
        "component": "edge",
    }
