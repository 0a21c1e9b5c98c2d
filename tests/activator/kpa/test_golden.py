"""Decisions recorded from Knative's own autoscaler (knative/serving at 98e5ef90) come out equal.

`kpa-decisions` are the reference traces. `kpa-decisions-corners` were recorded the same way for what those lack:
windows of fractions of a second, decisions between ticks, delays that a tick does not divide, numbers near 32 bits.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from math import isclose
from pathlib import Path
from typing import Any

import pytest

from activator.kpa.replay import replay

DATA = Path(__file__).parents[2] / "data"
FILES = {"kpa-decisions": 27_490, "kpa-decisions-corners": 2_024}


@cache
def recorded(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def differs(made: list[Any], expected: list[Any]) -> bool:
    averages = zip(made[3:5], expected[3:5], strict=True)
    exact = made[:3] + made[5:] == expected[:3] + expected[5:]
    return not (exact and all(isclose(ours, theirs, rel_tol=1e-6) for ours, theirs in averages))


@pytest.mark.parametrize("name", FILES)
def test_every_recorded_decision_comes_out_equal(name: str) -> None:
    wrong, compared = [], 0
    for trace in recorded(name):
        made: Any = replay(trace)["steps"]
        compared += len(made)
        wrong += [
            (trace["id"], ours, theirs)
            for ours, theirs in zip(made, trace["steps"], strict=True)
            if differs(ours, theirs)
        ]
    assert wrong == []
    assert compared == FILES[name]


def test_results_in_the_input_are_not_looked_at() -> None:
    for trace in recorded("kpa-decisions")[::8]:
        cut = trace | {"steps": [step[:2] for step in trace["steps"]]}
        assert replay(cut) == replay(trace)


def test_numbers_have_the_types_of_the_recording() -> None:
    for trace in recorded("kpa-decisions")[:20]:
        made = json.loads(json.dumps(replay(trace)))
        types = [[type(value) for value in step] for step in made["steps"]]
        assert types == [[type(value) for value in step] for step in trace["steps"]]
        assert made["id"] == trace["id"]
