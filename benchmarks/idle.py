"""What an idle keep-alive connection costs in memory: 5,000 of them to each proxy, each after one answered request.

Run `python -m benchmarks idle`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks import helpers
from benchmarks.field import Started, allow_descriptors, scratch, start_peers
from benchmarks.models import small_model
from benchmarks.processes import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

CONNECTIONS, QUICK_CONNECTIONS = 5000, 1000
WARM = 100


def measure(connections: int, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return bytes per connection of each peer."""
    allow_descriptors()
    skipped: dict[str, str] = {}
    with scratch() as directory, ExitStack() as stack:
        model = small_model(directory, stack)
        results = {}
        for name, proxy in start_peers(model, directory, skipped, stack).items():
            tell(f"{connections} idle connections: {name}")
            results[name] = _cost(proxy, connections)
    return {"connections": connections, "peers": results, "skipped": skipped}


def show(figures: dict[str, Any], report: Report) -> None:
    """Print the table."""
    rows = [
        (name, f"{peer['bytes_each'] / 1024:.1f}", f"{peer['before'] / 2**20:.1f}", str(peer["open"]))
        for name, peer in figures["peers"].items()
    ]
    title = f"{figures['connections']} idle keep-alive connections"
    report.table(title, ("proxy", "KiB each", "MiB before", "still open"), rows)


def _cost(proxy: Started, connections: int) -> dict[str, int]:
    _crowd(proxy, WARM)
    before = resident_bytes(proxy.pid)
    after, still_open = _crowd(proxy, connections)
    return {"before": before, "after": after, "bytes_each": round((after - before) / connections), "open": still_open}


def _crowd(proxy: Started, connections: int) -> tuple[int, int]:
    """Return the proxy's memory while so many are connected, and how many are so still."""
    with helpers.helper("idle", proxy.port, connections) as crowd:
        crowd.wait()
        resident = resident_bytes(proxy.pid)
        still_open: int = crowd.figures()["open"]
    return resident, still_open
