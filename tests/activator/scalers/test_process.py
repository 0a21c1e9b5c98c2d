from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from activator.scalers.base import Phase, ReplicaSet, ReplicaSpec
from activator.scalers.ports import PORTS
from activator.scalers.process import KEPT_LOGS, KEPT_REVISIONS, ProcessScaler
from tests.activator.scalers.contract import LocalContract, failed, gone, phases, ready, started
from tests.activator.scalers.fakes import FakeRouting, Watcher
from tests.activator.scalers.processes import all_gone, marked, parent, some

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MODELS = Path(__file__).parents[2] / "models"
STAMPING = str(MODELS / "stamping.py")
PYTHON = (sys.executable, "-I", "-S")
FORKING = ("/bin/sh", str(MODELS / "forking.sh"))
FAMILY = 5  # the processes of forking.sh


class ProcessStage:
    def __init__(self, directory: Path) -> None:
        self.clock = time.monotonic
        self.mark = uuid.uuid4().int.__str__()[:12]
        self.logs = directory / "logs"
        self.stamps = directory / "stamps"
        self._broken = directory / "broken"
        self.routing = FakeRouting()
        self.scaler = ProcessScaler(self.routing, clock=self.clock, log_dir=self.logs)
        self.watcher = Watcher(self.scaler, self.clock)
        script = f'test -e "{self._broken}" && echo out of memory && exit 3; exec "$@"'
        self.specs = {
            "good": self.spec("/bin/sh", "-c", script, "sh", *PYTHON, STAMPING),
            "slow": self.spec("/bin/sleep", "100"),
            "doomed": self.spec("no-such-command"),
        }
        self.scaler.declare(self.specs)

    def spec(self, *command: str, **env: str) -> ReplicaSpec:
        own = {"MARK": self.mark, "STAMPS": str(self.stamps), "PYTHON": sys.executable, "MODEL": STAMPING}
        return ReplicaSpec(command=command, env=own | env, probe_period=0.05, termination_grace=1)

    def declare(self, revision: str, spec: ReplicaSpec) -> None:
        self.specs[revision] = spec
        self.scaler.declare(self.specs)

    def break_starts(self) -> None:
        self._broken.touch()

    def mend_starts(self) -> None:
        self._broken.unlink()

    def crash(self, replica: str) -> None:
        os.kill(self.pid_of(replica), signal.SIGKILL)

    def keeper_pid(self) -> int:
        return self.scaler._processes.keeper.pid or 0

    def pid_of(self, replica: str) -> int:
        """Return its leader, which was there before all it forked."""
        return min(marked(f"REPLICA={replica}"))

    async def logged(self, replica: str, end: str) -> str:
        """Wait until the log of `replica` ends with `end`; return it."""
        log = self.logs / replica.rpartition("-")[0] / f"{replica}.log"
        said = ""
        async with asyncio.timeout(60):
            while not said.endswith(end):
                await asyncio.sleep(0.01)  # a file sends no event
                with suppress(FileNotFoundError):  # it is not there yet, or is being rotated
                    said = log.read_text()
        return said


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[ProcessStage]:
    stage = ProcessStage(tmp_path)
    await stage.scaler.start()
    yield stage
    await stage.scaler.close(drain=0)
    assert marked(stage.mark) == []


def with_message(text: str) -> Callable[[ReplicaSet], bool]:
    return lambda snapshot: any(text in replica.message for replica in snapshot.replicas)


class TestProcessScaler(LocalContract):
    pass


