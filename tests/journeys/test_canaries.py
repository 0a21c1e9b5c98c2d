"""A canary under traffic: nobody waits for it, it gets its share once it is warm, and goes when it is bad."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from itertools import groupby
from math import comb
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.daemon import ACTIVATOR
from tests.journeys.services import Keys, configuration, revision, service

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Answer, Edge

PERCENT = 5
RATE = 50
CLIENTS = 60
AWAKE = {"scale-to-zero-grace-period": "10m"}
ALWAYS: Keys = {"autoscaling": {"min-scale": 1}}


def with_canary(name: str, canary: Keys, percent: int = PERCENT, **changes: Any) -> Keys:
    """Return a service with the revisions NAME-1 and NAME-2, of which the second is the canary."""
    shares = [{"revision": f"{name}-1", "percent": 100 - percent}, {"revision": f"{name}-2", "percent": percent}]
    both = revision(f"{name}-1", **ALWAYS), revision(f"{name}-2", **changes.pop("second", {}))
    canary = {"revision": f"{name}-2", **canary}
    more = {"show-revision": True, "autoscaling": AWAKE, **changes}
    return service(name, *both, traffic=shares, canary=canary, **more)


def bounds(number: int, part: float, risk: float) -> range:
    """Return the counts of `number` draws at `part` that are not beyond `risk` on either side."""
    odds = [comb(number, k) * part**k * (1 - part) ** (number - k) for k in range(number + 1)]
    low = next(k for k in range(number + 1) if sum(odds[: k + 1]) > risk)
    high = next(k for k in range(number, -1, -1) if sum(odds[k:]) > risk)
    return range(low, high + 1)


def answered_by(answers: list[Answer]) -> list[str]:
    return [answer.headers["Activator-Revision"] for answer in answers]


class Crowd:
    """Sends `RATE` requests a second: every second one by a client with a key, the others by nobody in particular."""

    def __init__(self, edge: Edge, host: str) -> None:
        self.clients: dict[int, list[Answer]] = {client: [] for client in range(CLIENTS)}
        self.strangers: list[Answer] = []
        self._edge, self._host, self._sent = edge, host, 0

    @property
    def answers(self) -> list[Answer]:
        return [*self.strangers, *(answer for answers in self.clients.values() for answer in answers)]

    async def ask(self, count: int) -> None:
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._ask(self._sent))
                self._sent += 1
                await asyncio.sleep(max(0.0, begun + (number + 1) / RATE - asyncio.get_running_loop().time()))

    async def _ask(self, number: int) -> None:
        if number % 2:
            self.strangers.append(await self._edge.request(self._host))
        else:
            client = number // 2 % CLIENTS
            answer = await self._edge.request(self._host, headers={"X-Client": f"client {client}"})
            self.clients[client].append(answer)


async def was_awake(edge: Edge, name: str, times: int = 1) -> None:
    """Wait until the canary has begun to listen so many times, and sleeps again; awake it is not for long."""
    await edge.until(lambda: len(edge.stamps(f"{name}-2", "listening")) == times)
    await edge.ready(name, 0, revision=1)


async def test_no_request_waits_for_a_cold_canary_and_it_gets_its_share_once_it_is_warm(edge: Edge) -> None:
    second = {"env": {"GATE": "early-2"}}
    await edge.deploy(with_canary("early", {"guard": False}, second=second, sticky="header:x-client"))
    await edge.ready("early", 1)
    crowd = Crowd(edge, "early")
    await crowd.ask(RATE)
    assert set(answered_by(crowd.answers)) == {"early-1"}
    edge.open("early-2")
    assert await edge.metric("activator_canary_fallbacks_total", service="early") > 0
    await edge.ready("early", 1, revision=1)
    cold, crowd.strangers = crowd.strangers, []
    await crowd.ask(6 * RATE)
    share = answered_by(crowd.strangers).count("early-2")
    assert share in bounds(len(crowd.strangers), PERCENT / 100, 1e-6)
    everyone = [*cold, *crowd.answers]
    assert {answer.status for answer in everyone} == {200}
    paths = [[name for name, _ in groupby(answered_by(answers))] for answers in crowd.clients.values()]
    assert all(path in (["early-1"], ["early-1", "early-2"], ["early-2"]) for path in paths)
    moved = sum(path[-1] == "early-2" for path in paths)
    assert moved in bounds(CLIENTS, PERCENT / 100, 1e-6)


async def test_a_canary_that_sleeps_is_woken_while_another_answers(edge: Edge) -> None:
    asleep = {"scale-to-zero-grace-period": "50ms"}
    second = {"autoscaling": asleep, "env": {"GATE": "dozing-2"}}
    await edge.deploy(with_canary("dozing", {"guard": False}, percent=50, second=second))
    edge.open("dozing-2")
    await was_awake(edge, "dozing")
    edge.shut("dozing-2")
    answers = await edge.requests("dozing", *["/"] * 30)
    assert set(answered_by(answers)) == {"dozing-1"}
    edge.open("dozing-2")
    await was_awake(edge, "dozing", 2)


async def test_or_its_requests_wait_for_it_where_that_is_wanted(edge: Edge) -> None:
    second = {"autoscaling": {"scale-to-zero-grace-period": "50ms"}}
    await edge.deploy(with_canary("patient", {"guard": False, "when-cold": "hold"}, percent=50, second=second))
    await was_awake(edge, "patient")
    answers = await edge.requests("patient", *["/"] * 30)
    assert set(answered_by(answers)) == {"patient-1", "patient-2"}


def told(edge: Edge, *arguments: str) -> str:
    """Return what a command prints when it asks the edge."""
    command = [ACTIVATOR, *arguments, "--admin", edge.daemon.admin]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    ).stdout


async def split(edge: Edge, name: str, count: int = 40) -> set[str]:
    """Return who answers requests that come one after the other."""
    return {(await edge.request(name)).headers["Activator-Revision"] for _ in range(count)}


async def rolled_back(edge: Edge, name: str) -> dict[str, Any]:
    """Send requests until the canary is taken out and all workers know, and return the log's line that tells it."""

    async def line() -> dict[str, Any] | None:
        answers = await edge.requests(name, *["/"] * 10)
        if f"{name}-2" in answered_by(answers):
            return None
        return next((each for each in edge.logs("canary") if each["kind"] == "rolled-back"), None)

    found: dict[str, Any] = await edge.eventually(line)
    return found


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_bad_canary_is_taken_out_and_stays_out_over_a_crash_of_the_edge(serve: Serve, workers: int) -> None:
    second = {"env": {"STATUS": "500", "GATE": "bad-2"}}
    bad = with_canary("bad", {"steps": [25]}, percent=50, second=second, requests={"container-concurrency": 20})
    edge = serve(configuration(bad, workers=workers))
    await edge.ready("bad", 1)
    assert set(answered_by(await edge.requests("bad", *["/"] * 50))) == {"bad-1"}
    edge.open("bad-2")
    await edge.ready("bad", 1, revision=1)

    async def counted() -> bool | None:  # a worker's counts are told with its beat
        return await edge.metric("activator_canary_fallbacks_total", service="bad") in bounds(50, 0.25, 1e-6) or None

    await edge.eventually(counted)
    line = await rolled_back(edge, "bad")
    assert line["canary"]["failed"] == line["canary"]["requests"] >= 20
    assert "it fails more often than the stable revision" in line["why"]
    assert await split(edge, "bad") == {"bad-1"}
    assert await edge.metric("activator_canary_events_total", service="bad", kind="rolled-back") == 1
    edge.daemon.signal(signal.SIGKILL)
    edge.daemon.ended()
    edge.daemon.start()
    await edge.ready("bad", 1)
    assert await split(edge, "bad") == {"bad-1"}
    canary = (await edge.admin("/v1/services/bad"))["canary"]
    assert (canary["phase"], canary["percent"], canary["why"]) == ("rolled-back", 0, line["why"])
    assert "0 % (canary rolled-back)" in told(edge, "status")


