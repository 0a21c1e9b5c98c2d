"""Faults on the wire between edge and model: F12 to F14."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.ledger.fault import fault
from tests.ledger.rows import Outcome
from tests.models.answers import ANSWERS, PROPER

if TYPE_CHECKING:
    from tests.ledger.stage import Stage


@fault("F12", "a model closes idle connections when they would be used again", 12)
async def idle_race(stage: Stage) -> None:
    services = [stage.model(f"idle{n}", (1, 1), {"IDLE": f"{n / 10}"}) for n in (9, 10, 11, 19, 20, 21)]
    await stage.start(*services)
    until = time.monotonic() + stage.seconds

    async def visit(service: str) -> None:
        while time.monotonic() < until:
            body = None if stage.random.random() < 0.3 else b"once only"
            await stage.ask(service, body=body)
            around = stage.random.choice((0.9, 1.0, 1.1, 1.95, 2.0, 2.1))
            await asyncio.sleep(around + stage.random.uniform(-0.05, 0.05))

    await asyncio.gather(*(visit(service["name"]) for service in services for _ in range(5)))


@fault("F13", "a model answers 413 early, during a large upload", 6)
async def early(stage: Stage) -> None:
    await stage.start(stage.model("warm", (1, 1)), stage.model("early", (1, 1), requests={"first-byte-timeout": "5s"}))
    large = bytes(8 << 20)
    async with stage.load(rate=20, streams=1):
        until, rows = time.monotonic() + stage.seconds, []
        while time.monotonic() < until:
            rows += await asyncio.gather(*(stage.ask("early", "/?early=413", large) for _ in range(3)))
    seen = sum(row.status == 413 and row.outcome is Outcome.COMPLETE for row in rows)
    stage.terms.facts["413 seen"] = f"{seen} of {len(rows)}"
    stage.expect(seen >= 0.99 * len(rows), f"only {seen} of {len(rows)} saw the early answer")
    stage.allow("413")


@fault("F14", "a model sends garbage, too much, or half an answer", 5, quick=2)
async def garbage(stage: Stage) -> None:
    await stage.start(stage.model("warm", (1, 1)), stage.model("fuzz", (1, 1)))
    numbers = [*range(len(ANSWERS))] * max(1, round(stage.seconds))
    stage.random.shuffle(numbers)
    async with stage.load(rate=30):
        for number in numbers:
            row = await stage.ask("fuzz", f"/?fuzz={number}", body=b"x")
            stage.expect(row.good or number >= PROPER, f"{row.id}: answer {number} is proper, and became {row.kind}")
        for ending in ("fin", "rst"):
            await stage.ask("fuzz", f"/?cut={ending}&size=50000")
        await stage.wait(0.3)
    stage.allow("502", len(numbers))
    stage.allow("truncated", len(numbers))