class TestStarting:
    async def test_a_replica_is_told_its_host_port_and_name(self, stage: ProcessStage) -> None:
        stage.declare("env", stage.spec("/bin/sh", "-c", "echo $HOST $PORT $REPLICA $EXTRA; sleep 9", EXTRA="more"))
        stage.scaler.scale("env", 1)
        (replica,) = (await stage.watcher.until("env", with_message("refused"))).replicas
        assert replica.port in PORTS
        said = await stage.logged(replica.name, "more\n")
        assert said == f"127.0.0.1 {replica.port} {replica.name} more\n"

    async def test_a_replica_runs_in_its_directory_under_the_edges_environment(
        self, stage: ProcessStage, tmp_path: Path
    ) -> None:
        spec = stage.spec("/bin/sh", "-c", "echo $PATH; pwd; exec sleep 9")
        stage.declare("where", replace(spec, directory=tmp_path))
        stage.scaler.scale("where", 1)
        (replica,) = stage.scaler.replicas("where").replicas
        said = await stage.logged(replica.name, f"{tmp_path}\n")
        path, directory = said.split()
        assert path.endswith(os.environ["PATH"])
        assert directory == str(tmp_path)

    async def test_a_replica_finds_the_programs_installed_beside_the_edge(self, stage: ProcessStage) -> None:
        stage.declare("beside", stage.spec("/bin/sh", "-c", "echo $PATH; exec sleep 9"))
        stage.scaler.scale("beside", 1)
        (replica,) = stage.scaler.replicas("beside").replicas
        said = await stage.logged(replica.name, "\n")
        assert said.split(os.pathsep)[0] == str(Path(sys.executable).parent)

    async def test_a_replica_is_not_ready_while_it_answers_anything_but_200(self, stage: ProcessStage) -> None:
        stage.declare("early", stage.spec(*PYTHON, STAMPING, STATUS="503"))
        stage.scaler.scale("early", 1)
        snapshot = await stage.watcher.until("early", with_message("answered 503"))
        assert snapshot.count(Phase.STARTING) == 1

    async def test_a_replica_that_never_listens_stays_starting_and_says_what_to_do(self, stage: ProcessStage) -> None:
        stage.scaler.scale("slow", 1)
        snapshot = await stage.watcher.until(
            "slow", with_message("connection refused; the model must listen on $HOST:$PORT")
        )
        assert snapshot.count(Phase.STARTING) == 1

    async def test_a_slow_answer_counts_as_none(self, stage: ProcessStage) -> None:
        listen = "import os,socket,time; s=socket.create_server(('127.0.0.1',int(os.environ['PORT']))); time.sleep(9)"
        stage.declare("mute", replace(stage.spec(*PYTHON, "-c", listen), probe_timeout=0.05))
        stage.scaler.scale("mute", 1)
        await stage.watcher.until("mute", with_message("within 0.05 s"))

    async def test_readiness_is_seen_soon_after_the_replica_listens(self, stage: ProcessStage) -> None:
        await started(stage, 1)
        seen = time.time_ns()
        stamps = dict(line.split() for line in stage.stamps.read_text().splitlines())
        assert 0 < seen - int(stamps["listening"]) < 5_000_000_000

    async def test_a_stranger_on_the_port_does_not_make_a_dead_replica_ready(self, stage: ProcessStage) -> None:
        (name,) = await started(stage, 1)
        port = stage.scaler.replicas("good").replicas[0].port
        stage.crash(name)
        await stage.watcher.until("good", gone)
        with socket.create_server(("127.0.0.1", port)) as stranger:
            (replica,) = (await stage.watcher.until("good", ready(1))).replicas
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.accept()
        assert replica.port != port


class TestProbing:
    async def test_a_replica_that_hangs_is_out_of_service_until_it_answers_again(self, stage: ProcessStage) -> None:
        stage.specs["good"] = replace(stage.specs["good"], probe_timeout=0.05, failure_threshold=2)
        stage.scaler.declare(stage.specs)
        (name,) = await started(stage, 1)
        pid = stage.pid_of(name)
        os.kill(pid, signal.SIGSTOP)
        snapshot = await stage.watcher.until("good", with_message("no answer"))
        assert phases(snapshot) == {name: Phase.STARTING}
        os.kill(pid, signal.SIGCONT)
        assert phases(await stage.watcher.until("good", ready(1))) == {name: Phase.READY}

    async def test_one_failed_probe_is_forgiven(self, stage: ProcessStage) -> None:
        stage.specs["good"] = replace(stage.specs["good"], probe_timeout=0.2, failure_threshold=100)
        stage.scaler.declare(stage.specs)
        (name,) = await started(stage, 1)
        os.kill(stage.pid_of(name), signal.SIGSTOP)
        await asyncio.sleep(0.4)
        assert stage.scaler.replicas("good").count(Phase.READY) == 1


