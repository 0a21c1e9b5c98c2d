"""Models that share a host and are chosen by name, by the clients that people use."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.journeys.services import revision, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.journeys.edge import Edge

    Keys = dict[str, Any]

GENERATOR = str(Path(__file__).parents[2] / "examples" / "generator.py")
HOST = "models.localhost"
HELLO: list[Any] = [{"role": "user", "content": "What is a class?"}]


def generator(name: str, model: str) -> Keys:
    command = [sys.executable, GENERATOR, "--name", model, "--tokens-per-second", "0"]
    process = {"readiness-path": "/health"}
    return service(name, revision(f"{name}-1", command), hosts=[HOST], models=[model], process=process)


def obedient(name: str, *models: str, **changes: Any) -> Keys:
    return service(name, hosts=[HOST], models=list(models), **changes)


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[openai.AsyncOpenAI]:
    headers = {"Host": HOST}
    url = f"http://{edge.daemon.listen}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, default_headers=headers) as client:
        yield client


async def test_openais_client_lists_models_and_is_served_by_a_sleeping_one(
    edge: Edge, client: openai.AsyncOpenAI
) -> None:
    await edge.deploy(generator("small", "manual/small"), generator("large", "manual/large"))
    listed = [model async for model in client.models.list()]
    assert [model.id for model in listed] == ["manual/small", "manual/large"]
    assert [model.to_dict()["state"] for model in listed] == ["asleep", "asleep"]
    answer = await client.chat.completions.create(model="manual/large", messages=HELLO, max_tokens=5)
    assert answer.model == "manual/large"
    assert answer.choices[0].message.content
    states = {model.id: model.to_dict()["state"] async for model in client.models.list()}
    assert states == {"manual/small": "asleep", "manual/large": "ready"}
    found = await client.models.retrieve("manual/small")
    assert (found.id, found.owned_by, found.to_dict()["ready"]) == ("manual/small", "small", True)
    assert (await edge.look("small"))["replicas"] == []


async def test_tokens_stream_through_the_start_of_a_model_that_was_chosen_by_name(
    edge: Edge, client: openai.AsyncOpenAI
) -> None:
    await edge.deploy(generator("brief", "manual/small"), generator("wordy", "manual/large"))
    stream = await client.chat.completions.create(model="manual/small", messages=HELLO, max_tokens=20, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert len("".join(pieces)) > 20
    assert (await edge.look("wordy"))["replicas"] == []


async def test_openais_client_is_told_of_a_model_that_does_not_exist_and_nothing_wakes(
    edge: Edge, client: openai.AsyncOpenAI
) -> None:
    await edge.deploy(obedient("shy", "manual/small"), obedient("bold", "manual/large"))
    with pytest.raises(openai.NotFoundError) as refusal:
        await client.chat.completions.create(model="manual/none", messages=HELLO)
    assert (refusal.value.code, refusal.value.param) == ("model_not_found", "model")
    assert "manual/none" in refusal.value.message
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("manual/none")
    with pytest.raises(openai.BadRequestError) as nameless:
        await client.post("/embeddings", body={"input": "x"}, cast_to=object)
    assert (nameless.value.code, nameless.value.type) == ("model_required", "invalid_request_error")
    assert [(await edge.look(name))["replicas"] for name in ("shy", "bold")] == [[], []]


async def test_a_recording_reaches_the_model_that_its_form_names_byte_by_byte(
    edge: Edge, client: openai.AsyncOpenAI
) -> None:
    await edge.deploy(obedient("hear", "whisper-1"), obedient("speak", "tts-1"))
    recording = bytes(range(256)) * 2000
    answer = await client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=("speech.wav", recording, "audio/wav")
    )
    told = json.loads(answer.content)
    assert told["replica"].startswith("hear-1-")
    head = b'--b0undary\r\nContent-Disposition: form-data; name="model"\r\n\r\ntts-1\r\n--b0undary\r\n'
    file = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + recording
    sent = head + file + b"\r\n--b0undary--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b0undary"}
    answered = await edge.request(HOST, "/v1/audio/speech", "POST", data=sent, headers=headers)
    assert answered.json["replica"].startswith("speak-1-")
    assert answered.json["sha256"] == hashlib.sha256(sent).hexdigest()


async def test_all_that_openais_client_asks_reaches_the_model_it_names(edge: Edge, client: openai.AsyncOpenAI) -> None:
    await edge.deploy(obedient("any", "wanted"), obedient("other", "unwanted"))
    asked: dict[str, Any] = {
        "chat.completions.with_raw_response.create": {"messages": HELLO},
        "completions.with_raw_response.create": {"prompt": "x" * 200_000},
        "embeddings.with_raw_response.create": {"input": ["a", "b"]},
        "responses.with_raw_response.create": {"input": "x"},
        "moderations.with_raw_response.create": {"input": "x"},
        "audio.speech.with_raw_response.create": {"input": "x", "voice": "alloy"},
        "audio.transcriptions.with_raw_response.create": {"file": ("a.wav", b"RIFF" * 30_000)},
        "images.with_raw_response.generate": {"prompt": "a cat"},
        "images.with_raw_response.edit": {"prompt": "a cat", "image": ("a.png", bytes(100_000), "image/png")},
    }
    for call, options in asked.items():
        answer = await attrgetter(call)(client)(model="wanted", **options)
        assert json.loads(answer.http_response.content)["replica"].startswith("any-1-"), call
    assert edge.stamps("other-1", "start") == []


async def test_a_compressed_body_is_looked_into_and_sent_on_as_it_came(edge: Edge) -> None:
    await edge.deploy(obedient("thin", "manual/small"), obedient("thick", "manual/large"))
    sent = gzip.compress(json.dumps({"model": "manual/large", "prompt": "x" * 100_000}).encode())
    answer = await edge.request(HOST, "/openai/v1/completions", "POST", data=sent, headers={"Content-Encoding": "gzip"})
    assert answer.json["replica"].startswith("thick-1-")
    assert answer.json["sha256"] == hashlib.sha256(sent).hexdigest()


async def test_probes_of_a_sleeping_model_are_answered_without_waking_it(edge: Edge) -> None:
    await edge.deploy(
        obedient("quiet", "quiet"),
        obedient("mute", "mute", **{"sleeping-probes": "not-ready"}),
    )
    paths = ("/v1/models/quiet", "/v2/models/quiet", "/v2/models/quiet/ready", "/v2/health/live", "/v2/health/ready")
    answers = await edge.requests(HOST, *paths)
    assert {(answer.status, answer.reason) for answer in answers} == {(200, "models")}
    unready = await edge.request(HOST, "/v2/models/mute/ready")
    assert (unready.status, unready.reason, unready.json["ready"]) == (503, "model_not_ready", False)
    assert (await edge.look("quiet"))["replicas"] == []


async def test_a_probe_wakes_a_model_that_is_to_be_woken_by_it(edge: Edge) -> None:
    await edge.deploy(obedient("eager", "eager", **{"sleeping-probes": "wake"}), obedient("calm", "calm"))
    answer = await edge.request(HOST, "/v2/models/eager/ready")
    assert answer.json["replica"].startswith("eager-1-")
    predicted = await edge.request(HOST, "/v1/models/calm:predict", "POST", data=b'{"instances": []}')
    assert predicted.json["replica"].startswith("calm-1-")
