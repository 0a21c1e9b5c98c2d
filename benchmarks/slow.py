"""What slow clients do to the others: 2,000 that send a head a byte at a time and 500 that hardly read a large answer,
beside normal traffic at a fixed rate.

The p99 of the normal traffic may double, and memory must be flat: once all have come it must not grow from the first
half to the second. A stall of the machine is a p99 of its own in 15 s, so the proxies are attacked in turn, several
times, and the median counts; memory is that of the round in which it grew most. Run `python -m benchmarks slow`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
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
MEMORY = ("bytes_before", "bytes_halfway", "bytes_after")


@dataclass(frozen=True)
class Plan:
    """How much is measured; the heads' own timeout of 10 s should pass more than once."""

    senders: int = 2000
    readers: int = 500
    seconds: int = 15
    rounds: int = 3


QUICK = Plan(senders=400, readers=100, seconds=4, rounds=1)


def measure(plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return the figures of each peer, before and during the attack."""
    allow_descriptors()
    skipped: dict[str, str] = {}
    with scratch() as directory, ExitStack() as stack:
        model = small_model(directory, stack)
        proxies = start_peers(model, directory, skipped, stack, NAMES)
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in proxies}
        for number in range(plan.rounds):
            for name, proxy in proxies.items():
                tell(f"{plan.senders} slow senders and {plan.readers} slow readers: {name}, round {number + 1}")
                rounds[name].append(_attacked(proxy, plan))
    peers = {name: summarize(each) for name, each in rounds.items()}
    return {"senders": plan.senders, "readers": plan.readers, "rate": RATE, "peers": peers, "skipped": skipped}


def summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median over rounds of the p99 before and during the attack, in milliseconds, the least and most of the
    latter, how many were not answered in all, and the memory, in bytes, of the round in which it grew most."""
    before, during = ([each[when]["p99_ms"] for each in rounds] for when in ("before", "during"))
    grown = max(rounds, key=lambda each: each["bytes_after"] / each["bytes_halfway"])
    return {
        "before_ms": median(before),
        "during_ms": median(during),
        "of_rounds": [min(during), max(during)],
        "unanswered": sum(
            each[when]["asked"] - each[when]["answered"] for each in rounds for when in ("before", "during")
        ),
        **{key: grown[key] for key in MEMORY},
        "rounds": rounds,
    }


def show(figures: dict[str, Any], report: Report) -> None:
    """Print the table and the verdicts."""
    columns = (
        "proxy",
        "p99 ms before",
        "p99 ms during",
        "of rounds",
        "unanswered",
        "MiB before",
        "MiB first half",
        "MiB second half",
    )
    rows = [
        (
            name,
            f"{peer['before_ms']:.2f}",
            f"{peer['during_ms']:.2f}",
            "{:.2f}-{:.2f}".format(*peer["of_rounds"]),
            str(peer["unanswered"]),
            *(f"{peer[key] / 2**20:.1f}" for key in MEMORY),
        )
        for name, peer in figures["peers"].items()
    ]
    title = (
        f"{figures['rate']} requests/s beside {figures['senders']} slow senders and {figures['readers']} slow readers"
    )
    report.table(title, columns, rows)
    router = figures["peers"]["router"]
    before, during = router["before_ms"], router["during_ms"]
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
    memory = zip(MEMORY, (bytes_before, bytes_halfway, bytes_after), strict=True)
    return {"before": before, "during": during, "crowd": seen, **dict(memory)}


def _load(proxy: Started, seconds: int) -> dict[str, Any]:
    return helpers.run("open_load", proxy.port, RATE, seconds, CONNECTIONS)
