from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletion

from tests.examples.example_process import Example, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = "python-manual-ngram"
CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with running("generator.py", "--tokens-per-second", "0") as example:
        yield example.url


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connect(url) as client:
        yield client


def connect(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


async def ask(client: openai.AsyncOpenAI, prompt: str, **options: Any) -> ChatCompletion:
    answer = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": prompt}], **options
    )
    assert isinstance(answer, ChatCompletion)
    return answer


async def streamed(client: openai.AsyncOpenAI, prompt: str, **options: Any) -> openai.AsyncStream[Any]:
    stream = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True, **options
    )
    assert isinstance(stream, openai.AsyncStream)
    return stream


def text(answer: ChatCompletion) -> str:
    return answer.choices[0].message.content or ""


async def test_the_answer_depends_on_seed_and_prompt_and_on_nothing_else(client: openai.AsyncOpenAI) -> None:
    asked = [("What is a slice?", 1), ("What is a slice?", 2), ("Hello", 1), ("Hi", 1)]

    answers = [text(await ask(client, prompt, seed=seed)) for prompt, seed in asked]

    assert len(set(answers)) == len(asked)
    assert answers == [text(await ask(client, prompt, seed=seed)) for prompt, seed in asked]


async def test_without_a_seed_answers_differ(client: openai.AsyncOpenAI) -> None:
    answers = {text(await ask(client, "What is a slice?", temperature=1)) for _ in range(5)}
    assert len(answers) > 1


async def test_temperature_zero_needs_no_seed_to_repeat_itself(client: openai.AsyncOpenAI) -> None:
    answers = {text(await ask(client, "What is a class?", temperature=0)) for _ in range(3)}
    assert len(answers) == 1


@pytest.mark.parametrize(("subject", "others"), [("exception", ["slot", "import"]), ("import", ["exception", "slot"])])
async def test_answers_keep_to_the_subject(client: openai.AsyncOpenAI, subject: str, others: list[str]) -> None:
    told = "".join([text(await ask(client, f"Tell me about {subject}s", seed=seed)) for seed in range(10)])
    assert all(told.count(subject) > 2 * told.count(other) for other in others)


async def test_a_streamed_answer_is_the_whole_answer_in_pieces(client: openai.AsyncOpenAI) -> None:
    whole = await ask(client, "What is a class?", seed=5, max_tokens=1000)
    pieces = [chunk async for chunk in await streamed(client, "What is a class?", seed=5, max_tokens=1000)]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == text(whole)
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in pieces[-2:]] == [None, "stop"]
    assert len({chunk.id for chunk in pieces}) == 1
    assert whole.usage is not None
    assert len(pieces) == 1 + whole.usage.completion_tokens + 1


async def test_an_answer_ends_with_a_paragraph_or_at_max_tokens(client: openai.AsyncOpenAI) -> None:
    full = await ask(client, "What is a class?", seed=1, max_tokens=1000)
    short = await ask(client, "What is a class?", seed=1, max_tokens=7)
    newer_name = await ask(client, "What is a class?", max_completion_tokens=3)

    assert full.choices[0].finish_reason == "stop"
    assert text(full).endswith(".")
    assert text(full).startswith(text(short))
    assert short.choices[0].finish_reason == newer_name.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert (short.usage.completion_tokens, short.usage.prompt_tokens, short.usage.total_tokens) == (7, 5, 12)
    assert newer_name.usage is not None
    assert newer_name.usage.completion_tokens == 3


@pytest.mark.parametrize("temperature", [0, 1])
async def test_an_answer_told_to_go_on_never_falls_into_a_loop(client: openai.AsyncOpenAI, temperature: int) -> None:
    options: dict[str, Any] = {"max_tokens": 2000, "temperature": temperature, "extra_body": {"ignore_eos": True}}

    endless = await ask(client, "tuple slices", **options)

    assert endless.usage is not None
    assert endless.usage.completion_tokens == 2000
    paragraphs = text(endless).split("\n\n")
    assert len(set(paragraphs)) > 0.9 * len(paragraphs)
    assert max(map(len, paragraphs)) < 3000


