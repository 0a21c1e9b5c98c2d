"""What slow clients do to the others: 2,000 that send a head a byte at a time and 500 that hardly read a large answer,
beside normal traffic at a fixed rate.

The p99 of the normal traffic may double, and memory must be flat: once all have come it must not grow from the first
half to the second. Run `python -m benchmarks slow`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import helpers
from benchmarks.field import Started, allow_descriptors, scratch, start_peers
from benchmarks.models import small_model
from benchmarks.processes import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

NAMES = ("router", "haproxy", "nginx", "go")
RATE = 2000
CONNECTIONS = 32
P99_FACTOR, P99_FLOOR_MS = 2.0, 1.0
GROWTH = 0.05


@dataclass(frozen=True)
class Plan:
    """How much is measured; the heads' own timeout of 10 s should pass more than once."""

    senders: int = 2000
    readers: int = 500
    seconds: int = 15


QUICK = Plan(senders=400, readers=100, seconds=4)


def measure(plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the figures of each peer, before and during the attack."""
    allow_descriptors()
    skipped: dict[str, str] = {}
    results = {}
    with scratch() as directory, ExitStack() as stack:
        model = small_model(directory, stack)
        for name, proxy in start_peers(model, directory, skipped, stack, NAMES).items():
            tell(f"{plan.senders} slow senders and {plan.readers} slow readers: {name}")
            results[name] = _attacked(proxy, plan)
    return {"senders": plan.senders, "readers": plan.readers, "rate": RATE, "peers": results, "skipped": skipped}


def show(figures: dict[str, Any], report: Report) -> None:
    """Print the table and the verdicts."""
    columns = (
        "proxy",
        "p99 ms before",
        "p99 ms during",
        "unanswered",
        "MiB before",
        "MiB first half",
        "MiB second half",
    )
    rows = [
        (
            name,
            f"{peer['before']['p99_ms']:.2f}",
            f"{peer['during']['p99_ms']:.2f}",
            str(peer["during"]["asked"] - peer["during"]["answered"]),
            *(f"{peer[key] / 2**20:.1f}" for key in ("bytes_before", "bytes_halfway", "bytes_after")),
        )
        for name, peer in figures["peers"].items()
    ]
    title = (
        f"{figures['rate']} requests/s beside {figures['senders']} slow senders and {figures['readers']} slow readers"
    )
    report.table(title, columns, rows)
    router = figures["peers"]["router"]
    before, during = router["before"]["p99_ms"], router["during"]["p99_ms"]
    bound = max(P99_FACTOR * before, P99_FLOOR_MS)
    report.judge(
        f"p99 {during:.2f} ms beside {before:.2f} ms before, required at most twice or {P99_FLOOR_MS:g} ms",
        during <= bound,
    )
    grown = router["bytes_after"] / router["bytes_halfway"] - 1
    report.judge(
        f"memory changed by {grown:+.1%} from the first half to the second, required +5% at most", grown <= GROWTH
    )


def _attacked(proxy: Started, plan: Plan) -> dict[str, Any]:
    before = _load(proxy, plan.seconds)
    bytes_before = resident_bytes(proxy.pid)
    with helpers.helper("slow", proxy.port, plan.senders, plan.readers) as crowd:
        crowd.wait()
        time.sleep(plan.seconds)
        bytes_halfway = resident_bytes(proxy.pid)
        during = _load(proxy, plan.seconds)
        bytes_after = resident_bytes(proxy.pid)
        seen = crowd.figures()
    memory = {"bytes_before": bytes_before, "bytes_halfway": bytes_halfway, "bytes_after": bytes_after}
    return {"before": before, "during": during, "crowd": seen} | memory


def _load(proxy: Started, seconds: int) -> dict[str, Any]:
    return helpers.run("open_load", proxy.port, RATE, seconds, CONNECTIONS)
