"""F48: whatever comes to its mind every second; the seed says what."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.ledger.fault import fault
from tests.ledger.pressure import malformed, send_malformed, slow_clients

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.ledger.stage import Stage

BREATH = 0.8


def _send(stage: Stage, number: int) -> None:
    """Send a signal to a random replica."""
    if pods := [*stage.pods("warm-1"), *stage.pods("few-1")]:
        with suppress(ProcessLookupError):
            os.kill(stage.random.choice(pods).process, number)


async def kill(stage: Stage) -> None:
    _send(stage, signal.SIGKILL)


async def terminate(stage: Stage) -> None:
    _send(stage, signal.SIGTERM)


async def freeze(stage: Stage) -> None:
    if pods := stage.pods("warm-1"):
        victim = stage.random.choice(pods).process
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
            await asyncio.sleep(BREATH)
            os.kill(victim, signal.SIGCONT)


async def hang_up(stage: Stage) -> None:
    tasks = [asyncio.create_task(stage.ask("few", "/?delay=0.3", b"x")) for _ in range(20)]
    await asyncio.sleep(0.1)
    for task in stage.random.sample(tasks, 10):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def wake(stage: Stage) -> None:
    await stage.crowd(20, "cold", body=b"wake up")


async def reload(stage: Stage) -> None:
    os.kill(stage.daemon.pid, signal.SIGHUP)


async def scrape(stage: Stage) -> None:
    await asyncio.gather(*(stage.edge.admin("/metrics") for _ in range(3)))


async def confuse(stage: Stage) -> None:
    await asyncio.gather(*(send_malformed(stage, malformed(stage)) for _ in range(20)))


async def garble(stage: Stage) -> None:
    await asyncio.gather(*(stage.ask("few", f"/?fuzz={stage.random.randrange(30)}", b"x") for _ in range(5)))


async def cut(stage: Stage) -> None:
    await asyncio.gather(*(stage.ask("few", f"/?cut={ending}&size=90000") for ending in ("fin", "rst")))


async def dawdle(stage: Stage) -> None:
    async with slow_clients(stage, 20, 5):
        await asyncio.sleep(BREATH)


TRICKS: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    *(kill, terminate, freeze, hang_up, wake, reload, scrape, confuse, garble, cut, dawdle),
)


@fault("F48", "a monkey with a seed", 60, quick=5)
async def monkey(stage: Stage) -> None:
    limits = {"first-byte-timeout": "3s", "idle-timeout": "3s"}
    drain = {"TERM": "drain", "LAG": "0.5"}
    probed = {"readiness-probe-period": "100ms", "failure-threshold": 1, "termination-grace-period": "3s"}
    few = {**limits, "container-concurrency": 2}
    await stage.start(
        stage.model("warm", (3, 3), drain, process=probed, requests=limits),
        stage.model("few", (2, 4), drain, process=probed, requests=few),
        stage.model("cold", (0, 2), {"START_SECONDS": "0.3"}),
    )
    stage.terms.anonymous = True
    done = []
    async with stage.load(rate=30):
        loop = asyncio.get_running_loop()
        until = loop.time() + stage.seconds
        while loop.time() < until:
            trick = stage.random.choice(TRICKS)
            done.append(trick.__name__)
            await trick(stage)
            await asyncio.sleep(stage.random.uniform(0.1, BREATH))
    stage.terms.facts["tricks"] = " ".join(done)
    for kind in ("502", "503", "504", "truncated", "left"):
        stage.allow(kind)
    stage.allow("timeout", 0.01)
