"""What several worker processes cost and hold, beside one process: whole edges under the same load.

CPU is that of the parent and its workers together, without the model's; all of them have one core, so that the sum is
fair. The load is the same number of requests per second for both edges, which take turns. The split is that of the
workers' CPU. Beside them, two edges of one process that know nothing of each other share the same load: what that costs
is what two processes cost on this machine, whatever they do. Each start of a process has a cost of its own for as long
as it runs (where its memory came to lie), so all are started several times; of a start the least of its rounds counts,
as noise only adds, and of starts the median. Then 16,000 requests are held by two workers. Run
`python -m benchmarks workers`.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import held, helpers
from benchmarks.field import Started, scratch
from benchmarks.peers import find
from benchmarks.processes import ROOT, cores, cpu_seconds, edge_processes, new_port, pinned, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.report import Report

COUNT = 2
LIMITS = {"unlimited": 0, "container-concurrency 4": 4}
CONNECTIONS = 32
MOST_CPU = 1.15  # times that of one process
MOST_SPLIT = 0.6
MODEL = 'exec taskset -c {core} {python} -m benchmarks.upstream "$PORT"'


@dataclass(frozen=True)
class Plan:
    """How much is measured: so many `starts`, in each of them `rounds` of so many `seconds`; `rate` is requests per
    second."""

    starts: int = 5
    rounds: int = 5
    seconds: int = 2
    rate: int = 3000
    held: int = 16_000


QUICK = Plan(starts=1, rounds=1, seconds=2, rate=400, held=1000)


def measure(plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return CPU per request by limit, and what became of the requests that two workers held."""
    costs = {name: _compare(name, limit, plan, tell) for name, limit in LIMITS.items()}
    return {"rate": plan.rate, "costs": costs, "held": held.measure(plan.held, tell, workers=COUNT)}


def show(figures: dict[str, Any], report: Report) -> None:
    """Print the table and the verdicts."""
    columns = (
        "revision",
        "CPU us, 1 process",
        f"{COUNT} workers",
        "ratio",
        "of starts",
        "split",
        f"{COUNT} edges apart",
        "ratio",
    )
    rows = [
        (
            name,
            f"{cost['one']:.0f}",
            f"{cost['several']:.0f}",
            f"{cost['ratio']:.2f} x",
            "{:.2f}-{:.2f}".format(*cost["ratios"]),
            _percent(cost["split"]),
            f"{cost['apart']:.0f}",
            f"{cost['apart'] / cost['one']:.2f} x",
        )
        for name, cost in figures["costs"].items()
    ]
    report.table(f"{figures['rate']} requests per second", columns, rows)
    for name, cost in figures["costs"].items():
        told = f"{name}: {cost['ratio']:.2f} x the CPU of one process, required at most {MOST_CPU:g}"
        report.judge(told, cost["ratio"] <= MOST_CPU)
        told = f"{name}: split {_percent(cost['split'])}, required no worse than {_percent(MOST_SPLIT)}"
        report.judge(told, cost["split"] <= MOST_SPLIT)
        report.judge(f"{name}: {cost['answered']} of {cost['asked']} answered", cost["answered"] == cost["asked"])
    held.show(figures["held"], report, workers=COUNT)


def _compare(name: str, limit: int, plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    starts = []
    for number in range(plan.starts):
        tell(f"workers, {name}: start {number + 1} of {plan.starts}")
        starts.append(_measure_start(limit, plan))
    return summarize(starts)


def _measure_start(limit: int, plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """Return the rounds of edges that are started for them, by what is compared."""
    with scratch() as directory, ExitStack() as stack:
        one, other, several = (
            _start(label, count, limit, directory, stack)
            for label, count in (("one", 1), ("other", 1), ("several", COUNT))
        )
        edges = {"one": [one], "several": [several], "apart": [one, other]}
        for each in edges.values():
            _load(each, plan.rate, 1)
        rounds: dict[str, list[dict[str, Any]]] = {label: [] for label in edges}
        for _ in range(plan.rounds):
            for label, each in edges.items():
                rounds[label].append(_round(each, plan))
        return rounds


def summarize(starts: list[dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """Return the CPU microseconds per request of each (the median over starts of the least of a start's rounds), the
    ratio of workers to one process, its least and most over starts, and the worst split of a round."""
    least = {label: [min(each["cpu_us"] for each in start[label]) for start in starts] for label in starts[0]}
    cost = {label: round(median(costs), 1) for label, costs in least.items()}
    ratios = [several / one for several, one in zip(least["several"], least["one"], strict=True)]
    rounds = [each for start in starts for label in start for each in start[label]]
    return cost | {
        "ratio": round(cost["several"] / cost["one"], 3),
        "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
        "split": max(each["split"] for start in starts for each in start["several"]),
        "answered": sum(each["answered"] for each in rounds),
        "asked": sum(each["asked"] for each in rounds),
        "starts": starts,
    }


def _round(edges: list[Started], plan: Plan) -> dict[str, Any]:
    """Return one round's figures of edges that share the load; `split` is the largest worker's part of what all workers
    used."""
    processes = [pid for edge in edges for pid in edge_processes(edge.pid)]
    before = [cpu_seconds(pid, descendants=False) for pid in processes]
    told = _load(edges, plan.rate, plan.seconds)
    used = [cpu_seconds(pid, descendants=False) - earlier for pid, earlier in zip(processes, before, strict=True)]
    workers = used[1:] or used
    answered, asked = (sum(each[key] for each in told) for key in ("answered", "asked"))
    return {
        "cpu_us": round(sum(used) / answered * 1e6, 1),
        "split": round(max(workers) / (sum(workers) or 1.0), 3),
        "answered": answered,
        "asked": asked,
        "latency": told,
    }


def _load(edges: list[Started], rate: int, seconds: int) -> list[dict[str, Any]]:
    """Return what the load on each edge has told, of which each has an equal part."""
    parts = len(edges)
    with ThreadPoolExecutor(parts) as threads:
        runs = [
            threads.submit(helpers.run, "open_load", edge.port, rate // parts, seconds, CONNECTIONS // parts)
            for edge in edges
        ]
        return [run.result() for run in runs]


def _start(label: str, count: int, limit: int, directory: Path, stack: ExitStack) -> Started:
    """Start an edge of so many processes with one model. It is ready when a first request has been answered."""
    port, admin = new_port(), new_port()
    config = directory / f"edge-{label}.json"
    config.write_text(json.dumps(_config(port, admin, count, limit, f"state-{label}")))
    command = [find("activator", "pip install gpu-activator"), "serve", "--config", str(config)]
    log = directory / f"edge-{label}.log"
    return Started(stack.enter_context(running(pinned(cores()[0], command), admin, log)), port)


def _config(port: int, admin: int, count: int, limit: int, state: str) -> dict[str, Any]:
    """Return a configuration (YAML reads JSON) of one model, which is always awake."""
    command = ["sh", "-c", MODEL.format(core=cores()[1], python=sys.executable)]
    revision = {"name": "model-v1", "command": command, "directory": str(ROOT)}
    return {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "workers": count,
        "scaler": "process",
        "state-dir": state,
        "requests": {"container-concurrency": limit},
        "autoscaling": {"min-scale": 1, "max-scale": 1},
        "services": [{"name": "model", "hosts": ["model.example"], "revisions": [revision]}],
    }


def _percent(part: float) -> str:
    return f"{part:.0%}/{1 - part:.0%}".replace("%", "")
