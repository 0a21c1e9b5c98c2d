from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from activator.callers import Callers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 10.0
ASK = b"GET /healthz HTTP/1.1\r\nHost: edge\r\n\r\n"
BIG = b"x" * 30_000_000  # more than the kernel keeps


class Stage:
    """A server with few places, and who is connected to it."""

    def __init__(self, callers: Callers, port: int) -> None:
        self.callers = callers
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        before = set(self.callers.connected)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        while not set(self.callers.connected) - before:  # noqa: ASYNC110 - the simplest
            await asyncio.sleep(0)
        return reader, writer

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def on_stage(most: int = 3, head: float = PATIENCE) -> AsyncIterator[Stage]:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=BIG if request.path == "/big" else b"ok")

    server = web.Server(answer)
    callers = Callers(server, most, head)
    listening = await asyncio.get_running_loop().create_server(callers, "127.0.0.1", 0)
    stage = Stage(callers, listening.sockets[0].getsockname()[1])
    try:
        async with asyncio.timeout(PATIENCE):
            yield stage
    finally:
        listening.close()
        stage.close()
        await server.shutdown(0.1)


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(ASK)
    return (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")


async def test_a_newcomer_takes_the_place_of_who_has_been_silent_for_longest() -> None:
    async with on_stage() as stage:
        first, second, third = [await stage.connect() for _ in range(3)]
        assert await answered(*first)
        fourth = await stage.connect()
        assert await ended(second[0])
        assert [await answered(*each) for each in (first, third, fourth)] == [True] * 3
        assert len(stage.callers.connected) == 3


async def test_so_does_it_that_of_who_does_not_take_its_answer() -> None:
    async with on_stage(most=1) as stage:
        reader, writer = await stage.connect()
        writer.write(ASK.replace(b"/healthz", b"/big"))
        await reader.readexactly(1)
        assert await answered(*await stage.connect())


async def test_who_asks_for_nothing_is_closed_and_who_has_asked_is_not() -> None:
    async with on_stage(head=1.0) as stage:
        asking = await stage.connect()
        assert await answered(*asking)
        silent, dribbling = [await stage.connect() for _ in range(2)]
        dribbling[1].write(ASK[:-2])
        assert [await ended(reader) for reader, _ in (silent, dribbling)] == [True, True]
        assert await answered(*asking)
        assert len(stage.callers.connected) == 1
