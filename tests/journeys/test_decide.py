"""`activator decide`: recorded loads in, Knative's decisions out. The whole recording is in the kpa's tests."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
from pathlib import Path

import pytest

from tests.journeys.daemon import ACTIVATOR

RECORDING = Path(__file__).parents[1] / "data" / "kpa-decisions.jsonl.gz"
EVERY = 12


async def _decide(text: str) -> tuple[int | None, list[str], str]:
    process = await asyncio.create_subprocess_exec(
        *(ACTIVATOR, "decide"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate(text.encode())
    return process.returncode, output.decode().splitlines(), errors.decode()


async def test_decisions_equal_the_recording_from_time_and_ready_replicas_alone() -> None:
    with gzip.open(RECORDING, "rt") as file:
        recorded = [json.loads(line) for line in file][::EVERY]
    asked = [{**trace, "steps": [step[:2] for step in trace["steps"]]} for trace in recorded]
    code, lines, errors = await _decide("".join(f"{json.dumps(trace)}\n" for trace in asked))
    assert (code, errors) == (0, "")
    for trace, line in zip(recorded, lines, strict=True):
        made = json.loads(line)
        assert made["id"] == trace["id"]
        for ours, theirs in zip(made["steps"], trace["steps"], strict=True):
            t, ready, valid, stable, panic, *rest = theirs
            assert ours == [t, ready, valid, pytest.approx(stable, rel=1e-6), pytest.approx(panic, rel=1e-6), *rest]


async def test_a_line_that_is_no_trace_is_named() -> None:
    code, lines, errors = await _decide("\nnot JSON\n")
    assert (code, lines) == (2, [])
    assert errors.startswith("activator: line 2: ")
