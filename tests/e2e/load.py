"""Requests as a client makes them, and what became of each: none is retried, and none is forgotten.

Only a new model may be unknown for a moment, until the edge's watch has told of it. Once known, it must stay so.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 120.0
HEARD_WITHIN = 5.0  # seconds from a model's first request until the edge must know it


@dataclass
class Answer:
    """What became of a request. `status` 0 = the connection broke; `text` is then the reason."""

    status: int
    text: str
    begun: float  # seconds since the epoch
    ended: float
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return self.status == 200 and "pod" in self.facts

    @property
    def facts(self) -> dict[str, Any]:
        """What the model told, which is the last thing in its answer."""
        last = self.text.rstrip().rpartition("\n")[2].removeprefix("data: ")
        try:
            return dict(json.loads(last))
        except ValueError:
            return {}

    def __str__(self) -> str:
        return f"{self.status} after {self.ended - self.begun:.2f} s: {self.text[:200]}"


class Client:
    """Asks one edge."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self.address = address
        self._known: set[str] = set()

    async def ask(self, model: str, target: str = "/", patience: float = PATIENCE) -> Answer:
        """Make one POST request on a connection of its own; the first of a model waits until the edge knows it."""
        until = time.time() + HEARD_WITHIN
        while True:
            answer = await self._ask(model, target, patience)
            if model in self._known or answer.facts.get("reason") != "unknown_host" or time.time() > until:
                self._known.add(model)
                return answer
            await asyncio.sleep(0.05)

    async def _ask(self, model: str, target: str, patience: float) -> Answer:
        begun = time.time()
        head: dict[str, str] = {}
        text = ""
        timeout = aiohttp.ClientTimeout(total=patience)
        try:
            async with self._session.post(
                f"http://{self.address}{target}", headers={"Host": host_of(model)}, data=b"{}", timeout=timeout
            ) as response:
                head = dict(response.headers)
                async for piece in response.content.iter_any():
                    text += piece.decode()
                return Answer(response.status, text, begun, time.time(), head)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(0, f"{text[-80:]} {type(error).__name__}: {error}", begun, time.time(), head)


def host_of(model: str) -> str:
    """The host by which a model is asked."""
    return f"{model}.e2e.test"


class Load:
    """Clients in a closed loop, each with one request at a time."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._stopping = False

    @asynccontextmanager
    async def running(self, client: Client, model: str, *, clients: int, target: str) -> AsyncIterator[Load]:
        """Ask as long as the context lasts; what runs at its end is waited for."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._ask(client, model, target))
            try:
                yield self
            finally:
                self._stopping = True

    async def _ask(self, client: Client, model: str, target: str) -> None:
        while not self._stopping:
            self.answers.append(await client.ask(model, target))
            await asyncio.sleep(0.01)

    @property
    def failures(self) -> list[str]:
        return [str(answer) for answer in self.answers if not answer.good]
