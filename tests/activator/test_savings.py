"""What an edge leaves on disk, its successor goes on with; what nobody can read is set aside, and the edge starts."""

import asyncio
import json
from pathlib import Path
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from activator import logs
from activator.catalog.model import Catalog
from activator.loop import Loop
from activator.rollouts import Rollouts
from activator.savings import Savings
from activator.scalers.memory import MemoryScaler
from activator.usage import DAY, KEPT_DAYS, Ledger
from router.table import Revision, Service, Share, Table
from tests.activator.stage import FakeTraffic, plan
from tests.activator.traffic.canaries import canary

SERVICE = Service("m", ("m.example",), (Share(Revision("m-1", "m"), 0), Share(Revision("m-2", "m"), 100)))
WALL = 1_700_000_000.0


class Run:
    """One run of an edge, as far as its savings go."""

    def __init__(self, directory: Path, wall: float = WALL) -> None:
        traffic = FakeTraffic(lambda: 0.0)
        scaler = MemoryScaler(traffic, clock=lambda: 0.0)
        self.loop = Loop(traffic, scaler, lambda: 0.0)
        self.loop.configure({"m-1": plan()})
        self.ledger = Ledger()
        self.rollouts = Rollouts((traffic, self.loop, scaler), lambda _: None, lambda: 0.0)
        parts = (self.loop, self.ledger, self.rollouts)
        self.savings = Savings(directory, parts, lambda: wall, logs.logger("edge"))

    @classmethod
    def begun(cls, directory: Path) -> Self:
        """Return a run that has restored what was there."""
        run = cls(directory)
        run.restore()
        return run

    def restore(self) -> list[Any]:
        with capture_logs() as lines:
            self.savings.restore_usage()
            self.savings.restore_rollouts()
            self.savings.restore()
        return list(lines)


def test_a_successor_goes_on_with_revisions_and_usage(tmp_path: Path) -> None:
    first = Run.begun(tmp_path)
    first.ledger.add(("m", "m-1"), (2, 1), 60.0, WALL)
    first.savings.save()
    second = Run(tmp_path, WALL + 30)
    assert [(line["event"], line["seconds_ago"]) for line in second.restore()] == [("state restored", 30.0)]
    assert second.ledger.dump() == first.ledger.dump()


def test_what_was_saved_of_usage_is_encoded_before_the_edge_serves(tmp_path: Path) -> None:
    first = Run.begun(tmp_path)
    first.ledger.add(("m", "m-1"), (2, 1), 60.0, WALL)
    first.savings.save()
    second = Run(tmp_path)
    second.savings.restore_usage()
    assert second.ledger._text == second.ledger.text()


async def test_usage_is_written_when_it_has_changed_or_could_not_be_written_and_at_the_end(tmp_path: Path) -> None:
    run = Run.begun(tmp_path / "state")
    file = tmp_path / "state" / "usage.json"

    async def saved(*, added: int) -> bool:
        run.ledger.add(("m", "m-1"), (added, 0), 60.0, WALL)
        before = file.stat().st_ino if file.exists() else 0
        await run.savings.save_aside()
        return (file.stat().st_ino if file.exists() else 0) != before

    assert await saved(added=1)
    assert not await saved(added=0)
    assert await saved(added=1)
    file.with_suffix(".new").mkdir()
    assert not await saved(added=1)
    file.with_suffix(".new").rmdir()
    assert await saved(added=0)
    file.unlink()
    run.savings.save()
    assert json.loads(file.read_text()) == run.ledger.dump()


def test_a_directory_is_one_edges_until_it_lets_go(tmp_path: Path) -> None:
    first, second = Run(tmp_path / "state"), Run(tmp_path / "state")
    first.savings.claim()
    with pytest.raises(OSError, match=r"^state-dir: another edge that runs has .*/state; each needs its own$"):
        second.savings.claim()
    first.savings.let_go()
    second.savings.claim()
    second.savings.let_go()


def test_a_directory_that_cannot_be_written_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    for run in (Run(tmp_path / "state"), Run(tmp_path / "state")):
        run.savings.claim()


