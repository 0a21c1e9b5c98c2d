"""What is done to one of several processes that serve behind one socket: F28, F29, F31 and F40."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from tests.activator.scalers.processes import dead
from tests.journeys.daemon import ACTIVATOR, Daemon, adopting
from tests.ledger.fault import fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.journeys.services import Keys
    from tests.ledger.stage import Stage

AT_ONCE = 0.1  # seconds in which a signal reaches a process, on a busy machine
RESPAWN = 1.0
BUSY = 3.0  # by which starts may take longer on a machine that is busy with this load
HEARTBEAT = 5.0
STALL = 0.5


@fault("F28", "one of two workers is killed", 8, quick=3)
async def worker_killed(stage: Stage) -> None:
    victim = await _with_victim(stage)
    stage.terms.kills = True
    async with stage.load(), stage.load("limited", rate=20, streams=0), stage.keeping():
        await stage.wait(0.3)
        os.kill(victim, signal.SIGKILL)
        await _until(lambda: dead(victim))  # which takes as long as a busy machine lets it
        at = time.monotonic()
        await _until(lambda: len(stage.daemon.workers()) == 2 and victim not in stage.daemon.workers())
        stage.terms.facts["seconds until it was replaced"] = round(time.monotonic() - at, 2)
        stage.expect(time.monotonic() - at < RESPAWN + BUSY, "it was not replaced in time")
        await stage.wait(0.7)
    _only_those_open_failed(stage, at)
    await _all_slots_are_back(stage)


@fault("F29", "one of two workers hangs", 9)
async def worker_hangs(stage: Stage) -> None:
    victim = await _with_victim(stage)
    stage.terms.kills = True
    async with stage.load(), stage.load("limited", rate=20, streams=0), stage.keeping():
        await stage.wait(0.2)
        os.kill(victim, signal.SIGSTOP)
        at = time.monotonic()
        await _until(lambda: victim not in stage.daemon.workers())
        stage.terms.facts["seconds until it was noticed"] = round(time.monotonic() - at, 2)
        stage.expect(time.monotonic() - at < HEARTBEAT, "it was not noticed in time")
        await stage.wait(0.4)
    stage.expect(stage.daemon.logs("worker hangs"), "nothing was said of it")
    _only_those_open_failed(stage, at)
    await _all_slots_are_back(stage)


@fault("F31", "ten rolling restarts of two edges behind one socket, with held requests", 50, quick=5)
async def rolling(stage: Stage) -> None:
    """Each edge has its own models, state and admin address; a socket that was inherited outlives both."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as shared:
        listen = f"127.0.0.1:{shared.getsockname()[1]}"
        services = [stage.model("warm", (2, 2)), stage.model("cold", (0, 1), {"START_SECONDS": "0.3"})]
        stage.daemon.inherited = (shared.fileno(),)
        stage.daemon.command = (*adopting(shared.fileno()), ACTIVATOR)
        await stage.start(*services, listen=listen)
        old = stage.daemon
        other = Daemon(stage.daemon.home / "other")
        other.home.mkdir()
        other.inherited, other.command = old.inherited, old.command
        other.mark = old.mark
        other.write(stage.settings(*services, listen=listen))
        try:
            async with stage.load(rate=min(20 * stage.seconds, 220)), stage.keeping():
                for _ in range(max(1, round(stage.seconds / 5))):
                    other = await _roll(stage, other)
                await stage.wait(0.1)
        finally:
            await _end(other, stage)
    _tell_of_keeping(stage)
    stage.waive("I5", "I7")  # each edge has the replicas that it should have


async def _roll(stage: Stage, other: Daemon) -> Daemon:
    """Start the other edge, and end the present one while requests are held; return the one that has ended."""
    old = stage.daemon
    await asyncio.to_thread(other.start)
    async with asyncio.timeout(60):
        while (await stage.edge_of(other).look("warm"))["phase"] != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    held = asyncio.create_task(stage.crowd(10, "cold", body=b"held"))
    await asyncio.sleep(0.1)
    os.kill(old.pid, signal.SIGTERM)
    stage.expect(await asyncio.to_thread(old.ended) == 0, "it did not end well")
    old.check_words()
    stage.expect(all(row.good for row in await held), "a held request was lost")
    stage.daemon = other
    return old


def _tell_of_keeping(stage: Stage) -> None:
    """Say what the clients saw who keep their connections."""
    again = sum(row.retries for row in stage.asked)
    stage.terms.facts["connections that were kept"] = f"{stage.connections}, {again} ended under a request"
    stage.terms.facts["WebSockets"] = sum(row.kind == "101" for row in stage.asked)


async def _end(daemon: Daemon, stage: Stage) -> None:
    """End an edge that may still run."""
    if daemon is not stage.daemon and daemon.running:
        os.kill(daemon.pid, signal.SIGTERM)
        await asyncio.to_thread(daemon.ended)


@fault("F40", "the event loop of one of two workers stands still for half a second, again and again", 8, quick=2)
async def worker_stalls(stage: Stage) -> None:
    """A process that is stopped for a moment cannot tell that from a call that blocks."""
    victim = await _with_victim(stage)
    workers, stalls = stage.daemon.workers(), []
    async with stage.load(streams=0), stage.load("limited", rate=20, streams=0), stage.keeping():
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until:
            os.kill(victim, signal.SIGSTOP)
            at = time.monotonic()
            await asyncio.sleep(STALL)
            stalls.append((at + AT_ONCE, time.monotonic()))
            os.kill(victim, signal.SIGCONT)
            await asyncio.sleep(STALL)
    new = [
        (row, end)
        for row in stage.asked
        for at, end in stalls
        if row.service == "warm" and at < row.sent < end - STALL / 4
    ]
    prompt = sum(row.end < end for row, end in new)
    stage.terms.facts["answered by the other one meanwhile"] = f"{prompt} of {len(new)}"
    stage.expect(prompt > len(new) / 4, "the other one stood still, too")  # about half of the clients are its own
    counted = await stage.edge.metric("activator_event_loop_stalls_total")
    stage.terms.facts["stalls"] = f"{counted:.0f} counted of {len(stalls)}"
    stage.expect(counted >= len(stalls), "not all of them were counted")
    stage.expect(stage.daemon.workers() == workers, "it was taken for dead")


async def _with_victim(stage: Stage) -> int:
    """Start an edge with two workers; return one of them."""
    limited: Keys = stage.model("limited", (1, 1), requests={"container-concurrency": 4})
    await stage.start(stage.model("warm", (2, 2)), limited, workers=2)
    stage.expect(len(stage.daemon.workers()) == 2, "there are not two workers")
    return stage.random.choice(sorted(stage.daemon.workers()))


def _only_those_open_failed(stage: Stage, at: float) -> None:
    later = [row for row in stage.asked if not row.good and row.sent > at + AT_ONCE]
    stage.expect(not later, f"{len(later)} failed that were sent after it: {[row.kind for row in later[:5]]}")
    stage.expect(any(not row.good for row in stage.asked), "nothing ran there")
    for kind in ("reset", "truncated"):
        stage.allow(kind, 80)


async def _all_slots_are_back(stage: Stage) -> None:
    rows = await stage.crowd(12, "limited", "/?delay=0.3", body=b"all four at a time")
    stage.expect(all(row.good for row in rows), "not all were answered")
    served = stage.ledgers().served_of()
    spans = [(each.head, each.end or math.inf) for row in rows for each in served[row.id]]
    most = max(sum(head <= at < end for head, end in spans) for at, _ in spans)
    stage.expect(most >= 4, f"of four slots {most} came back")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the world sends no event
            await asyncio.sleep(0.02)
