"""Edges that run beside the tests, as processes, with nothing but their ServiceAccount's token."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.edges import configuration, peers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


PATIENCE = 30.0
RUN = "from activator.cli import main; main()"


class EdgeProcess:
    """`activator serve`, with a directory of its own. `program` and `config` may be others before it is started."""

    def __init__(self, home: Path, settings: dict[str, Any], kubeconfig: Path) -> None:
        self.home = home
        self.program = RUN
        self.config = str(home / "activator.yaml")
        self.name = home.name
        self.listen = self.admin = ""
        self._kubeconfig = kubeconfig
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        home.mkdir()
        (home / "activator.yaml").write_text(yaml.safe_dump(settings))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What the present run wrote."""
        return (self.home / f"edge-{self._starts}.log").read_text()

    def logs(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines that tell of `event`."""
        lines = [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def start(self) -> None:
        """Start it; return once it serves."""
        self._starts += 1
        with (self.home / f"edge-{self._starts}.log").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - which takes no time worth a thread
                [sys.executable, "-c", self.program, "serve", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "KUBECONFIG": str(self._kubeconfig),
                    "POD_NAME": self.name,
                },
            )
        serving = await self.said_that("serving")
        self.listen, self.admin = serving["listen"], serving["admin"]

    async def said_that(self, event: str) -> dict[str, Any]:
        """Wait until the present run's log tells of `event`; return the first line that does."""
        deadline = time.monotonic() + PATIENCE
        while not (lines := self.logs(event)):
            assert self._process is not None
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            await asyncio.sleep(0.02)
        return lines[0]

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    async def restart(self) -> None:
        """See Edge: it keeps its name."""
        await self.kill()
        await self.start()

    def stop(self) -> None:
        """End it as Kubernetes would: it must end well, without a traceback or a defect."""
        if self._process is None:
            return
        assert self._end(signal.SIGTERM) == 0, self.said
        for shame in ("Traceback", '"defect"', "a background task died"):
            assert shame not in self.said, self.said

    def _end(self, number: int) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class ProcessFleet:
    """Processes in directories of their own, below `home`. Those that are started together are peers."""

    def __init__(self, home: Path, kubeconfig: Path, called: str = "edge") -> None:
        self._home = home
        self._kubeconfig = kubeconfig
        self._called = called
        self._edges: list[EdgeProcess] = []

    def prepare(self, changes: Mapping[str, Any]) -> EdgeProcess:
        """Return another edge, which is yet to be started."""
        data = configuration("127.0.0.1:0", "127.0.0.1:0", changes)
        edge = EdgeProcess(self._home / f"{self._called}-{len(self._edges)}", data, self._kubeconfig)
        self._edges.append(edge)
        return edge

    async def start(self, count: int, changes: Mapping[str, Any]) -> list[EdgeProcess]:
        new: list[EdgeProcess] = []
        for each in peers(count, self._home) if count > 1 else [{}]:
            edge = self.prepare({"peers": each, **changes})
            await edge.start()
            new.append(edge)
        for edge in new if count > 1 else []:
            await edge.said_that("peer joined")
        return new

    async def stop(self) -> None:
        for edge in self._edges:
            await asyncio.to_thread(edge.stop)


def write_kubeconfig(path: Path, cluster: Mapping[str, str], namespace: str, token: str) -> None:
    """Write what a pod would find: the server, its authority, the namespace and a token; nothing of the tester's."""
    context = {"cluster": "cluster", "user": "account", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": dict(cluster)}],
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{"name": "context", "context": context}],
        "current-context": "context",
    }
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
