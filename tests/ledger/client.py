"""A client that hides nothing: no retry behind one's back, and a row of what happened. `ask` makes one request on a
connection of its own; `Visitor` (see `keeping`) keeps one.

It is written for this, on bare sockets: libraries retry, and lose what came before a reset.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from tests.ledger.rows import Asked, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 64 << 10


class Ended(Exception):
    """The peer closed; `reset` = not in order."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class Wire(asyncio.Protocol):
    """A connection that keeps all bytes which came before its end."""

    def __init__(self) -> None:
        self.first_byte: float | None = None
        self.transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._end: Ended | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.first_byte = self.first_byte or time.monotonic()
        self._data += data
        self._news.set()

    def eof_received(self) -> bool:
        self._end = self._end or Ended(reset=False)
        self._news.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end = self._end or Ended(reset=exc is not None)
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def line(self) -> bytes:
        """Return the next line without its end. Ended when there is none."""
        while (at := self._data.find(b"\r\n")) < 0:
            await self._more()
        line = bytes(self._data[:at])
        del self._data[: at + 2]
        return line

    async def some(self, most: int) -> bytes:
        """Return 1 to `most` bytes. Ended when there are none."""
        while not self._data:
            await self._more()
        data = bytes(self._data[:most])
        del self._data[:most]
        return data

    def next(self) -> None:
        """Wait for the first byte of another answer."""
        self.first_byte = None

    @property
    def ended(self) -> bool:
        """Whether the peer sends no more."""
        return self._end is not None

    async def send(self, body: bytes) -> None:
        """Send as fast as the peer reads, until it leaves."""
        assert self.transport is not None
        for at in range(0, len(body), PIECE):
            await self._writable.wait()
            if self.transport.is_closing():
                return
            self.transport.write(body[at : at + PIECE])

    def stop_reading(self) -> None:
        """Take nothing more from the peer."""
        assert self.transport is not None
        self.transport.pause_reading()

    def reset(self) -> None:
        """Leave by a reset."""
        assert self.transport is not None
        if not self.transport.is_closing():
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()

    async def _more(self) -> None:
        self._news.clear()
        if self._end is not None:
            raise self._end
        await self._news.wait()


async def ask(
    row: Asked, address: tuple[str, int], target: str, body: bytes = b"", on_open: Callable[[Wire], None] | None = None
) -> None:
    """Make the request of `row` to its service and complete the row. A cancelled one has left by a reset."""
    row.body_hash = hashlib.sha256(body).hexdigest()
    wire: Wire | None = None
    try:
        async with asyncio.timeout(row.patience):
            _, wire = await asyncio.get_running_loop().create_connection(Wire, *address)
            if on_open is not None:
                on_open(wire)
            await converse(row, wire, target, body)
    except TimeoutError:
        row.outcome = Outcome.TIMEOUT
    except OSError as error:
        row.outcome = Outcome.RESET if isinstance(error, ConnectionResetError) else Outcome.REFUSED
    except asyncio.CancelledError:
        row.outcome = Outcome.LEFT
        if wire is not None:
            wire.reset()
        raise
    finally:
        row.end = time.monotonic()
        if wire is not None:
            row.first_byte = wire.first_byte
            assert wire.transport is not None
            wire.transport.abort()


async def converse(row: Asked, wire: Wire, target: str, body: bytes, connection: str = "Connection: close") -> None:
    """Make the request of `row` on a connection that is there, and read its answer."""
    length = f"Content-Length: {len(body)}\r\n" if body or row.method == "POST" else ""
    await wire.send(f"{head_of(row, target)}{connection}\r\n{length}\r\n".encode())
    upload = asyncio.create_task(wire.send(body))
    try:
        await _read(row, wire)
    finally:
        upload.cancel()
        with suppress(asyncio.CancelledError):
            await upload


def head_of(row: Asked, target: str) -> str:
    """Return the beginning of a request's head."""
    host = row.service if "." in row.service else f"{row.service}.localhost"
    return f"{row.method} {target} HTTP/1.1\r\nHost: {host}\r\nX-Req-Id: {row.id}\r\n"


async def _read(row: Asked, wire: Wire) -> None:
    try:
        status, head = await final_head(wire)
    except Ended:
        row.outcome = Outcome.RESET
        return
    row.status = status
    row.reason = head.get("activator-reason", "")
    row.retry_after = float(head["retry-after"]) if "retry-after" in head else None
    row.hold = _hold(head.get("server-timing", ""))
    row.closing = head.get("connection", "") == "close"
    digest = hashlib.sha256()
    try:
        await _body(wire, head, digest.update)
        row.outcome = Outcome.COMPLETE
    except Ended:
        row.outcome = Outcome.TRUNCATED
    row.answer_hash = digest.hexdigest()


async def final_head(wire: Wire) -> tuple[int, dict[str, str]]:
    """Return the first head that is final; 101 is."""
    while True:
        status = int((await wire.line()).split()[1])
        head = {}
        while line := await wire.line():
            name, _, value = line.decode("latin-1").partition(":")
            head[name.lower()] = value.strip()
        if status >= 200 or status == 101:
            return status, head


def _hold(timing: str) -> float:
    """Return the seconds that the edge held the request."""
    found = re.match(r"hold;dur=([\d.]+)", timing)
    return float(found[1]) / 1000 if found else 0.0


async def _body(wire: Wire, head: dict[str, str], take: Callable[[bytes], None]) -> None:
    if "transfer-encoding" in head:
        while size := int(await wire.line(), 16):
            await _exactly(wire, size, take)
            await wire.line()
        while await wire.line():
            pass
    elif "content-length" in head:
        await _exactly(wire, int(head["content-length"]), take)
    else:
        await _to_the_end(wire, take)


async def _exactly(wire: Wire, size: int, take: Callable[[bytes], None]) -> None:
    while size:
        data = await wire.some(min(size, PIECE))
        take(data)
        size -= len(data)


async def _to_the_end(wire: Wire, take: Callable[[bytes], None]) -> None:
    try:
        while True:
            take(await wire.some(PIECE))
    except Ended as end:
        if end.reset:
            raise
