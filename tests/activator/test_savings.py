"""What an edge leaves on disk, its successor goes on with; what nobody can read is set aside, and the edge starts."""

import json
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from activator import logs
from activator.loop import Loop
from activator.savings import Savings
from activator.scalers.memory import MemoryScaler
from activator.usage import Ledger
from tests.activator.stage import FakeTraffic, plan

WALL = 1_700_000_000.0


class Run:
    """One run of an edge, as far as its savings go."""

    def __init__(self, directory: Path, wall: float = WALL) -> None:
        traffic = FakeTraffic(lambda: 0.0)
        self.loop = Loop(traffic, MemoryScaler(traffic, clock=lambda: 0.0), lambda: 0.0)
        self.loop.configure({"m-1": plan()})
        self.ledger = Ledger()
        self.savings = Savings(directory, (self.loop, self.ledger), lambda: wall, logs.logger("edge"))

    def restore(self) -> list[Any]:
        with capture_logs() as lines:
            self.savings.restore_usage()
            self.savings.restore()
        return list(lines)


def test_a_successor_goes_on_with_revisions_and_usage(tmp_path: Path) -> None:
    first = Run(tmp_path)
    first.ledger.add(("m", "m-1"), (2, 1), 60.0, WALL)
    first.savings.save()
    second = Run(tmp_path, WALL + 30)
    assert [(line["event"], line["seconds_ago"]) for line in second.restore()] == [("state restored", 30.0)]
    assert second.ledger.dump() == first.ledger.dump()


def test_a_first_run_finds_nothing_and_says_nothing(tmp_path: Path) -> None:
    assert Run(tmp_path).restore() == []


def test_files_that_nobody_can_read_are_set_aside_and_the_edge_starts(tmp_path: Path) -> None:
    for name in ("revisions.json", "usage.json"):
        (tmp_path / name).write_text("{")
    lines = Run(tmp_path).restore()
    assert [line["log_level"] for line in lines] == ["error", "error"]
    assert {Path(line["kept"]).name for line in lines} == {"revisions.unusable", "usage.unusable"}
    assert not list(tmp_path.glob("*.json"))


def test_the_state_of_one_revision_that_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    Run(tmp_path).savings.save()
    file = tmp_path / "revisions.json"
    saved = json.loads(file.read_text())
    saved["revisions"]["m-1"]["desired"] = -1
    file.write_text(json.dumps(saved))
    assert Run(tmp_path).restore()[0]["event"] == "saved state not used"


def test_a_directory_that_takes_no_file_is_told_and_no_end(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file is in the way")
    with capture_logs() as lines:
        Run(tmp_path / "state").savings.save()
    assert [line["event"] for line in lines] == ["state cannot be saved"]
