"""Faults of replicas that start: F01 to F05."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.ledger.fault import fault

if TYPE_CHECKING:
    from tests.ledger.stage import Stage


@fault("F01", "cold start: 50 clients at once on a service at zero", 6, quick=2)
async def cold_start(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)), stage.model("cold", (0, 4)))
    async with stage.load():
        await stage.wait(0.5)
        await asyncio.gather(*(stage.ask("cold", f"/?size={n * 100}", b"x" * n) for n in range(1, 51)))
        await stage.wait(0.5)
    writes = [scaled for scaled in stage.scaled("cold-1") if scaled.before == 0]
    stage.expect(len(writes) == 1, f"0 -> n was ordered {len(writes)} times")


@fault("F02", "a replica that never becomes ready", 4)
async def never_ready(stage: Stage) -> None:
    never = stage.model("never", (0, 1), {"TURNS": "unready"}, requests={"hold-timeout": "2s"})
    await stage.start(stage.model("warm", (1, 1)), never)
    async with stage.load():
        rows = await stage.crowd(10, "never", body=b"held")
    stage.allow("503", 10)
    waits = [row.end - row.sent for row in rows]
    stage.expect(all(row.status == 503 for row in rows), "not all that were held got 503")
    stage.expect(all(1.5 <= wait <= 2.8 for wait in waits), f"503 after {min(waits):.1f} to {max(waits):.1f} s, not 2")
    stage.expect(len(stage.starts("never-1")) == 1, f"started {len(stage.starts('never-1'))} times")


@fault("F03", "a replica that crashes at its start three times, then runs", 4)
async def crashing(stage: Stage) -> None:
    crashing = stage.model("crashing", (0, 1), {"TURNS": "crash,crash,crash,good"})
    await stage.start(stage.model("warm", (1, 1)), crashing)
    async with stage.load():
        await stage.crowd(20, "crashing", body=b"once only")
    stage.expect(len(stage.starts("crashing-1")) == 4, f"started {len(stage.starts('crashing-1'))} times, not 4")


@fault("F04", "a replica that is ready a second before it listens", 4)
async def late(stage: Stage) -> None:
    await stage.start(stage.model("warm", (1, 1)), stage.model("late", (0, 1), {"TURNS": "late"}))
    async with stage.load():
        await stage.crowd(20, "late", body=b"once only")


@fault("F04-full", "a replica that is ready a second before it listens, while its queue is full", 3)
async def late_and_full(stage: Stage) -> None:
    """Who waits is tried again and again, and comes back to its place: who comes meanwhile must not get that."""
    limits = {"container-concurrency": 1, "queue-depth": 5}
    await stage.start(stage.model("late", (0, 1), {"TURNS": "late", "START_SECONDS": "0.5"}, requests=limits))
    first = asyncio.create_task(stage.crowd(5, "late", body=b"first"))
    await stage.edge.held("late", 5)
    async with stage.load("late", rate=300, streams=0):
        await stage.wait()
    stage.expect(all(row.good for row in await first), "one that was held was refused")
    stage.allow("503")


@fault("F05", "one replica of two listens and accepts nothing", 8)
async def deaf(stage: Stage) -> None:
    deaf = stage.model("half", (2, 2), {"TURNS": "deaf,good"}, requests={"first-byte-timeout": "1s"})
    await stage.start(deaf)
    async with stage.load("half", rate=20, streams=0):
        await stage.wait()
    stage.allow("504", 6)  # what the kernel of the deaf one accepts
