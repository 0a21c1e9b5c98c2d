"""All benchmarks, one after the other: `python -m benchmarks`.

A full run takes about ten minutes and is kept in benchmarks/results/latest.json; --quick takes two and keeps nothing.
With --strict the exit status is 1 when a required budget is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import coldstart, decision, machine, proxies
from benchmarks.peers import Absent
from benchmarks.report import Report

PARTS = ("decision", "coldstart", "proxies")
LATEST = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    options = _options()
    report = Report()
    results: dict[str, Any] = {"machine": machine.describe(), "quick": options.quick}
    report.machine(results["machine"])
    for part in options.parts:
        try:
            results[part] = _measure(part, quick=options.quick)
        except Absent as absent:
            report.say(f"Skipped: {part}. {absent}")
        else:
            _print(report, part, results[part])
    _keep(results, options)
    if options.strict and report.missed:
        sys.exit(1)


def _measure(part: str, *, quick: bool) -> dict[str, Any]:
    if part == "decision":
        return decision.measure()
    if part == "coldstart":
        return coldstart.measure(coldstart.QUICK_STARTS if quick else coldstart.STARTS, _tell)
    return proxies.measure(proxies.QUICK if quick else proxies.Plan(), _tell)


def _print(report: Report, part: str, figures: dict[str, Any]) -> None:
    printers = {"decision": report.decisions, "coldstart": report.cold_starts, "proxies": report.proxies}
    printers[part](figures)


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
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"which of {', '.join(PARTS)}; all if none is named")
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
