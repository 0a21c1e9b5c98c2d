"""What a streamed token costs, and how much later it comes: 1,000 streams of 20 tokens a second, phases spread evenly.

Each proxy in turn carries all streams. A token is as old as what passed between the model's send and the client's read;
what the proxy adds is that p99 less the p99 of the same crowd without a proxy. Run `python -m benchmarks streams`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import helpers
from benchmarks.field import Started, allow_descriptors, scratch, start_peers
from benchmarks.peers import PEERS
from benchmarks.processes import cores, cpu_seconds, new_port, pinned, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.report import Report

NAMES = tuple(name for name in PEERS if name != "sketch")  # which does not know chunks
RATE = 20
ADDED_BUDGET_MS = 2.0


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    streams: int = 1000
    seconds: int = 10


QUICK = Plan(streams=200, seconds=3)


def measure(plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the figures of each peer, and those of the crowd without one."""
    allow_descriptors()
    skipped: dict[str, str] = {}
    with scratch() as directory, ExitStack() as stack:
        model = _model(plan, directory, stack)
        proxies = start_peers(model.port, directory, skipped, stack, NAMES)
        results = {}
        for name, proxy in {"no proxy": model, **proxies}.items():
            tell(f"{plan.streams} streams: {name}")
            results[name] = _streams(proxy, plan)
    return {"streams": plan.streams, "rate": RATE, "peers": results, "skipped": skipped}


def show(figures: dict[str, Any], report: Report) -> None:
    """Print the table and the verdicts."""
    columns = ("proxy", "CPU us per token", "core used", "p50 ms", "p99 ms", "added p99 ms", "max ms", "merged", "lost")
    direct = figures["peers"]["no proxy"]
    rows = []
    for name, peer in figures["peers"].items():
        added = peer["p99_ms"] - direct["p99_ms"]
        cost = f"{peer['cpu_us']:.1f}" if name in PEERS else ""
        used = f"{peer['core_used']:.0%}" if name in PEERS else ""
        ages = (f"{age:.2f}" for age in (peer["p50_ms"], peer["p99_ms"], added, peer["max_ms"]))
        rows.append((name, cost, used, *ages, str(peer["merged"]), str(peer["lost"])))
    report.table(f"{figures['streams']} streams of {figures['rate']} tokens a second", columns, rows)
    router = figures["peers"]["router"]
    added = router["p99_ms"] - direct["p99_ms"]
    report.judge(f"a token is {added:.2f} ms later, p99, required below {ADDED_BUDGET_MS:g}", added < ADDED_BUDGET_MS)
    report.judge(f"{router['merged']} merged that were sent more than 20 ms apart, required 0", router["merged"] == 0)


def _model(plan: Plan, directory: Path, stack: ExitStack) -> Started:
    port = new_port()
    command = helpers.command("sse_model", port, plan.streams, RATE, plan.seconds)
    pid = stack.enter_context(running(pinned(cores()[1], command), port, directory / "model.log"))
    return Started(pid, port)


def _streams(proxy: Started, plan: Plan) -> dict[str, Any]:
    with helpers.helper("sse", proxy.port, plan.streams) as crowd:
        crowd.wait()
        before, begun = cpu_seconds(proxy.pid), time.monotonic()
        told = crowd.figures()
        used, seconds = cpu_seconds(proxy.pid) - before, time.monotonic() - begun
    lost = max(0, plan.streams * RATE * (plan.seconds - 1) - told["events"])
    return told | {"lost": lost, "cpu_us": round(used / told["events"] * 1e6, 2), "core_used": round(used / seconds, 3)}