class TestFailing:
    async def test_an_exit_code_and_the_last_words_are_told(self, stage: ProcessStage) -> None:
        stage.declare("exits", stage.spec("/bin/sh", "-c", "echo one; echo CUDA is missing >&2; exit 7"))
        stage.scaler.scale("exits", 1)
        snapshot = await stage.watcher.until("exits", failed(1))
        assert snapshot.last_failure.endswith("exited with code 7; its last words: CUDA is missing")

    async def test_an_exit_however_quick_is_noticed(self, stage: ProcessStage) -> None:
        stage.declare("brief", stage.spec("/bin/true"))
        stage.scaler.scale("brief", 20)
        snapshot = await stage.watcher.until("brief", failed(20))
        assert snapshot.last_failure.endswith("exited with code 0; it printed nothing")

    async def test_a_signal_is_told_by_name(self, stage: ProcessStage) -> None:
        stage.declare("shot", stage.spec("/bin/sh", "-c", "kill -SEGV $$"))
        stage.scaler.scale("shot", 1)
        assert "SIGSEGV" in (await stage.watcher.until("shot", failed(1))).last_failure

    async def test_a_crash_is_noticed_before_the_next_probe(self, stage: ProcessStage) -> None:
        stage.declare("good", replace(stage.specs["good"], probe_period=3600))
        (name,) = await started(stage, 1)
        stage.crash(name)
        await stage.watcher.until("good", gone)

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ((), "no command is given"),
            (("/etc/passwd",), "chmod +x"),
            (("/nowhere/model",), "not found"),
            (("nul\0",), "could not be started"),
        ],
    )
    async def test_a_command_that_cannot_be_executed_is_doomed(
        self, stage: ProcessStage, command: tuple[str, ...], words: str
    ) -> None:
        stage.declare("never", stage.spec(*command))
        stage.scaler.scale("never", 1)
        snapshot = await stage.watcher.until("never", failed(1))
        assert snapshot.doomed
        assert words in snapshot.last_failure

    async def test_a_missing_directory_is_named(self, stage: ProcessStage) -> None:
        stage.declare("lost", replace(stage.spec("/bin/true"), directory=Path("/nowhere")))
        stage.scaler.scale("lost", 1)
        snapshot = await stage.watcher.until("lost", failed(1))
        assert snapshot.doomed
        assert "directory '/nowhere'" in snapshot.last_failure

    async def test_an_order_too_long_to_send_fails_that_start_only(self, stage: ProcessStage) -> None:
        stage.declare("vast", stage.spec("/bin/true", "x" * 2_000_000))
        stage.scaler.scale("vast", 1)
        assert "too long" in (await stage.watcher.until("vast", failed(1))).last_failure.lower()
        await started(stage, 1)

    async def test_a_burst_of_starts_is_not_lost(self, stage: ProcessStage) -> None:
        stage.declare("many", stage.spec("/bin/true", "x" * 20_000))
        stage.scaler.scale("many", 40)
        await stage.watcher.until("many", failed(40))