def test_usage_that_cannot_be_read_for_a_while_is_kept_and_what_was_counted_meanwhile_is_added(tmp_path: Path) -> None:
    first = Run.begun(tmp_path)
    first.ledger.add(("m", "m-1"), (1, 0), 60.0, WALL)
    first.savings.save()
    kept, file = tmp_path / "kept.json", tmp_path / "usage.json"
    file.rename(kept)
    file.mkdir()  # no file can be read here
    second = Run(tmp_path)
    assert "cannot be read yet" in second.restore()[0]["event"]
    second.ledger.add(("m", "m-1"), (1, 0), 30.0, WALL)
    second.savings.save()
    assert file.is_dir()
    file.rmdir()
    kept.rename(file)
    second.savings.save()
    assert json.loads(file.read_text())["rows"] == [["2023-11-14", "m", "m-1", 90.0, 0.0]]


async def test_revisions_that_cannot_be_read_for_a_while_are_kept_and_gone_on_with_later(tmp_path: Path) -> None:
    first = Run.begun(tmp_path)
    first.loop.wake("m-1")
    first.savings.save()
    kept, file = tmp_path / "kept.json", tmp_path / "revisions.json"
    file.rename(kept)
    file.mkdir()  # no file can be read here
    second = Run(tmp_path)
    assert [line["event"] for line in second.restore()] == ["saved state cannot be read yet, and is not saved"]
    second.savings.save()
    assert file.is_dir()
    assert second.loop.dump()["m-1"]["desired"] == 0
    file.rmdir()
    kept.rename(file)
    keeping = asyncio.create_task(second.savings.keep(0.01))
    async with asyncio.timeout(30):
        while not second.loop.dump()["m-1"]["desired"]:  # noqa: ASYNC110 - the simplest
            await asyncio.sleep(0.01)
    keeping.cancel()


def test_usage_of_long_ago_is_not_kept_for_ever(tmp_path: Path) -> None:
    run = Run.begun(tmp_path)
    for days in range(KEPT_DAYS + 2):
        run.ledger.add(("m", "m-1"), (1, 0), 60.0, WALL - days * DAY)
    run.savings.save()
    assert len(json.loads((tmp_path / "usage.json").read_text())["rows"]) == KEPT_DAYS


def test_a_clock_that_was_ahead_for_a_moment_takes_no_usage_away(tmp_path: Path) -> None:
    run, ahead = Run.begun(tmp_path), 1000 * DAY
    run.ledger.add(("m", "m-1"), (1, 0), 60.0, WALL)
    run.savings.save()
    late = Run(tmp_path, WALL + ahead)
    late.restore()
    late.ledger.add(("m", "m-1"), (1, 0), 1.0, WALL + ahead)
    late.savings.save()
    rows = json.loads((tmp_path / "usage.json").read_text())["rows"]
    assert [(row[0], row[3]) for row in rows] == [("2023-11-14", 60.0), ("2026-08-10", 1.0)]


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
    Run.begun(tmp_path).savings.save()
    file = tmp_path / "revisions.json"
    saved = json.loads(file.read_text())
    saved["revisions"]["m-1"]["desired"] = -1
    file.write_text(json.dumps(saved))
    assert Run(tmp_path).restore()[0]["event"] == "saved state not used"


