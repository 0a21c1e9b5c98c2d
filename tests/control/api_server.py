"""What the API server does: F16 to F22. Warm requests are all answered meanwhile, cold ones soon after."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from tests.control.fault import fault

if TYPE_CHECKING:
    from tests.control.stage import Stage
    from tests.journeys.edge import Edge

BACK = 5.0  # seconds in which all watches are up again, and all is seen
SERVED = 3.0
BUSY = 10.0  # by which things may take longer on a machine that runs several faults at a time
QUEUED = 50


@fault("F16", "the API server freezes, and then is gone, under warm load", 20)
async def gone(stage: Stage) -> None:
    await _two_models(stage)
    async with stage.load():
        _silence(stage, cut=True)
        await stage.wait(0.5)
        await stage.cluster.stop()
        _silence(stage, cut=False)
        await stage.wait(0.5)
        await stage.cluster.start()
        await _watching_again(stage)


@fault("F17", "the API server is gone, and a model that sleeps is asked", 10)
async def gone_and_asked(stage: Stage) -> None:
    await _two_models(stage)
    async with stage.load():
        await stage.cluster.stop()
        held = stage.crowd(QUEUED, "cold")
        await stage.wait()
        stage.expect(not any(task.done() for task in held), "a request was not held")
        await stage.cluster.start()
        await stage.served(held, SERVED + BUSY)
    _started_once(stage)


@fault("F18", "the API server takes five seconds for each answer, then says 429", 20)
async def slow(stage: Stage) -> None:
    await _two_models(stage)
    async with stage.load():
        stage.cluster.faults.delay = 5.0
        held = stage.crowd(5, "cold")
        await stage.wait(0.5)
        stage.cluster.faults.delay = 0.0
        await stage.served(held, SERVED + BUSY)
        stage.cluster.faults.retry_after = 3
        stage.cluster.faults.fail = partial(_refuse, 429)
        before = len(stage.cluster.calls)
        await stage.wait(0.5)
        asked = (len(stage.cluster.calls) - before) / (stage.seconds / 2) / len(stage.edges)
        stage.terms.facts["calls in a second of each edge, told to wait 3 s"] = round(asked, 1)
        stage.expect(asked < 3, "an edge asks again and again")
        stage.cluster.faults.fail = partial(_refuse, None)


@fault("F19", "watches are cut in the middle of a word, expire, repeat what is old", 6)
async def watches(stage: Stage) -> None:
    await _two_models(stage)
    old = b'{"type":"MODIFIED","object":' + str(stage.cluster.get("deployments", "warm-1")).encode() + b"}\n"
    async with stage.load():
        for rest in (b'{"type":"MODIFIED","object":{"kind":"Pod","meta', b"\x00\xff no JSON\n", b"[]\n", old, b""):
            stage.cluster.cut(rest)
            await stage.wait(0.1)
        stage.cluster.compact()
        stage.cluster.cut()
        stage.cluster.scale("warm-1", 4)
        await stage.served(stage.crowd(4, "cold"), SERVED + BUSY)
        for edge in stage.edges:
            await stage.soon(partial(_same_pods, stage, edge))
        stage.cluster.scale("warm-1", 3)
        await stage.wait(0.5)


@fault("F20", "etcd is gone, and then restored as it was before", 8, quick=3)
async def restored(stage: Stage) -> None:
    await _two_models(stage)
    saved = stage.cluster.snapshot()
    async with stage.load():
        await stage.served(stage.crowd(4, "cold"), SERVED + BUSY)
        stage.cluster.faults.fail = partial(_refuse, 500)
        stage.cluster.cut()
        await stage.wait(0.5)
        held = stage.crowd(4, "cold")
        stage.cluster.restore(saved)  # where "cold" sleeps
        stage.cluster.faults.fail = partial(_refuse, None)
        await asyncio.gather(*held)
        await stage.served(stage.crowd(4, "cold"), SERVED + BUSY)
        await _watching_again(stage)
        await stage.leader()
        await stage.wait(0.5)
    stage.expect(stage.replicas("warm") == 2, "warm replicas changed")


@fault("F21", "the token is revoked, then the rights are taken away", 12)
async def denied(stage: Stage) -> None:
    await _two_models(stage)
    async with stage.load():
        for status in (401, 403):
            stage.cluster.faults.fail = partial(_refuse, status)
            stage.cluster.cut()
            held = stage.crowd(5, "cold")
            await stage.wait(0.5)
            for edge in stage.edges:
                seen = await edge.metric("activator_api_calls_total", status=str(status))
                stage.expect(seen > 0, f"{stage.name(edge)} does not count {status} in activator_api_calls_total")
            stage.cluster.faults.fail = partial(_refuse, None)
            await stage.served(held, 10 + BUSY)  # what is forbidden is tried every 10 s
        await _watching_again(stage)


@fault("F22", "another one writes other replicas, twenty times a second", 8)
async def fought(stage: Stage) -> None:
    await _two_models(stage)
    async with stage.load():
        for number in range(round(stage.seconds * 20)):
            stage.cluster.scale("warm-1", 3 + number % 2, "another")
            await asyncio.sleep(0.05)
        await stage.served(stage.crowd(4, "cold"), SERVED + BUSY)
    ours = [call for call in stage.cluster.asked("patch", "deployments/scale") if call.name == "warm-1"]
    at = [call.at for call in ours]
    most = max((sum(1 for each in at if begun <= each < begun + 1) for begun in at), default=0)
    accepted = sum(1 for call in ours if call.status == 200)
    stage.terms.facts["writes of ours, those accepted, most in a second"] = (len(ours), accepted, most)
    stage.expect(most <= 5 * len(stage.edges), "there were more than five writes a second")
    told = "ScalingHindered" in stage.events("warm")
    stage.expect(told or not accepted, "nothing was said of the other one")


async def _two_models(stage: Stage) -> None:
    await stage.start()
    await stage.model("warm", (2, 4))
    await stage.model("cold")


def _refuse(status: int | None, verb: str, resource: str) -> int | None:
    return status


def _silence(stage: Stage, *, cut: bool) -> None:
    for way in stage.to_api.values():
        way.cut = cut


def _started_once(stage: Stage) -> None:
    wakes = [each for each in stage.scaled if each.revision == "cold-1" and each.replicas > each.before]
    stage.expect(len(wakes) == 1, f"it was woken {len(wakes)} times")


async def _watching_again(stage: Stage) -> None:
    begun = time.monotonic()
    for edge in stage.edges:
        await stage.soon(partial(_same_pods, stage, edge), BACK + BUSY)
    stage.terms.facts["seconds until all edges knew all again"] = round(time.monotonic() - begun, 1)


async def _same_pods(stage: Stage, edge: Edge) -> bool | None:
    """Tell whether what an edge knows is what a fresh list would tell."""
    for name in ("warm", "cold"):
        known = {each["name"] for each in (await edge.look(name))["replicas"]}
        if known != {pod["metadata"]["name"] for pod in stage.pods.pods(f"{name}-1")}:
            return None
    up = [await edge.metric("activator_watch_up", resource=resource) for resource in ("deployments", "pods")]
    return all(up) or None
