"""An edge as a process: started by its command, with a directory of its own, and watched until nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from tests.activator.scalers.processes import marked
from tests.journeys.services import MODELS, service

if TYPE_CHECKING:
    from tests.journeys.services import Keys

ACTIVATOR = str(Path(sys.executable).with_name("activator"))
PATIENCE = 60.0


class Stamp(NamedTuple):
    """A line of the models' log: what happened, to which request on which replica, when (ns), beside how many."""

    event: str
    process: int
    replica: str
    request: str
    at: int
    running: int


class Daemon:
    """`activator serve` on the configuration in `home`; it may be started again after its end.

    `command` is how it is called: another one may put something in front; `arguments` say where its configuration is.
    """

    command: tuple[str, ...] = (ACTIVATOR,)
    inherited: tuple[int, ...] = ()  # descriptors that it gets
    patience = PATIENCE  # for its start and its end

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "activator.yaml"
        self.arguments: tuple[str, ...] = ("--config", str(self.file))
        self.mark = str(uuid4().int)[:12]
        self.config: Keys = {}
        self.listen = self.admin = self.plain = ""
        self._stamps = home / "stamps.log"
        self._starts = self._writes = 0
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def said(self) -> str:
        """What the present run wrote to its standard error."""
        return self._output.read_text()

    @property
    def _output(self) -> Path:
        return self.home / f"edge-{self._starts}.log"

    def write(self, config: Keys) -> str:
        """Replace the configuration file (in JSON, which is YAML, too). Return the name of a service that is in it for
        no other use than to tell when it is in force."""
        self.config = config
        self._writes += 1
        marker = service(f"version-{self._writes}")
        self.write_text(json.dumps({**config, "services": [*config["services"], marker]}, indent=1))
        return str(marker["name"])

    def write_text(self, text: str) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.file)

    def start(self) -> None:
        """Start, and return once it serves."""
        self._starts += 1
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*self.command, "serve", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
                env={**os.environ, **self._environment()},
                pass_fds=self.inherited,
            )
        self._await_serving()

    def logs(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of the present run that tell of `event`."""
        lines = [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def stamps(self, revision: str, event: str) -> list[Stamp]:
        """Return what the models of a revision logged, over all runs."""
        stamps = []
        for line in self._stamps.read_text().splitlines() if self._stamps.exists() else ():
            name, process, replica, request, at, running = line.split()
            if name == event and replica.rpartition("-")[0] == revision:
                stamps.append(Stamp(name, int(process), replica, request, int(at), int(running)))
        return stamps

    def gate(self, name: str) -> Path:
        """Return the file by which a gate of its models is open."""
        return Path(f"{self._stamps}.{name}")

    def processes(self) -> list[int]:
        """Return all processes that came from this edge, itself included."""
        return marked(self.mark)

    def workers(self) -> list[int]:
        """Return its worker processes."""
        return [pid for pid in self.processes() if b"peers.worker" in _command_line(pid)]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        return self._process.wait(self.patience)

    def stop(self) -> None:
        """End it as an operator would. It must end well, with nothing left behind and nothing to be ashamed of."""
        if self._process is None:
            return
        try:
            if self._process.poll() is None:
                self.signal(signal.SIGTERM)
                assert self.ended() == 0, self.said
            assert self.processes() == []
        finally:
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        self.check_words()

    def check_words(self) -> None:
        """Assert that what was said since the last check has no traceback and tells of no defect."""
        text = self.said[self._read :]
        self._read += len(text)
        for shame in ("Traceback", '"defect"', "a background task died", "Warning:"):
            assert shame not in text, text

    def _environment(self) -> dict[str, str]:
        model = {"PYTHON": sys.executable, "MODEL": str(MODELS / "stamping.py"), "STAMPS": str(self._stamps)}
        return {"MARK": self.mark, **model}

    def _await_serving(self) -> None:
        assert self._process is not None
        self._read = 0
        deadline = time.monotonic() + self.patience
        while not (serving := self.logs("serving")):
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
        self.listen, self.admin = serving[0]["listen"], serving[0]["admin"]
        self.plain = serving[0].get("plain", "")


def adopting(descriptor: int) -> tuple[str, ...]:
    """Return what to put in front of a command that is to get a listening socket by systemd's protocol."""
    script = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execvp(sys.argv[2], sys.argv[2:])"
    )
    return (sys.executable, "-S", "-E", "-c", script, str(descriptor))


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