def test_a_directory_that_takes_no_file_is_told_and_no_end(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file is in the way")
    with capture_logs() as lines:
        Run.begun(tmp_path / "state").savings.save()
    assert [line["event"] for line in lines][-1] == "state cannot be saved"


async def test_a_disk_that_stays_full_is_told_once_with_its_place_and_once_more_at_the_end(tmp_path: Path) -> None:
    run, state = Run.begun(tmp_path / "state"), tmp_path / "state"
    state.write_text("a file is in the way")
    with capture_logs() as lines:
        for _ in range(20):
            await run.savings.save_aside()
    assert [(line["event"], line["directory"]) for line in lines] == [("state cannot be saved", str(state))]
    assert not run.savings.saved
    with capture_logs() as lines:
        run.savings.save()
    assert [line["event"] for line in lines] == ["state cannot be saved"]
    state.unlink()
    with capture_logs() as lines:
        await run.savings.save_aside()
        await run.savings.save_aside()
    assert [line["event"] for line in lines] == ["state is saved again"]
    assert run.savings.saved


async def test_a_file_that_cannot_be_read_for_long_is_told_once(tmp_path: Path) -> None:
    for name in ("usage.json", "rollouts.json", "revisions.json"):
        (tmp_path / name).mkdir()
    run = Run(tmp_path)
    events = [line["event"] for line in run.restore()]
    assert len(events) == 3
    keeping = asyncio.create_task(run.savings.keep(0.01))
    with capture_logs() as lines:
        await asyncio.sleep(0.3)
    keeping.cancel()
    assert lines == []
    assert not run.savings.saved


class TestRollouts:
    def put(self, run: Run) -> None:
        plans = {name: plan(name) for name in ("m-1", "m-2")}
        run.rollouts.configure(Catalog(Table((SERVICE,)), plans, {"m": canary()}))

    def test_a_successor_goes_on_with_a_rollout_from_its_first_configuration_on(self, tmp_path: Path) -> None:
        first = Run(tmp_path)
        self.put(first)
        first.rollouts.roll_back("m")
        first.savings.save()
        second = Run(tmp_path)
        second.savings.restore_rollouts()
        self.put(second)
        assert second.rollouts.shares("m") == (0, 100)

    def test_one_that_cannot_be_read_for_a_while_is_kept_and_gone_on_with_later(self, tmp_path: Path) -> None:
        first = Run.begun(tmp_path)
        self.put(first)
        first.rollouts.roll_back("m")
        first.savings.save()
        kept, file = tmp_path / "kept.json", tmp_path / "rollouts.json"
        file.rename(kept)
        file.mkdir()
        second = Run(tmp_path)
        second.savings.restore_rollouts()
        self.put(second)
        assert not second.savings.save()
        assert file.is_dir()
        file.rmdir()
        kept.rename(file)
        assert second.savings.save()
        assert second.rollouts.shares("m") == (0, 100)

    async def test_it_is_saved_aside_while_the_loop_goes_on(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        self.put(run)
        await run.savings.save_aside()
        assert json.loads((tmp_path / "rollouts.json").read_text())["m"]["phase"] == "running"

    @pytest.mark.parametrize(("blocked", "saved"), [("revisions", True), ("usage", True), ("rollouts", False)])
    def test_a_file_that_cannot_be_written_keeps_no_other_from_it_and_what_it_means_for_the_rollouts_is_told(
        self, tmp_path: Path, blocked: str, saved: bool
    ) -> None:
        run = Run.begun(tmp_path)
        self.put(run)
        (tmp_path / f"{blocked}.new").mkdir()
        with capture_logs() as lines:
            assert run.savings.save() is saved
        assert [line["files"] for line in lines] == [[f"{blocked}.json"]]
        written = {path.stem for path in tmp_path.glob("*.json")}
        assert written == {"revisions", "usage", "rollouts"} - {blocked}

    async def test_what_has_not_been_restored_yet_is_left_alone(self, tmp_path: Path) -> None:
        Run.begun(tmp_path).savings.save()
        before = {name: (tmp_path / name).read_text() for name in ("revisions.json", "usage.json")}
        run = Run(tmp_path, WALL + 30)
        run.ledger.add(("m", "m-1"), (2, 1), 60.0, WALL)
        self.put(run)
        await run.savings.save_aside()
        assert {name: (tmp_path / name).read_text() for name in before} == before
        assert json.loads((tmp_path / "rollouts.json").read_text())["m"]["percent"] == 1

    async def test_a_move_is_saved_with_the_replicas_that_there_are(self, tmp_path: Path) -> None:
        run = Run.begun(tmp_path)
        self.put(run)
        run.loop.wake("m-1")
        run.rollouts.promote("m")
        await run.savings.save_aside()
        assert json.loads((tmp_path / "revisions.json").read_text())["revisions"]["m-1"]["desired"] == 1

    async def test_the_newest_is_what_stays(self, tmp_path: Path) -> None:
        run = Run.begun(tmp_path)
        self.put(run)
        async with asyncio.TaskGroup() as group:
            for move in (run.rollouts.promote, run.rollouts.roll_back, run.rollouts.restart, run.rollouts.promote):
                move("m")
                group.create_task(run.savings.save_aside())
        assert json.loads((tmp_path / "rollouts.json").read_text())["m"]["phase"] == "promoted"

    def test_a_file_that_nobody_can_read_is_set_aside_and_they_begin_anew(self, tmp_path: Path) -> None:
        (tmp_path / "rollouts.json").write_text("{")
        run = Run(tmp_path)
        (line,) = run.restore()
        assert (line["log_level"], Path(line["kept"]).name) == ("error", "rollouts.unusable")
        self.put(run)
        assert run.rollouts.shares("m") == (1, 99)

    def test_a_file_that_holds_something_else_does_too(self, tmp_path: Path) -> None:
        (tmp_path / "rollouts.json").write_text("[1]")
        (line,) = Run(tmp_path).restore()
        assert line["event"] == "saved rollouts cannot be used, they begin anew"
