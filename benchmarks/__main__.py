"""All benchmarks, one after the other: `python -m benchmarks`.

A full run takes about 35 minutes and is kept in benchmarks/results/latest.json; --quick takes four and keeps nothing.
With --strict the exit status is 1 when a required budget is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import coldstart, decision, held, idle, latency, machine, proxies, slow, streams, workers
from benchmarks.peers import Absent
from benchmarks.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "decision": lambda _: decision.measure(),
    "coldstart": lambda quick: coldstart.measure(coldstart.QUICK_STARTS if quick else coldstart.STARTS, _tell),
    "proxies": lambda quick: proxies.measure(proxies.QUICK if quick else proxies.Plan(), _tell),
    "latency": lambda quick: latency.measure(latency.QUICK if quick else latency.Plan(), _tell),
    "streams": lambda quick: streams.measure(streams.QUICK if quick else streams.Plan(), _tell),
    "idle": lambda quick: idle.measure(idle.QUICK_CONNECTIONS if quick else idle.CONNECTIONS, _tell),
    "held": lambda quick: held.measure(held.QUICK_REQUESTS if quick else held.REQUESTS, _tell),
    "workers": lambda quick: workers.measure(workers.QUICK if quick else workers.Plan(), _tell),
    "slow": lambda quick: slow.measure(slow.QUICK if quick else slow.Plan(), _tell),
}
SHOWS = {
    "latency": latency.show,
    "streams": streams.show,
    "idle": idle.show,
    "held": held.show,
    "workers": workers.show,
    "slow": slow.show,
}
LATEST = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    options = _options()
    report = Report()
    results: dict[str, Any] = {"machine": machine.describe(), "quick": options.quick}
    report.machine(results["machine"])
    for part in options.parts:
        try:
            results[part] = PARTS[part](options.quick)
        except Absent as absent:
            report.say(f"Skipped: {part}. {absent}")
        else:
            _print(report, part, results[part])
    _keep(results, options)
    if options.strict and report.missed:
        sys.exit(1)


def _print(report: Report, part: str, figures: dict[str, Any]) -> None:
    show = SHOWS.get(part)
    if show is None:
        printers = {"decision": report.decisions, "coldstart": report.cold_starts, "proxies": report.proxies}
        printers[part](figures)
        return
    show(figures, report)
    report.skipped(figures)
    report.say("")


def _keep(results: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the results to the file that was named, or to the usual one after a full run of everything."""
    path = options.json or (None if options.quick or set(options.parts) != set(PARTS) else LATEST)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the edge.")
    parser.add_argument(
        "parts", nargs="*", default=list(PARTS), help=f"which of {', '.join(PARTS)}; all if none is named"
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, few cold starts: a first impression")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a required budget is missed")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
