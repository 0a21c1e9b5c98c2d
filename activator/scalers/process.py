"""The process scaler: replicas are local processes, kept by the keeper and found ready by the probe."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from activator.scalers.base import Phase
from activator.scalers.causes import exec_sentence, exit_sentence
from activator.scalers.keeper.client import KeeperClient
from activator.scalers.local import LocalScaler
from activator.scalers.ports import free_port
from activator.scalers.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from activator.scalers.base import ReplicaSpec, Routing
    from activator.scalers.fleet import Launch, News

HOST = "127.0.0.1"
KEPT_LOGS = 20
KEPT_REVISIONS = 20  # of those that are in the configuration no more
REFUSED = os.strerror(errno.ECONNREFUSED).lower()
ADVICE = "; the model must listen on $HOST:$PORT"  # which models that have a port of their own do not know
ANSWER_SECONDS = 2.0  # in which the keeper tells what came of an order, unless it hangs


class ProcessScaler(LocalScaler):
    """A Scaler whose replicas are processes of this machine.

    Output goes to `log_dir/REVISION/REPLICA.log` (and `.log.1`), of which the newest are kept. That a probe
    reaches the replica rather than a stranger rests on its port: bound on trial just before, and out of the
    range that the kernel hands out. A replica that ended is never ready, whoever answers on its port.
    """

    def __init__(self, routing: Routing, *, clock: Callable[[], float], log_dir: Path) -> None:
        self._processes = Processes(log_dir)
        super().__init__(self._processes, routing, clock, _new_name)

    def declare(self, specs: Mapping[str, ReplicaSpec]) -> None:
        """See LocalScaler. Logs of revisions that have left are deleted but for the newest, lest they pile up."""
        super().declare(specs)
        if specs:  # there are none when all ends
            self._processes.tidy(specs)

    async def start(self) -> None:
        """Start the keeper, so that a first replica need not wait for it. OSError when that fails."""
        await self._processes.keeper.start()

    def logs_of(self, revision: str) -> str:
        """Return the directory where the logs of a revision's replicas are."""
        return str(self._processes.logs_of(revision))


def _path() -> str:
    """Return where commands are looked up: beside the edge's own interpreter first, as in its virtual environment."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def _new_name(revision: str) -> str:
    return f"{revision}-{secrets.token_hex(3)}"


@dataclass(slots=True, eq=False)
class Process:
    """One replica's process, from the order to start it until its end."""

    launch: Launch
    news: News
    port: int
    probing: asyncio.Task[None] | None = None


