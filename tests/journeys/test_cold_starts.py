"""From zero: the first request is held while a replica starts, and is answered."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from openai import AsyncOpenAI

from tests.journeys.services import by_tag_only, gated, revision, service, slow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.journeys.edge import Edge

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMES = 15


async def test_first_requests_from_zero_are_answered_time_after_time(edge: Edge) -> None:
    await edge.deploy(by_tag_only("again", first=revision("again-1"), second=revision("again-2")))
    for number in range(TIMES):
        answer = await edge.request("next-again", f"/?id={number}")
        assert (answer.status, answer.json["id"]) == (200, str(number))
        await edge.ready("again", 0, revision=1)
    assert len({stamp.process for stamp in edge.stamps("again-2")}) == TIMES
    assert edge.stamps("again-1", "start") == []


async def test_the_hold_and_the_models_own_time_are_told_apart(edge: Edge) -> None:
    await edge.deploy(service("timed", slow("timed-1", 0.5)))
    cold = await edge.request("timed")
    warm = [(await edge.request("timed", "/?delay=0.3")).timing for _ in range(3)]
    assert cold.timing["hold"] >= 500
    assert min(timing["hold"] for timing in warm) < 100  # what stops the machine, does so once
    assert 300 <= min(timing["upstream"] for timing in warm) < 500


async def test_no_tick_is_waited_for(edge: Edge) -> None:
    await edge.deploy(service("poked", autoscaling={"tick": "1h"}))
    assert (await edge.request("poked")).status == 200
    assert await edge.metric("activator_pokes_total", service="poked") == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_body_held_through_a_cold_start_arrives_whole(edge: Edge, chunked: bool) -> None:
    name = f"body-{chunked}".lower()
    await edge.deploy(service(name, slow(f"{name}-1", 0.3)))
    body = bytes(range(256)) * 2000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    answer = await edge.request(name, "/?id=1", "POST", data=pieces() if chunked else body)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()


async def test_those_who_come_while_it_starts_wait_for_the_same_replica(edge: Edge) -> None:
    await edge.deploy(service("crowd", slow("crowd-1", 0.4), autoscaling={"max-scale": 1}))
    answers = await edge.requests("crowd", *(f"/?id={number}" for number in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len(edge.stamps("crowd-1", "start")) == 1


async def test_a_client_that_hangs_up_while_held_frees_its_place_and_wakes_nothing_more(edge: Edge) -> None:
    await edge.deploy(service("hasty", gated("hasty-1"), requests={"queue-depth": 1}))
    _, hasty = await edge.connect()
    hasty.write(b"GET /?id=left HTTP/1.1\r\nHost: hasty.localhost\r\n\r\n")
    await edge.held("hasty", 1)
    hasty.close()
    await edge.held("hasty", 0)
    edge.open("hasty-1")
    assert (await edge.request("hasty", "/?id=stayed")).status == 200
    assert [stamp.request for stamp in edge.stamps("hasty-1")] == ["stayed"]
    assert len(edge.stamps("hasty-1", "start")) == 1


async def test_the_openai_client_streams_through_a_cold_start(edge: Edge) -> None:
    generator = revision("generator-1", [sys.executable, str(EXAMPLES / "generator.py"), "--tokens-per-second", "100"])
    described = service("generator", generator, hosts=["127.0.0.1"], process={"readiness-path": "/health"})
    await edge.deploy(described)
    pieces, times = [], []
    async with AsyncOpenAI(base_url=f"http://{edge.daemon.listen}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="python-manual-ngram",
            messages=[{"role": "user", "content": "Tell me about the with statement."}],
            max_tokens=40,
            seed=1,
            stream=True,
        )
        async for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")
            times.append(asyncio.get_running_loop().time())
    assert len("".join(pieces).split()) > 15
    assert times[-1] - times[0] > 0.2
    assert await edge.metric("activator_cold_start_seconds_count", service="generator", phase="total") == 1
