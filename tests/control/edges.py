"""What is done to edges and to the network between them: F23 to F27. Whatever happens, only who holds the Lease orders
fewer replicas (I6), and none goes that some edge uses (I5)."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING

from activator.kube.permissions import NAME
from tests.control.fault import fault
from tests.control.stage import TAKEOVER

if TYPE_CHECKING:
    from tests.control.stage import Stage
    from tests.journeys.edge import Edge

CLOCK = """
import sys, time
from pathlib import Path
ahead, real = Path(sys.argv.pop(1)), time.time
time.time = lambda: real() + float(ahead.read_text())
from activator.cli import main
main()
"""
JUMPS = (3600.0, -3 * 3600.0)


@fault("F23", "the leader is killed", 3)
async def killed(stage: Stage) -> None:
    leader, other = await _pair(stage)
    await stage.model("cold")
    async with stage.load(other):
        leader.daemon.signal(signal.SIGKILL)
        await asyncio.to_thread(leader.daemon.ended)
        stage.expect((await stage.ask(other, "cold")).good, "nobody woke what slept meanwhile")
        await _takes_over(stage, other)
        await stage.wait()
    _nothing_went(stage, "warm")


@fault("F24", "the leader is stopped, and goes on when another one leads", 5)
async def stopped(stage: Stage) -> None:
    leader, other = await _pair(stage)
    await stage.model("spare", (0, 4), limit=1)
    await asyncio.gather(*(stage.ask(other, "spare", "/?delay=2") for _ in range(4)))  # more than are needed later
    leader.daemon.signal(signal.SIGSTOP)
    async with stage.load(other):
        await _takes_over(stage, other)
        leader.daemon.signal(signal.SIGCONT)
        await stage.wait()
    await stage.together()


@fault("F25", "the leader is cut off from the API server", 5)
async def cut_off(stage: Stage) -> None:
    leader, other = await _pair(stage)
    await stage.model("cold")
    way = stage.to_api[stage.name(leader)]
    async with stage.load():
        way.cut = True
        await _takes_over(stage, other)
        stage.expect(await leader.metric("activator_leader") == 0, "the one that is cut off still leads")
        stage.expect((await stage.ask(other, "cold")).good, "the other one does not wake what sleeps")
        way.cut = False
        await stage.wait()
    _nothing_went(stage, "warm")


@fault("F26", "two edges cannot see each other", 6, quick=3)
async def apart(stage: Stage) -> None:
    leader, other = await _pair(stage)
    await stage.model("lone", idle="300ms")
    async with stage.load():
        running = asyncio.create_task(stage.ask(other, "lone", f"/?delay={stage.seconds + 2}"))
        await stage.soon(lambda: _runs(stage, "lone-1"))
        stage.between.cut = True
        for edge in stage.edges:
            await stage.holds(edge, lambda found: found == 1, metric="activator_peers", state="lost")
        before = len(stage.scaled)
        await stage.wait()
        fewer = [each for each in stage.scaled[before:] if each.replicas < each.before]
        stage.expect(not fewer, f"replicas went by half of what is counted: {fewer}")
        stage.between.cut = False
        await stage.together()
        await running
    stage.expect(await stage.leader() is leader, "the leader has changed")


@fault(
    "F27", "the wall clock of the leader, then of the other edge, jumps by an hour, back by four, and on by three", 16
)
async def clocks(stage: Stage) -> None:
    stage.command = (sys.executable, "-c", CLOCK, "{home}/ahead")
    stage.files["ahead"] = "0"
    await stage.start()
    await stage.model("warm", (2, 4))
    await stage.model("idle", idle="1h")
    leader = await stage.leader()
    await stage.served([asyncio.create_task(stage.ask(leader, "idle"))], TAKEOVER)
    held = stage.cluster.get("leases", NAME)["spec"]["leaseTransitions"]
    before = len(stage.scaled)
    async with stage.load():
        for edge in (leader, *stage.others(leader)):
            for jump in JUMPS:
                set_clock(edge, jump)
                await stage.wait(0.25)
            set_clock(edge, 0.0)
    lease = stage.cluster.get("leases", NAME)["spec"]
    stage.expect(lease["leaseTransitions"] == held, "another one was elected")
    stage.expect(await stage.leader() is leader, "another one leads")
    stage.expect(stage.scaled[before:] == [], f"replicas were changed: {stage.scaled[before:]}")


def set_clock(edge: Edge, seconds: float) -> None:
    """Have the wall clock of an edge that runs by CLOCK be so far ahead of the machine's."""
    file = edge.daemon.home / "ahead"
    draft = file.with_suffix(".new")
    draft.write_text(str(seconds))
    draft.replace(file)


async def _pair(stage: Stage) -> tuple[Edge, Edge]:
    """Return the leader and the other one of two edges with two warm replicas."""
    await stage.start()
    await stage.model("warm", (2, 4))
    leader = await stage.leader()
    (other,) = stage.others(leader)
    return leader, other


async def _takes_over(stage: Stage, other: Edge) -> None:
    begun = time.monotonic()
    await stage.soon(lambda: _leads(other), 2 * TAKEOVER)
    took = time.monotonic() - begun
    stage.terms.facts["seconds until the other one led"] = round(took, 1)
    stage.expect(took <= TAKEOVER, f"the other one led {took:.1f} s later, {TAKEOVER:g} are allowed")


async def _leads(edge: Edge) -> bool | None:
    return await edge.metric("activator_leader") == 1 or None


async def _runs(stage: Stage, revision: str) -> bool | None:
    return any(each.pod.startswith(revision) for each in stage.pods.served) or None


def _nothing_went(stage: Stage, name: str) -> None:
    fewer = [each for each in stage.scaled if each.revision == f"{name}-1" and each.replicas < each.before]
    stage.expect(not fewer, f"replicas went: {fewer}")
