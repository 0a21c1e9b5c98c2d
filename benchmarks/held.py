"""What a request costs that is held for a sleeping model, and whether all are answered in order once it is awake.

8,000 requests of 1 KiB, each on a connection of its own, through a whole edge with `container-concurrency: 10`. The
model comes to listen only when all are held, so memory can be read in peace. Run `python -m benchmarks held`.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import helpers
from benchmarks.field import allow_descriptors, scratch
from benchmarks.peers import find
from benchmarks.processes import ROOT, cores, edge_processes, new_port, pinned, resident_bytes, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.report import Report

REQUESTS, QUICK_REQUESTS = 8000, 1000
KIB_BUDGET = 12.0
CONCURRENCY = 10
HELD_SECONDS = 60.0
SETTLE_SECONDS = 1.0


def measure(requests: int, tell: Callable[[str], None] = print, *, workers: int = 1) -> dict[str, Any]:
    """Return bytes per held request, and what became of them. RuntimeError when not all come to be held."""
    allow_descriptors()
    port, admin = new_port(), new_port()
    with scratch() as directory:
        gate = directory / "gate"
        config = directory / "edge.json"
        config.write_text(json.dumps(_config(port, admin, gate) | {"workers": workers}))
        edge = [find("activator", "pip install gpu-activator"), "serve", "--config", str(config)]
        with running(pinned(cores()[0], edge), admin, directory / "edge.log") as pid:
            time.sleep(SETTLE_SECONDS)
            before = _own_bytes(pid)
            with helpers.helper("held", port, requests) as crowd:
                tell(f"{crowd.wait()}: {requests} requests")
                _wait_until_held(admin, requests)
                after = _own_bytes(pid)
                gate.touch()
                told = crowd.figures()
    each = round((after - before) / requests)
    return {"requests": requests, "before": before, "after": after, "bytes_each": each} | told


def show(figures: dict[str, Any], report: Report, *, workers: int = 1) -> None:
    """Print the verdicts. The order of several workers is that in which they read requests, each when it has the core:
    how far that is from the crowd's is told, and not judged."""
    each, asked = figures["bytes_each"] / 1024, figures["requests"]
    report.say(f"{asked} requests of 1 KiB held at zero, answered within {figures['seconds']:g} s of the wake")
    report.judge(f"{each:.1f} KiB each above idle, required below {KIB_BUDGET:g}", each < KIB_BUDGET)
    report.judge(f"{figures['answered']} of {asked} answered by the model", figures["answered"] == asked)
    places = figures["out_of_place"]
    told = f"none came to the model more than {places} places from its turn"
    if workers == 1:
        report.judge(told, places <= CONCURRENCY)
    else:
        report.say(told)


def _own_bytes(pid: int) -> int:
    return sum(resident_bytes(each, descendants=False) for each in edge_processes(pid))


def _wait_until_held(admin: int, requests: int) -> None:
    deadline = time.monotonic() + HELD_SECONDS
    while (held := _held(admin)) < requests:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{held} of {requests} requests are held after {HELD_SECONDS:g} s")
        time.sleep(0.2)


def _held(admin: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=30)
    connection.request("GET", "/v1/services")
    services = json.load(connection.getresponse())["services"]
    connection.close()
    return sum(int(revision["held"]) for service in services for revision in service["revisions"])


def _config(port: int, admin: int, gate: Path) -> dict[str, Any]:
    """Return a configuration (YAML reads JSON) of one model that waits for `gate`."""
    command = [sys.executable, "-m", "benchmarks.crowds.held_model"]
    revision = {"name": "model-v1", "command": command, "directory": str(ROOT), "env": {"GATE": str(gate)}}
    return {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "scaler": "process",
        "state-dir": "state",
        "requests": {"container-concurrency": CONCURRENCY, "queue-depth": 20_000},
        "autoscaling": {"max-scale": 1},
        "services": [{"name": "model", "hosts": ["model.example"], "revisions": [revision]}],
    }