class TestEnding:
    async def test_a_replica_may_use_its_grace(self, stage: ProcessStage) -> None:
        script = 'trap "sleep 0.2; echo tidy; exit 0" TERM; "$@" & while :; do sleep 0.01; done'
        stage.declare("polite", stage.spec("/bin/sh", "-c", script, "sh", *PYTHON, STAMPING))
        stage.scaler.scale("polite", 1)
        (replica,) = (await stage.watcher.until("polite", ready(1))).replicas
        stage.scaler.scale("polite", 0)
        await stage.watcher.until("polite", gone)
        assert await stage.logged(replica.name, "tidy\n")

    async def test_a_replica_that_ignores_sigterm_is_killed_after_its_grace(self, stage: ProcessStage) -> None:
        spec = stage.spec("/bin/sh", "-c", 'trap "" TERM; echo deaf; while :; do sleep 0.01; done')
        stage.declare("deaf", replace(spec, termination_grace=0.2))
        stage.scaler.scale("deaf", 1)
        (replica,) = stage.scaler.replicas("deaf").replicas
        await stage.logged(replica.name, "deaf\n")
        before = time.monotonic()
        stage.scaler.scale("deaf", 0)
        await stage.watcher.until("deaf", gone)
        assert time.monotonic() - before >= 0.2

    async def test_a_stream_longer_than_the_grace_is_never_cut(self, stage: ProcessStage) -> None:
        stage.specs["good"] = replace(stage.specs["good"], termination_grace=0.05)
        stage.scaler.declare(stage.specs)
        names = await started(stage, 4)
        stage.routing.busy[names[3]] = 1
        stage.scaler.scale("good", 1)
        await stage.watcher.until("good", lambda snapshot: len(snapshot.replicas) == 1)
        stage.scaler.scale("good", 0)
        await asyncio.sleep(0.3)
        assert phases(stage.scaler.replicas("good")) == {names[3]: Phase.DRAINING}
        assert stage.pid_of(names[3])

    async def test_a_child_of_a_replica_may_use_its_grace_after_the_replica_ended(self, stage: ProcessStage) -> None:
        script = '(trap "sleep 0.2; echo tidy; exit 0" TERM; echo set; while :; do sleep 0.01; done) & wait'
        stage.declare("polite", stage.spec("/bin/sh", "-c", script))
        stage.scaler.scale("polite", 1)
        (replica,) = stage.scaler.replicas("polite").replicas
        await stage.logged(replica.name, "set\n")
        stage.scaler.scale("polite", 0)
        await stage.watcher.until("polite", gone)
        assert await stage.logged(replica.name, "tidy\n")

    async def test_all_a_replica_forked_ends_with_it(self, stage: ProcessStage) -> None:
        stage.declare("forking", replace(stage.spec(*FORKING), termination_grace=100))
        stage.scaler.scale("forking", 1)
        await stage.watcher.until("forking", ready(1))
        await some(stage.mark, FAMILY)
        stage.scaler.scale("forking", 0)
        await stage.watcher.until("forking", gone)
        assert marked(stage.mark) == []

    async def test_all_a_replica_forked_is_killed_when_it_crashes(self, stage: ProcessStage) -> None:
        stage.declare("forking", stage.spec(*FORKING))
        stage.scaler.scale("forking", 1)
        (replica,) = (await stage.watcher.until("forking", ready(1))).replicas
        family = await some(stage.mark, FAMILY)
        stage.scaler.scale("good", 1)
        (other,) = (await stage.watcher.until("good", ready(1))).replicas
        os.kill(stage.pid_of(replica.name), signal.SIGKILL)
        await stage.watcher.until("forking", gone)
        stage.scaler.scale("forking", 0)
        assert await all_gone(f"REPLICA={replica.name}", within=60)
        assert await all_gone(f"1002.{stage.mark}", within=60)  # the one that forgot its environment
        assert not set(marked(stage.mark)) & set(family)
        assert stage.pid_of(other.name)


class TestLogs:
    async def test_a_log_never_grows_beyond_its_cap(self, stage: ProcessStage) -> None:
        script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exec sleep 9"
        stage.declare("chatty", replace(stage.spec("/bin/sh", "-c", script), log_bytes=4000))
        stage.scaler.scale("chatty", 1)
        name = stage.scaler.replicas("chatty").replicas[0].name
        log = stage.logs / "chatty" / f"{name}.log"
        assert stage.scaler.logs_of("chatty") == str(log.parent)
        await stage.logged(name, "line 1999\n")
        assert sum(part.stat().st_size for part in log.parent.glob(f"{log.name}*")) <= 4000

    async def test_a_place_that_cannot_be_written_costs_the_log_only(self, stage: ProcessStage) -> None:
        stage.logs.mkdir()
        (stage.logs / "good").write_text("in the way")
        await started(stage, 1)

    async def test_old_logs_are_deleted(self, stage: ProcessStage) -> None:
        stage.declare("brief", stage.spec("/bin/sh", "-c", "echo bye"))
        stage.scaler.scale("brief", KEPT_LOGS + 5)
        await stage.watcher.until("brief", failed(KEPT_LOGS + 5))
        stage.scaler.scale("brief", 0)
        await stage.watcher.until("brief", gone)
        assert len(list((stage.logs / "brief").glob("*.log"))) == KEPT_LOGS

    async def test_logs_of_revisions_that_left_are_deleted_but_for_the_newest(self, stage: ProcessStage) -> None:
        foreign = stage.logs / "nginx" / "access.log"
        for number in range(KEPT_REVISIONS + 3):
            log = stage.logs / f"old-{number}" / f"old-{number}-00beef.log"
            log.parent.mkdir(parents=True)
            log.touch()
            os.utime(log.parent, (number, number))
        foreign.parent.mkdir()
        foreign.touch()
        stage.declare("old-1", stage.spec("/bin/sh"))
        left = {directory.name for directory in stage.logs.iterdir()}
        assert left == {"nginx", "old-1", *(f"old-{number}" for number in range(3, KEPT_REVISIONS + 3))}
        assert foreign.exists()
        await stage.scaler.close(drain=0)
        assert len(list(stage.logs.iterdir())) == KEPT_REVISIONS + 2

    async def test_a_log_that_cannot_be_deleted_keeps_nobody_from_hearing_of_ends(self, stage: ProcessStage) -> None:
        directory = stage.logs / "doomed" / "old.log"
        directory.mkdir(parents=True)
        os.utime(directory, (1, 1))
        for number in range(KEPT_LOGS):
            (stage.logs / "doomed" / f"{number}.log").touch()
        heard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        stage.scaler.scale("doomed", 1)
        await stage.watcher.until("doomed", failed(1))
        assert (heard, directory.exists()) == ([], True)


