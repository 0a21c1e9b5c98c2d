"""How long a request takes at 70 % of what a proxy can: an open loop, which does not wait when the proxy is slow.

What it can is what wrk gets in a closed loop; a proxy that can more than the router is asked for the router's 70 %, so
that the load stays what one core can make and answer. Run `python -m benchmarks latency`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import helpers
from benchmarks.field import Started, allow_descriptors, scratch, start_peers
from benchmarks.load import SCENARIOS, Wrk
from benchmarks.models import small_model
from benchmarks.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

PART = 0.7
CONNECTIONS = 64


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    peak_seconds: int = 3
    seconds: int = 8


QUICK = Plan(peak_seconds=1, seconds=2)


def measure(plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the figures of each peer. Absent without wrk."""
    allow_descriptors()
    skipped: dict[str, str] = {}
    with scratch() as directory, ExitStack() as stack:
        wrk = Wrk(SCENARIOS[0], cores()[1], directory)
        model = small_model(directory, stack)
        proxies = start_peers(model, directory, skipped, stack)
        results, most = {}, float("inf")
        for name, proxy in proxies.items():
            tell(f"open loop: {name}")
            results[name] = _open_loop(wrk, proxy, plan, most)
            if name == "router":
                most = results[name]["rate"]
    return {"peers": results, "skipped": skipped}


def show(figures: dict[str, Any], report: Report) -> None:
    """Print the table."""
    columns = ("proxy", "peak requests/s", "asked requests/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "unanswered")
    rows = [
        (
            name,
            f"{peer['peak']:,}",
            f"{peer['rate']:,}",
            *(f"{peer[key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms")),
            str(peer["asked"] - peer["answered"]),
        )
        for name, peer in figures["peers"].items()
    ]
    report.table(f"open loop at {PART:.0%} of the peak, {CONNECTIONS} connections", columns, rows)


def _open_loop(wrk: Wrk, proxy: Started, plan: Plan, most: float) -> dict[str, Any]:
    wrk.run(proxy.port, 1)
    told = wrk.run(proxy.port, plan.peak_seconds)
    peak = round(told.requests / told.seconds)
    rate = int(min(PART * peak, most))
    return {"peak": peak, "rate": rate} | helpers.run("open_load", proxy.port, rate, plan.seconds, CONNECTIONS)
