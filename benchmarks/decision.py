"""What a decision costs: CPU time of one revision's records, averages and decision, and of 10,000 revisions.

Run `python -m benchmarks.decision` (--json for one JSON object). Budget: 50 us for one, 1 s for 10,000, on one core.
One revision's round is one record, both averages and one decision, with the default windows (120 s and 30 s) full.
"""

from __future__ import annotations

import argparse
import json
from time import process_time

from activator.kpa.decide import Observation, State, decide, initial_state
from activator.kpa.spec import Algorithm, Spec
from activator.kpa.window import Windows

ROUNDS = 20_000
REVISIONS = 10_000
SPECS = {
    "linear": Spec(target=1.0, total=1.0),
    "linear_with_delay": Spec(target=1.0, total=1.0, scale_down_delay=300.0),
    "weighted": Spec(target=1.0, total=1.0, algorithm=Algorithm.WEIGHTED),
}


def filled(spec: Spec) -> Windows:
    """Return windows in which every second before 120 has a value."""
    windows = Windows(spec)
    for second in range(120):
        windows.record(second, _load(second))
    return windows


def one_revision(spec: Spec) -> float:
    """Return the CPU microseconds of one round of one revision."""
    windows, state = filled(spec), initial_state(1, 0.0)
    begun = process_time()
    for now in range(120, 120 + ROUNDS):
        state = _round(spec, windows, state, now)
    return (process_time() - begun) / ROUNDS * 1e6


def many_revisions(spec: Spec) -> float:
    """Return the CPU seconds of one round of each of 10,000 revisions."""
    revisions = [(filled(spec), initial_state(n % 5, 0.0)) for n in range(REVISIONS)]
    begun = process_time()
    for windows, state in revisions:
        _round(spec, windows, state, 120)
    return process_time() - begun


def _round(spec: Spec, windows: Windows, state: State, now: int) -> State:
    windows.record(now, _load(now))
    stable, panic = windows.averages(now) or (None, None)
    return decide(spec, state, Observation(now % 7, stable, panic), now)[0]


def measure() -> dict[str, float]:
    """Return every figure by name."""
    figures = {f"{name}_us_per_revision": round(one_revision(spec), 2) for name, spec in SPECS.items()}
    return figures | {"seconds_per_10000_revisions": round(many_revisions(SPECS["linear"]), 4)}


def _load(second: int) -> float:
    return (second * 37 % 101) / 25


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU cost of the scaling decision, on one core")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps(figures))
        return
    for name, spec in SPECS.items():
        cost = figures[f"{name}_us_per_revision"]
        print(f"one revision, {name.replace('_', ' ')}, {spec.stable_window:.0f} s: {cost:.1f} us (budget 50 us)")
    print(f"10,000 revisions, linear: {figures['seconds_per_10000_revisions']:.3f} s (budget 1 s)")


if __name__ == "__main__":
    main()
