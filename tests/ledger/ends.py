"""Faults of replicas that end, hang, or are replaced: F06 to F11 and F15."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.activator.scalers.processes import dead
from tests.ledger.fault import fault
from tests.ledger.rows import Outcome

if TYPE_CHECKING:
    from tests.ledger.stage import Stage

PROBED = {"readiness-probe-period": "100ms", "failure-threshold": 1, "termination-grace-period": "5s"}
NOTICED = 0.3  # seconds within which a dead replica gets no more requests, on a busy machine


@fault("F06", "a replica is killed while it serves", 6, quick=3)
async def killed(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)))
    async with stage.load(streams=10):
        await stage.wait(0.5)
        victim = stage.pods("warm-1")[0]
        os.kill(victim.process, signal.SIGKILL)
        while not dead(victim.process):  # noqa: ASYNC110 - as long as a busy machine lets it take
            await asyncio.sleep(0.01)
        at = time.monotonic()
        await stage.wait(0.5)
    served = stage.ledgers().served_of()
    for row in stage.asked:
        if row.good:
            continue
        replicas = {each.replica for each in served.get(row.id, [])}
        stage.expect(replicas <= {victim.replica}, f"{row.id} failed on {replicas}, not on the killed {victim.replica}")
        stage.expect(replicas or row.sent < at + NOTICED, f"{row.id} failed {row.sent - at:.2f} s after the kill")
    stage.allow("502", 40)
    stage.allow("truncated", 15)


@fault("F07", "a replica is told to end and drains", 6)
async def drained(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2), {"TERM": "drain", "LAG": "1"}, process=PROBED))
    async with stage.load():
        await stage.wait(0.3)
        os.kill(stage.pods("warm-1")[0].process, signal.SIGTERM)
        await stage.wait(0.7)


@fault("F08", "a replica closes its socket at once, and its state is told late", 7)
async def closed(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2), {"TERM": "close", "LAG": "3"}))
    async with stage.load():
        await stage.wait(0.2)
        os.kill(stage.pods("warm-1")[0].process, signal.SIGTERM)
        await stage.wait(0.8)


@fault("F09", "a replica hangs in the middle of answers", 8)
async def hung(stage: Stage) -> None:
    limits = {"idle-timeout": "1s", "first-byte-timeout": "1s", "container-concurrency": 4}
    await stage.start(stage.model("streams", (2, 2), requests=limits))
    streams = [asyncio.create_task(stage.ask("streams", "/?stream=4")) for _ in range(6)]
    await asyncio.sleep(1)
    victim = stage.pods("streams-1")[0]
    os.kill(victim.process, signal.SIGSTOP)
    rows = await asyncio.gather(*streams)
    cut = [row for row in rows if row.outcome is Outcome.TRUNCATED]
    stage.expect(cut, "no stream was cut")
    stage.expect(all(row.end - row.sent < 3.5 for row in cut), "a hung stream was cut late")
    await stage.crowd(12, "streams", body=b"after the hang")
    os.kill(victim.process, signal.SIGCONT)
    await asyncio.sleep(1)
    whole = await stage.crowd(12, "streams", "/?delay=0.1")
    stage.expect(all(row.good for row in whole), "not all slots came back")
    stage.allow("truncated", 4)
    stage.allow("504", 12)


@fault("F10", "a replica comes or goes every second", 12)
async def churn(stage: Stage) -> None:
    few, many = (stage.model("warm", (count, count)) for count in (1, 3))
    await stage.start(few)
    async with stage.load():
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until:
            await stage.reload(many)
            await asyncio.sleep(1)
            await stage.reload(few)
            await asyncio.sleep(1)
    stage.waive("I5")  # the bounds change all the time


@fault("F11", "an address passes from one service to another", 10)
async def reused(stage: Stage) -> None:
    first = stage.random.randrange(21_000, 31_000, 10)
    stage.daemon.command = (sys.executable, "-P", str(Path(__file__).with_name("narrow.py")), str(first), "4")
    both = [[stage.model("warm", (a, a)), stage.model("other", (b, b))] for a, b in ((2, 1), (1, 2))]
    await stage.start(*both[0])
    async with stage.load(rate=30), stage.load("other", rate=30):
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until:
            for services in both:
                await stage.reload(*services)
                await asyncio.sleep(0.7)
    stage.waive("I5")
    ports: dict[int, set[str]] = {}
    for started in stage.ledgers().started:
        ports.setdefault(started.port, set()).add(started.revision)
    stage.terms.facts["addresses that changed hands"] = sum(len(names) > 1 for names in ports.values())
    stage.expect(any(len(names) > 1 for names in ports.values()), "no address passed to the other service")


@fault("F15", "requests arrive while the last replica is going", 15)
async def race(stage: Stage) -> None:
    revisions = [stage.revision("race-1"), stage.revision("race-2")]
    traffic = [{"revision": "race-1", "percent": 100}, {"revision": "race-2", "percent": 0, "tag": "next"}]
    await stage.start(stage.model("race", revisions=revisions, traffic=traffic))
    until = time.monotonic() + stage.seconds
    while time.monotonic() < until:
        delay = stage.random.choice((0, 0, 0.15))
        await stage.ask("next-race.localhost", f"/?delay={delay}", body=b"once only")
        await asyncio.sleep(stage.random.uniform(0, 0.15))
    downs = sum(scaled.replicas == 0 for scaled in stage.scaled("race-2"))
    stage.terms.facts["times at zero"] = downs
    stage.expect(downs >= stage.seconds / 2, f"it went to zero only {downs} times")
    for row in stage.asked:
        row.service = "race"