class Processes:
    """A Runner of processes."""

    def __init__(self, log_dir: Path) -> None:
        self.keeper = KeeperClient(self._hear, self._lost)
        self._log_dir = log_dir
        self._running: dict[str, Process] = {}

    def start(self, launch: Launch, news: News) -> Phase:
        """Order the keeper to start a process; what comes of it is told as news."""
        try:
            port = free_port(HOST, {process.port for process in self._running.values()})
            self.keeper.send(self._order(launch, port))
        except OSError as error:
            message = f"{launch.name} could not be started: {error}"
            asyncio.get_running_loop().call_soon(news.ended, launch.name, message)
        else:
            self._running[launch.name] = Process(launch, news, port)
            asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._unanswered, launch.name)
        return Phase.STARTING

    def end(self, name: str) -> None:
        """Order the keeper to end a process."""
        if name in self._running:
            with suppress(OSError):  # the keeper has died, and with it the process; that news is on its way
                self.keeper.send({"do": "end", "name": name})

    def tidy(self, revisions: Iterable[str]) -> None:
        """Delete the logs of revisions that are none of these and do not run, but for those that wrote last. What else
        is in the directory is let be."""
        live = {*revisions, *(process.launch.revision for process in self._running.values())}
        used = {self.logs_of(revision) for revision in live}
        with suppress(OSError):
            left = [each for each in self._log_dir.absolute().iterdir() if each not in used and _own_logs(each)]
            for directory in sorted(left, key=lambda each: each.stat().st_mtime)[:-KEPT_REVISIONS]:
                for log in _own_logs(directory):
                    log.unlink(missing_ok=True)
                directory.rmdir()

    async def close(self) -> None:
        """End the keeper and all that is left."""
        await self.keeper.close()
        for process in self._running.values():
            _stop_probing(process)
        self._running.clear()

    def _order(self, launch: Launch, port: int) -> dict[str, Any]:
        spec = launch.spec
        return {
            "do": "start",
            "name": launch.name,
            "command": spec.command,
            "env": {"PATH": _path(), **spec.env, "HOST": HOST, "PORT": str(port), "REPLICA": launch.name},
            "directory": str(spec.directory),
            "log": str(self.logs_of(launch.revision) / f"{launch.name}.log"),
            "log_bytes": spec.log_bytes,
            "grace": spec.termination_grace,
        }

    def logs_of(self, revision: str) -> Path:
        """Return the directory where the logs of a revision's replicas are."""
        return self._log_dir.absolute() / quote(revision, safe="")

    def _hear(self, message: dict[str, Any]) -> None:
        process = self._running.get(message["name"])
        if process is None:
            return
        if message["event"] == "started":
            process.news.running(process.launch.name, HOST, process.port)
            process.probing = asyncio.get_running_loop().create_task(_watch(process))
        elif message["event"] == "failed":
            spec = process.launch.spec
            error = (message["errno"], message["culprit"], message["text"])
            command = spec.command[0] if spec.command else ""
            sentence, doomed = exec_sentence(command, str(spec.directory), error)
            self._ended(process, sentence, doomed=doomed)
        else:
            self._ended(process, exit_sentence(process.launch.name, message["code"], message["tail"]))

    def _unanswered(self, name: str) -> None:
        """Tell why a replica does not start if the keeper has said nothing of it. It may yet: it is not replaced, since
        all models that run would go with it."""
        process = self._running.get(name)
        if process is not None and process.probing is None:
            process.news.unready(name, f"the keeper process has not answered for {ANSWER_SECONDS:g} s: is it stopped?")

    def _lost(self) -> None:
        for process in list(self._running.values()):
            self._ended(process, f"{process.launch.name} went down with the keeper process, which was killed")

    def _ended(self, process: Process, message: str, *, doomed: bool = False) -> None:
        del self._running[process.launch.name]
        _stop_probing(process)
        process.news.ended(process.launch.name, message, doomed=doomed)
        self._prune(process.launch.revision)

    def _prune(self, revision: str) -> None:
        """Delete the oldest logs of `revision` beyond those of running replicas and the newest of the others. What
        cannot be deleted now is once the next replica ends."""
        live = {f"{name}.log" for name in self._running}
        with suppress(OSError):
            logs = [log for log in self.logs_of(revision).glob("*.log") if log.name not in live]
            for log in sorted(logs, key=lambda log: log.stat().st_mtime)[:-KEPT_LOGS]:
                log.unlink(missing_ok=True)
                log.with_name(log.name + ".1").unlink(missing_ok=True)


def _own_logs(directory: Path) -> list[Path]:
    """Return the logs that replicas of a directory's revision left there: REVISION-ABCDEF.log and .log.1."""
    if not directory.is_dir():
        return []
    own = re.compile(re.escape(directory.name) + r"-[0-9a-f]{6}\.log(\.1)?")
    return [each for each in directory.iterdir() if own.fullmatch(each.name)]


def _stop_probing(process: Process) -> None:
    if process.probing:
        process.probing.cancel()


async def _watch(process: Process) -> None:
    """Probe a process until it ends: one probe at a time, each a period after the last began."""
    loop = asyncio.get_running_loop()
    name, spec = process.launch.name, process.launch.spec
    ready, failures = False, 0
    while True:
        begun = loop.time()
        complaint = await probe(HOST, process.port, spec.readiness_path, within=spec.probe_timeout, tls=spec.tls)
        failures = failures + 1 if complaint else 0
        if not complaint:
            ready = True
            process.news.ready(name)
        elif not ready or failures >= spec.failure_threshold:
            process.news.unready(name, f"{complaint}{ADVICE}" if complaint.endswith(REFUSED) else complaint)
        period = spec.probe_period if ready else spec.startup_period
        await asyncio.sleep(max(begun + period - loop.time(), 0))
