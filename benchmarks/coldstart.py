"""What the edge adds to a cold start: first requests from zero, through a whole edge and real processes.

The overhead of one start is what passes from sending the request to the first command of the model's process, plus what
passes from the model's first listening instant to its receipt of the request. What the model takes in between is its
own affair. The services are woken one by one, then all fall asleep again: later starts are those of revisions that have
been awake before.

Run `python -m benchmarks coldstart` (--quick for 20 starts).
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from benchmarks.peers import find
from benchmarks.processes import new_port, running

if TYPE_CHECKING:
    from collections.abc import Callable

STARTS, QUICK_STARTS = 200, 20
SERVICES = 40
MEDIAN_BUDGET_MS, P99_BUDGET_MS = 25.0, 60.0
ASLEEP_SECONDS = 60.0
SETTLE_SECONDS = 0.5
PAUSE_SECONDS = 0.1
MODEL = "BEGUN=$EPOCHREALTIME exec {python} -I -S {script}"


@dataclass(frozen=True)
class Start:
    """One first request, in milliseconds: to the process, from listening to receipt, and as the client saw it."""

    to_process: float
    to_receipt: float
    whole: float

    @property
    def overhead(self) -> float:
        """What the edge added."""
        return self.to_process + self.to_receipt


def measure(starts: int, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the figures of so many cold starts, in milliseconds. RuntimeError when an answer is not 200."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        port, admin = new_port(), new_port()
        config = Path(directory) / "edge.json"
        config.write_text(json.dumps(_config(port, admin)))
        command = [find("activator", "pip install gpu-activator"), "serve", "--config", str(config)]
        with running(command, admin, Path(directory) / "edge.log"):
            return summarize(_starts(starts, port, admin, tell))


def summarize(starts: list[Start]) -> dict[str, Any]:
    """Return median, p99 and maximum of each part."""
    parts = {
        "request_to_process": [start.to_process for start in starts],
        "listening_to_receipt": [start.to_receipt for start in starts],
        "overhead": [start.overhead for start in starts],
        "seen_by_the_client": [start.whole for start in starts],
    }
    return {"starts": len(starts)} | {name: _spread(values) for name, values in parts.items()}


def _starts(count: int, port: int, admin: int, tell: Callable[[str], None]) -> list[Start]:
    done: list[Start] = []
    while len(done) < count:
        _wait_until_asleep(admin)
        time.sleep(SETTLE_SECONDS)
        turn = min(SERVICES, count - len(done))
        for number in range(turn):
            time.sleep(PAUSE_SECONDS)
            done.append(_start(number, port))
        tell(f"cold starts: {len(done)} of {count}")
    return done


def _start(number: int, port: int) -> Start:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    sent = time.time_ns()
    connection.request("GET", "/predict", headers={"Host": f"model-{number}.example"})
    answer = connection.getresponse()
    body = answer.read()
    answered = time.time_ns()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"a first request got {answer.status}: {body.decode()}")
    told = json.loads(body)
    spans = (told["begun"] - sent, told["received"] - told["listening"], answered - sent)
    return Start(*(nanoseconds / 1e6 for nanoseconds in spans))


def _wait_until_asleep(admin: int) -> None:
    deadline = time.monotonic() + ASLEEP_SECONDS
    while _replicas(admin):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all models are asleep after {ASLEEP_SECONDS:g} s")
        time.sleep(0.2)


def _replicas(admin: int) -> int:
    """Return how many replicas there are, those that are ending included."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
    connection.request("GET", "/v1/services")
    services = json.load(connection.getresponse())["services"]
    connection.close()
    return sum(len(revision["replicas"]) for service in services for revision in service["revisions"])


def _config(port: int, admin: int) -> dict[str, Any]:
    """Return a configuration (YAML reads JSON) of models that fall asleep as soon as the rules allow."""
    script = MODEL.format(python=quote(sys.executable), script=quote(str(Path(__file__).parent / "model.py")))
    return {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "scaler": "process",
        "state-dir": "state",
        "drain-timeout": "1s",
        "autoscaling": {"stable-window": "6s", "scale-to-zero-grace-period": "1s", "tick": "500ms"},
        "process": {"readiness-path": "/ready", "readiness-probe-period": "1h", "termination-grace-period": "1s"},
        "services": [
            {
                "name": f"model-{number}",
                "hosts": [f"model-{number}.example"],
                "revisions": [
                    {"name": f"model-{number}-v1", "command": ["bash", "-c", script], "env": {"LC_ALL": "C"}}
                ],
            }
            for number in range(SERVICES)
        ],
    }


def _spread(values: list[float]) -> dict[str, float]:
    figures = {"median": median(values), "p99": quantiles(values, n=100, method="inclusive")[98], "max": max(values)}
    return {name: round(value, 2) for name, value in figures.items()}
