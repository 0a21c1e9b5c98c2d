from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.examples.example_process import Example, running, spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = "/v1/models/sentiment"
PREDICT = "/v1/models/sentiment:predict"

Client = aiohttp.ClientSession


@asynccontextmanager
async def sentiment(*options: str) -> AsyncIterator[tuple[Example, Client]]:
    async with running("sentiment.py", *options) as example, Client(example.url) as client:
        yield example, client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def urls() -> AsyncIterator[list[str]]:
    async with running("sentiment.py", "--revision", "v1") as v1, running("sentiment.py", "--revision", "v2") as v2:
        yield [v1.url, v2.url]


@pytest_asyncio.fixture
async def v1(urls: list[str]) -> AsyncIterator[Client]:
    async with Client(urls[0]) as client:
        yield client


@pytest_asyncio.fixture
async def v2(urls: list[str]) -> AsyncIterator[Client]:
    async with Client(urls[1]) as client:
        yield client


async def ask(client: Client, *texts: str) -> list[dict[str, Any]]:
    async with client.post(PREDICT, json={"instances": texts}) as response:
        assert response.status == 200
        predictions = (await response.json())["predictions"]
        assert isinstance(predictions, list)
        return predictions


@pytest.mark.parametrize("revision", ["v1", "v2"])
async def test_each_revision_tells_praise_from_blame(revision: str, v1: Client, v2: Client) -> None:
    client = {"v1": v1, "v2": v2}[revision]

    praise, blame, neither = await ask(client, "A wonderful film!", "A horrible film.", "It is a film.")

    assert [praise["label"], blame["label"], neither["label"]] == ["positive", "negative", "neutral"]
    assert praise["score"] > 0.05 > -0.05 > blame["score"]
    assert neither["score"] == 0
    assert {praise["revision"], blame["revision"], neither["revision"]} == {revision}


async def test_the_revisions_disagree(v1: Client, v2: Client) -> None:
    text = "They solved my problem without any trouble."

    (first,), (second,) = await ask(v1, text), await ask(v2, text)

    assert (first["label"], second["label"]) == ("positive", "negative")


async def test_it_says_that_it_is_ready(v1: Client, v2: Client) -> None:
    async with v2.get(MODEL) as response:
        assert response.status == 200
        assert await response.json() == {"name": "sentiment", "ready": True, "revision": "v2"}
    async with v1.get("/v1/models") as response:
        assert await response.json() == {"models": ["sentiment"]}
    async with v1.get("/") as response:
        assert await response.json() == {"status": "alive"}


async def test_another_model_is_unknown(v1: Client) -> None:
    async with v1.get("/v1/models/other") as response:
        assert response.status == 404
        assert await response.json() == {"error": "Model with name other does not exist."}
    async with v1.post("/v1/models/other:predict", json={"instances": ["a"]}) as response:
        assert response.status == 404


async def test_a_bad_request_is_told_what_was_expected(v1: Client) -> None:
    bodies = [b"", b"{", b"\xff", b"[]", b"{}", b'{"instances": "text"}', b'{"instances": [1]}', b"[" * 100_000]
    for body in bodies:
        async with v1.post(PREDICT, data=body) as response:
            assert response.status == 400, body[:20]
            assert "instances" in (await response.json())["error"]
    assert await ask(v1) == []


async def test_simulated_work_is_done_one_request_at_a_time() -> None:
    async with sentiment("--work-seconds", "0.1") as (_, client):
        started = time.monotonic()
        await asyncio.gather(*(ask(client, "good", "bad") for _ in range(3)))
        assert time.monotonic() - started >= 0.3


async def test_it_logs_its_start_and_each_request() -> None:
    async with sentiment() as (example, client):
        await ask(client, "good")
        example.terminate()
        said = await example.said()

    assert len(example.lines) == 1
    assert f"example-0 listening on {example.url}" in example.lines[0]
    assert len(said) == 2
    assert f"example-0 POST {PREDICT} 200" in said[0]
    assert said[1].endswith("example-0 stopped")


async def test_sigterm_lets_a_running_request_finish_and_takes_no_new_one() -> None:
    async with sentiment("--work-seconds", "2") as (example, client):
        started_before = asyncio.create_task(ask(client, "good"))
        await asyncio.sleep(0.5)
        example.terminate()
        await refused(example)
        assert not started_before.done()
        assert (await started_before)[0]["label"] == "positive"


async def refused(example: Example) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", example.port)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was still in the queue of the socket that closed
            continue
        writer.close()
        await asyncio.sleep(0.01)


async def test_a_long_load_delays_listening() -> None:
    started = time.monotonic()
    async with sentiment("--load-seconds", "0.5"):
        assert time.monotonic() - started >= 0.5


async def test_a_port_in_use_is_a_message_and_not_a_traceback() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        example = await spawn("sentiment.py", port=port)
        (line,) = await example.said()
    assert await example.process.wait() == 1
    assert line.startswith(f"cannot listen on 127.0.0.1:{port}")