class TestKilling:
    async def test_kill_9_of_the_edge_leaves_nothing_behind(self, tmp_path: Path) -> None:
        mark = uuid.uuid4().int.__str__()[:12]
        environment = {**os.environ, "MARK": mark, "PYTHON": sys.executable, "MODEL": STAMPING}
        edge = await asyncio.create_subprocess_exec(
            *(sys.executable, str(MODELS / "edge.py"), str(tmp_path), *FORKING),
            env=environment | {"PYTHONPATH": str(MODELS.parents[1])},
            stdout=asyncio.subprocess.PIPE,
        )
        assert edge.stdout
        assert await edge.stdout.readline() == b"ready\n"
        await some(mark, 2 * FAMILY)
        edge.kill()
        await edge.wait()
        assert await all_gone(mark, within=60)

    async def test_kill_9_of_the_keeper_kills_all_and_another_takes_over(self, stage: ProcessStage) -> None:
        stage.declare("forking", replace(stage.spec(*FORKING), probe_period=3600))
        stage.scaler.scale("forking", 2)
        await stage.watcher.until("forking", ready(2))
        family = await some(stage.mark, 2 * FAMILY)
        os.kill(stage.keeper_pid(), signal.SIGKILL)
        snapshot = await stage.watcher.until("forking", gone)
        assert "keeper" in snapshot.last_failure
        assert not set(marked(stage.mark)) & set(family)
        await stage.watcher.until("forking", ready(2))

    async def test_a_keeper_that_is_stopped_is_told_as_the_cause_and_starts_go_on_with_it(
        self, stage: ProcessStage
    ) -> None:
        keeper = stage.keeper_pid()
        os.kill(keeper, signal.SIGSTOP)
        stage.scaler.scale("good", 1)
        await stage.watcher.until("good", with_message("the keeper process has not answered"))
        os.kill(keeper, signal.SIGCONT)
        (replica,) = (await stage.watcher.until("good", ready(1))).replicas
        assert replica.message == ""

    async def test_kill_9_of_a_warden_is_a_crash_of_its_replica(self, stage: ProcessStage) -> None:
        stage.declare("forking", stage.spec(*FORKING))
        stage.scaler.scale("forking", 1)
        (replica,) = (await stage.watcher.until("forking", ready(1))).replicas
        (other,) = await started(stage, 1)
        family = await some(f"REPLICA={replica.name}", 1)
        os.kill(parent(stage.pid_of(replica.name)), signal.SIGKILL)
        await stage.watcher.until("forking", gone)
        assert not set(marked(stage.mark)) & set(family)
        assert stage.pid_of(other)
        await stage.watcher.until("forking", ready(1))

    async def test_sigint_and_sigterm_to_the_keeper_end_nothing(self, stage: ProcessStage) -> None:
        (name,) = await started(stage, 1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(stage.keeper_pid(), number)
        await asyncio.sleep(0.1)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.READY}
