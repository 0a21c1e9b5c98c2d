"""OpenAI's chat protocol as values: what a request may say, and the envelopes an answer travels in.

Source: the API reference of OpenAI's `POST /v1/chat/completions`. Only what a text model without tools needs.
"""

from __future__ import annotations

import platform
import time
import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Json = dict[str, object]

DONE = b"data: [DONE]\n\n"


class Part(BaseModel):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or ())


class StreamOptions(BaseModel):
    """What a stream tells besides its tokens."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The fields that change an answer; others are ignored. `ignore_eos` is vLLM's: go on until the limit."""

    model_config = ConfigDict(strict=True)

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    seed: int | None = None
    n: Literal[1] | None = None
    ignore_eos: bool = False

    @property
    def limit(self) -> int:
        """The most tokens to make."""
        return self.max_completion_tokens or self.max_tokens or 256

    @property
    def prompt(self) -> str:
        """What was said to the model, without its own answers."""
        return "\n".join(message.text for message in self.messages if message.role != "assistant")


class Envelope:
    """Wraps one answer's pieces, whole or as chunks."""

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head: Json = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"python-{platform.python_version()}",
        }

    def whole(self, text: str, finish_reason: str, usage: Json) -> Json:
        """Return the answer to a request that does not stream."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": usage}

    def chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        """Return one event of a stream."""
        return self._event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])

    def last_chunks(self, finish_reason: str, usage: Json) -> list[Json]:
        """Return the events after the last token: why it ended, and the usage if it was asked for."""
        return [self.chunk({}, finish_reason), *([self._event([], usage)] if self._include_usage else [])]

    def _event(self, choices: list[Json], usage: Json | None = None) -> Json:
        told = {"usage": usage} if self._include_usage else {}
        return {**self._head, "object": "chat.completion.chunk", "choices": choices, **told}


def usage(prompt_tokens: int, completion_tokens: int) -> Json:
    """Return the token counts of an answer."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def error(message: str, *, param: str | None = None, code: str | None = None) -> Json:
    """Return the body of a refusal."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def explain(refusal: ValidationError) -> Json:
    """Return the body that names the first thing wrong with a request."""
    first = refusal.errors(include_url=False, include_input=False)[0]
    param = ".".join(map(str, first["loc"])) or None
    return error(f"{param}: {first['msg']}" if param else first["msg"], param=param)