async def test_an_operator_promotes_and_rolls_back_and_both_last(serve: Serve) -> None:
    edge = serve(configuration(with_canary("moved", {"guard": False})))
    await edge.ready("moved", 1, revision=1)
    assert "Now moved-2 has 100 %, moved-1 0 %." in told(edge, "promote", "moved")
    assert await split(edge, "moved") == {"moved-2"}
    rollouts = edge.daemon.home / "state" / "rollouts.json"
    await edge.until(lambda: json.loads(rollouts.read_text())["moved"]["warm"])
    edge.daemon.signal(signal.SIGKILL)
    edge.daemon.ended()
    edge.daemon.start()
    await edge.ready("moved", 1, revision=1)
    assert await split(edge, "moved") == {"moved-2"}
    assert "Now moved-2 has 0 %, moved-1 100 %." in told(edge, "rollback", "moved")
    assert await split(edge, "moved") == {"moved-1"}
    assert "moved-2 was rolled back by hand." in told(edge, "explain", "moved")
    assert "Now moved-2 has 5 %, moved-1 95 %." in told(edge, "restart", "moved")


async def test_a_canary_goes_up_step_by_step_while_nothing_speaks_against_it(edge: Edge) -> None:
    steps = {"steps": [10, 50], "step-min-time": "1s", "step-min-requests": 5}
    await edge.deploy(with_canary("good", steps, percent=100))
    await edge.ready("good", 1, revision=1)

    async def complete() -> bool | None:
        await edge.requests("good", *["/"] * 10)
        return (await edge.admin("/v1/services/good"))["canary"]["phase"] == "complete" or None

    await edge.eventually(complete)
    lines = [line for line in edge.logs("canary") if line["service"] == "good" and line["kind"] != "held"]
    assert [line["kind"] for line in lines] == ["begun", "warm", "step", "step", "complete"]
    assert [line["percent"] for line in lines if line["kind"] == "step"] == [50, 100]
    assert await split(edge, "good") == {"good-2"}


async def test_a_canary_that_cannot_be_started_is_taken_out_and_nobody_notices(edge: Edge) -> None:
    keys = with_canary("broken", {}, percent=50, second={"command": ["false"]})
    starts = {**AWAKE, "start-attempts": 2}
    await edge.deploy({**keys, "autoscaling": starts})
    answers = await edge.requests("broken", *["/"] * 20)

    async def out() -> str | None:
        answers.extend(await edge.requests("broken", *["/"] * 5))
        canary = (await edge.admin("/v1/services/broken"))["canary"]
        return canary["why"] if canary["phase"] == "rolled-back" else None

    assert "its starts keep failing" in await edge.eventually(out)
    assert {answer.status for answer in answers} == {200}
    assert set(answered_by(answers)) == {"broken-1"}