async def test_usage_is_streamed_when_it_is_asked_for(client: openai.AsyncOpenAI) -> None:
    options: dict[str, Any] = {"max_tokens": 4, "stream_options": {"include_usage": True}}

    *chunks, last = [chunk async for chunk in await streamed(client, "What is a class?", **options)]

    assert last.choices == []
    assert last.usage.completion_tokens == 4
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_stream_is_server_sent_events_that_end_with_done(url: str) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "stream": True, "max_tokens": 2}
    async with aiohttp.ClientSession(url) as plain, plain.post(CHAT, json=body) as response:
        assert response.content_type == "text/event-stream"
        *events, done, rest = (await response.text()).split("\n\n")

    assert (done, rest) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") for event in events)
    last = json.loads(events[-1].removeprefix("data: "))
    assert (last["object"], last["choices"][0]["finish_reason"]) == ("chat.completion.chunk", "length")
    assert "usage" not in last


async def test_the_model_says_what_it_is(client: openai.AsyncOpenAI) -> None:
    (model,) = (await client.models.list()).data

    assert (await client.models.retrieve(MODEL)).id == model.id == MODEL
    assert "pydoc_data.topics" in (model.model_extra or {})["description"]


async def test_it_says_that_it_is_healthy(url: str) -> None:
    async with aiohttp.ClientSession(url) as plain, plain.get("/health") as response:
        assert response.status == 200


async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        await client.chat.completions.create(model="other", messages=[{"role": "user", "content": "a"}])
    assert (refusal.value.code, refusal.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("other")


async def test_messages_may_come_in_parts(client: openai.AsyncOpenAI) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]
    messages: Any = [{"role": "user", "content": parts}]

    answer = await client.chat.completions.create(model=MODEL, messages=messages, seed=1)

    assert text(answer) == text(await ask(client, "What is this?", seed=1))


async def test_a_bad_request_is_told_what_is_wrong(url: str) -> None:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "a"}]}
    bodies: list[tuple[bytes | dict[str, object], str | None]] = [
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        ({"model": MODEL}, "messages"),
        ({"messages": asked["messages"]}, "model"),
        ({**asked, "messages": []}, "messages"),
        ({**asked, "messages": [{"content": "a"}]}, "messages.0.role"),
        ({**asked, "max_tokens": 0}, "max_tokens"),
        ({**asked, "max_tokens": "7"}, "max_tokens"),
        ({**asked, "temperature": 3}, "temperature"),
        ({**asked, "seed": "x"}, "seed"),
        ({**asked, "n": 2}, "n"),
    ]
    async with aiohttp.ClientSession(url) as plain:
        for body, param in bodies:
            data = body if isinstance(body, bytes) else json.dumps(body)
            async with plain.post(CHAT, data=data) as response:
                assert response.status == 400, body
                error = (await response.json())["error"]
            assert (error["type"], error["param"]) == ("invalid_request_error", param)
            assert error["message"]


async def test_tokens_arrive_while_they_are_made_and_sigterm_does_not_cut_them_off() -> None:
    async with running("generator.py", "--tokens-per-second", "5") as example, connect(example.url) as client:
        started = time.monotonic()
        arrivals, reasons = [], []
        async for chunk in await streamed(client, "What is a class?", max_tokens=10):
            example.terminate()
            reasons.append(chunk.choices[0].finish_reason)
            if chunk.choices[0].delta.content:
                arrivals.append(time.monotonic() - started)

    assert len(arrivals) == 10
    assert arrivals[-1] - arrivals[0] > 0.5
    gaps = sorted(later - earlier for earlier, later in pairwise(arrivals))
    assert gaps[len(gaps) // 2] > 0.03
    assert reasons[-1] == "length"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_its_answer(stream: bool) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 5000, "ignore_eos": True}
    async with running("generator.py", "--tokens-per-second", "50") as example:
        await leave_early(example, json.dumps({**body, "stream": stream}))
        example.terminate()
        said = await example.said()

    assert f"POST {CHAT} 499" in said[0]


async def leave_early(example: Example, body: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", example.port)
    writer.write(f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await asyncio.sleep(0.5)
    writer.close()
    await writer.wait_closed()


async def test_what_the_model_said_itself_does_not_steer_it(client: openai.AsyncOpenAI) -> None:
    user: Any = {"role": "user", "content": "What is a class?"}
    assistant: Any = {"role": "assistant", "content": "An exception."}

    alone = await client.chat.completions.create(model=MODEL, messages=[user], seed=1)
    after_an_answer = await client.chat.completions.create(model=MODEL, messages=[user, assistant], seed=1)

    assert text(alone) == text(after_an_answer)
