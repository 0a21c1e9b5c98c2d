"""Clients that keep their connection: many requests on one, and WebSockets.

A connection that is kept may be closed when the next request is on its way, which no server can rule out (RFC 9112
9.3.1). The client asks again, on a new connection and under the same id, if a connection that was used before ended
without a byte of answer: that is right only as long as the edge begins nothing that it does not answer, and I2 finds
every one that reached a model twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING

from tests.ledger.client import Ended, Wire, converse, final_head, head_of
from tests.ledger.rows import Outcome

if TYPE_CHECKING:
    from tests.ledger.rows import Asked

KEEP = "Connection: keep-alive"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PIECE = 1000
EVERY = 0.05  # seconds


class Visitor:
    """Makes one request after another on a connection, and on a new one when that has ended."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.connections = 0
        self._address = address
        self._wire: Wire | None = None

    async def ask(self, row: Asked, target: str, body: bytes = b"") -> None:
        """Make the request of `row` and complete the row."""
        row.body_hash = hashlib.sha256(body).hexdigest()
        try:
            async with asyncio.timeout(row.patience):
                while not await self._try(row, target, body):
                    row.retries += 1
        except TimeoutError:
            row.outcome = Outcome.TIMEOUT
            self.close()
        except OSError as error:
            row.outcome = Outcome.RESET if isinstance(error, ConnectionResetError) else Outcome.REFUSED
            self.close()
        finally:
            row.end = time.monotonic()

    def close(self) -> None:
        """Leave."""
        wire, self._wire = self._wire, None
        if wire is not None and wire.transport is not None:
            wire.transport.abort()

    async def _try(self, row: Asked, target: str, body: bytes) -> bool:
        """Make the request; False when it may be made again: the edge closed a used connection and said nothing."""
        wire, used = self._wire, True
        if wire is None or wire.ended:
            self.close()
            _, wire = await asyncio.get_running_loop().create_connection(Wire, *self._address)
            self._wire, used = wire, False
            self.connections += 1
        wire.next()
        await converse(row, wire, target, body, KEEP)
        row.first_byte = wire.first_byte
        if row.closing or row.outcome is not Outcome.COMPLETE:
            self.close()
        return not (used and row.outcome is Outcome.RESET and wire.first_byte is None)


async def talk(row: Asked, address: tuple[str, int], seconds: float) -> None:
    """Open a WebSocket, send a piece at a time and expect each back, then close. Complete = each came back and the
    model closed in order."""
    sent = hashlib.sha256()
    wire: Wire | None = None
    try:
        async with asyncio.timeout(row.patience):
            _, wire = await asyncio.get_running_loop().create_connection(Wire, *address)
            await wire.send((head_of(row, "/") + UPGRADE).encode())
            row.status, head = await final_head(wire)
            row.reason = head.get("activator-reason", "")
            row.retry_after = float(head["retry-after"]) if "retry-after" in head else None
            if row.status == 101:
                row.outcome = Outcome.TRUNCATED
                await _echo(wire, sent, row, round(seconds / EVERY))
            row.outcome = Outcome.COMPLETE
    except TimeoutError:
        row.outcome = Outcome.TIMEOUT
    except Ended:
        row.outcome = row.outcome or Outcome.RESET
    except OSError as error:
        row.outcome = Outcome.RESET if isinstance(error, ConnectionResetError) else Outcome.REFUSED
    finally:
        row.body_hash = row.answer_hash = sent.hexdigest()
        row.end = time.monotonic()
        if wire is not None and wire.transport is not None:
            row.first_byte = wire.first_byte
            wire.transport.abort()


async def _echo(wire: Wire, sent: hashlib._Hash, row: Asked, times: int) -> None:
    """Send pieces, each after the one before has come back; Ended when the last is the model's end in order."""
    for number in range(max(1, times)):
        piece = f"{row.id} {number} ".encode().ljust(PIECE, b"x")
        await wire.send(piece)
        sent.update(piece)
        back = b""
        while len(back) < PIECE:
            back += await wire.some(PIECE - len(back))
        if back != piece:
            raise Ended(reset=True)
        await asyncio.sleep(EVERY)
    assert wire.transport is not None
    wire.transport.write_eof()
    try:
        await wire.some(1)
    except Ended as end:
        if end.reset:
            raise
    else:
        raise Ended(reset=True)  # something that was not asked for
