"""A text generator behind OpenAI's chat protocol: the slow model, whose answers stream while they are made.

The model is the n-gram of `ngram.py`, trained at start on the reference manual that CPython ships. Each
answer is made token by token at --tokens-per-second. It ends with a paragraph, once it has SHORTEST_ANSWER
tokens, or at `max_tokens`.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from itertools import islice
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import ValidationError

import chat
import serving
from ngram import PARAGRAPH_END, NgramModel, manual, tokenize

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "python-manual-ngram"
DESCRIPTION = "Word n-gram, trained at start on CPython's pydoc_data.topics (PSF licence). It knows no facts."
SHORTEST_ANSWER = 40
TEMPERATURE = 0.7


class Generator:
    """The protocol's handlers. `name` is the model's; `tokens_per_second` the pace of each answer, 0 = unpaced."""

    def __init__(self, model: NgramModel, *, name: str, tokens_per_second: float) -> None:
        self._model = model
        self._name = name
        self._pause = 1 / tokens_per_second if tokens_per_second else 0.0
        self._loaded = int(time.time())

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints."""
        return [
            web.get("/health", self.health),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{name:.+}", self.model),
            web.post("/v1/chat/completions", self.complete),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._card()]})

    async def model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response(self._card()) if name == self._name else _unknown(name)

    def _card(self) -> chat.Json:
        card: chat.Json = {
            "id": self._name,
            "object": "model",
            "created": self._loaded,
            "owned_by": "gpu-activator",
        }
        return {**card, "description": DESCRIPTION, "trained_tokens": self._model.size}

    async def complete(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = chat.ChatRequest.model_validate_json(await request.read())
        except ValidationError as refusal:
            return web.json_response(chat.explain(refusal), status=400)
        if asked.model != self._name:
            return _unknown(asked.model)
        return await (self._stream(request, asked) if asked.stream else self._whole(asked))

    async def _whole(self, asked: chat.ChatRequest) -> web.Response:
        tokens = [token async for token in self._speak(asked)]
        envelope = chat.Envelope(self._name, include_usage=True)
        return web.json_response(envelope.whole("".join(tokens), *_closing(asked, len(tokens))))

    async def _stream(self, request: web.Request, asked: chat.ChatRequest) -> web.StreamResponse:
        options = asked.stream_options or chat.StreamOptions()
        envelope = chat.Envelope(self._name, include_usage=options.include_usage)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        await response.write(_event(envelope.chunk({"role": "assistant", "content": ""})))
        count = 0
        async for token in self._speak(asked):
            count += 1
            await response.write(_event(envelope.chunk({"content": token})))
        for last in envelope.last_chunks(*_closing(asked, count)):
            await response.write(_event(last))
        await response.write(chat.DONE)
        return response

    async def _speak(self, asked: chat.ChatRequest) -> AsyncIterator[str]:
        seed = random.getrandbits(32) if asked.seed is None else asked.seed
        temperature = TEMPERATURE if asked.temperature is None else asked.temperature
        tokens = self._model.generate(asked.prompt, seed=seed, temperature=temperature)
        for count, token in enumerate(islice(tokens, asked.limit)):
            if token == PARAGRAPH_END and count >= SHORTEST_ANSWER and not asked.ignore_eos:
                return
            await asyncio.sleep(self._pause)
            yield token


def _closing(asked: chat.ChatRequest, made: int) -> tuple[str, chat.Json]:
    prompt = sum(len(tokenize(message.text)) for message in asked.messages)
    return "length" if made == asked.limit else "stop", chat.usage(prompt, made)


def _event(body: chat.Json) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def _unknown(model: str) -> web.Response:
    body = chat.error(f"The model `{model}` does not exist.", param="model", code="model_not_found")
    return web.json_response(body, status=404)


def main() -> None:
    parser = serving.arguments("Text generator speaking OpenAI's chat protocol.")
    parser.add_argument("--name", default=NAME, help=f"what requests call the model (default {NAME})")
    parser.add_argument(
        "--tokens-per-second",
        type=serving.amount,
        default=20.0,
        help="pace of an answer, 0 = unpaced (default 20)",
    )
    options = parser.parse_args()
    app = web.Application()
    generator = Generator(NgramModel(manual()), name=options.name, tokens_per_second=options.tokens_per_second)
    app.add_routes(generator.routes())
    serving.run(app, load_seconds=options.load_seconds)


if __name__ == "__main__":
    main()
