"""HTTP/1.1 by hand: what tests say and hear on a socket, without any of the parsers that the router uses."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 30.0  # for what comes in milliseconds, where nobody else has work


@dataclass
class Message:
    """A request or response as it was received. `whole` = its end was seen, not only the end of the connection."""

    start: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = False
    interim: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    @property
    def method(self) -> str:
        return self.start.split()[0]

    @property
    def target(self) -> str:
        return self.start.split()[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


class Talk:
    """One end of a connection. Every wait is bounded by PATIENCE."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard = b""
        self.was_reset = False  # the other side cut the connection

    async def send(self, *data: bytes | str) -> None:
        """Write each piece on its own, and wait until it may have left."""
        for piece in data:
            self.writer.write(piece if isinstance(piece, bytes) else piece.encode())
            async with asyncio.timeout(PATIENCE):
                await self.writer.drain()

    async def hear(self, size: int = 65536) -> bytes:
        """Return what comes next, b"" at the end; a reset is an end too, see `was_reset`."""
        try:
            async with asyncio.timeout(PATIENCE):
                data = await self.reader.read(size)
        except ConnectionError:
            self.was_reset, data = True, b""
        self.heard += data
        return data

    async def until(self, mark: bytes) -> bytes:
        """Return bytes up to and with `mark`, or fewer at the end of the connection."""
        try:
            async with asyncio.timeout(PATIENCE):
                data = await self.reader.readuntil(mark)
        except asyncio.IncompleteReadError as end:
            data = end.partial
        except ConnectionError:
            self.was_reset, data = True, b""
        self.heard += data
        return data

    async def quiet(self, seconds: float = 0.05) -> bool:
        """Return whether nothing comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                data = await self.reader.read(1)
        except TimeoutError:
            return True
        self.heard += data
        return False

    async def ended(self) -> bool:
        """Wait for the end of the connection; False when something else came."""
        return await self.hear() == b""

    async def head(self) -> Message:
        """Return the next head. EOFError when the connection ends before one."""
        raw = await self.until(b"\r\n\r\n")
        if not raw.endswith(b"\r\n\r\n"):
            raise EOFError(raw)
        start, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        fields = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
        return Message(start, fields)

    async def request(self) -> Message:
        """Return the next request with its body."""
        message = await self.head()
        message.whole = await self._body(message, rest=False)
        return message

    async def response(self, to: str = "GET") -> Message:
        """Return the next final response, with the 1xx that came before it."""
        interim = []
        message = await self.head()
        while message.status < 200:
            interim.append(message)
            message = await self.head()
        message.interim = interim
        if to == "HEAD" or message.status in {204, 304}:
            message.whole = True
        else:
            message.whole = await self._body(message, rest=True)
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the data of each chunk as soon as it is here; EOFError when the connection ends before the last."""
        while True:
            line = await self.until(b"\r\n")
            if not line.endswith(b"\r\n"):
                raise EOFError
            size = int(line, 16)
            data = await self._exactly(size + 2)
            if len(data) < size + 2:
                raise EOFError
            if not size:
                return
            yield data[:-2]

    def leave(self) -> None:
        """Close the connection."""
        self.writer.close()

    def half_close(self) -> None:
        """Close the sending side."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Cut the connection, so that the other side sees a reset."""
        if not self.writer.is_closing():
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.writer.transport.abort()

    async def _body(self, message: Message, *, rest: bool) -> bool:
        length, encoding = message.get("content-length"), message.get("transfer-encoding")
        if encoding is not None:
            try:
                async for data in self.chunks():
                    message.body += data
            except EOFError:
                return False
        elif length is not None:
            message.body = await self._exactly(int(length))
            return len(message.body) == int(length)
        elif rest:
            while data := await self.hear():
                message.body += data
            return not self.was_reset
        return True

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := await self.hear(size - len(data))):
            data += piece
        return data


class Script:
    """A replica's part, told step by step by the test: `at` is the connection once it is there."""

    def __init__(self) -> None:
        self.at: asyncio.Future[Talk] = asyncio.get_running_loop().create_future()
        self._end = asyncio.Event()

    async def __call__(self, edge: Talk) -> None:
        self.at.set_result(edge)
        await self._end.wait()
