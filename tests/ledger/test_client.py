"""The client tells outcomes apart, and keeps what came before a reset."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.ledger.client import ask
from tests.ledger.rows import Asked, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

RESET = b"\1\0\0\0\0\0\0\0"
OK = b"HTTP/1.1 200 OK\r\n"


def serve(server: socket.socket, answer: bytes, ending: str) -> None:
    """Answer whatever comes, and end the connection so."""
    connection, _ = server.accept()
    with connection:
        while b"\r\n\r\n" not in connection.recv(65536):
            pass
        connection.sendall(answer)
        if ending == "reset":
            time.sleep(0.05)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif ending == "wait":
            with suppress(OSError):
                while connection.recv(65536):
                    pass


async def answered(answer: bytes, ending: str, body: bytes = b"", patience: float = 5.0) -> Asked:
    """Return the row of a request to a server that answers this, whatever comes, and ends the connection so."""
    row = Asked("a", "POST" if body else "GET", "m", time.monotonic(), patience)
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = asyncio.create_task(asyncio.to_thread(serve, server, answer, ending))
        await ask(row, server.getsockname(), "/", body)
        await serving
    return row


@pytest.mark.parametrize(
    ("answer", "ending", "outcome"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", "wait", Outcome.COMPLETE),
        (OK + b"Content-Length: 2\r\n\r\nok", "reset", Outcome.COMPLETE),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "wait", Outcome.COMPLETE),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", "wait", Outcome.COMPLETE),
        (OK + b"\r\nok", "close", Outcome.COMPLETE),
        (OK + b"\r\nok", "reset", Outcome.TRUNCATED),
        (OK + b"Content-Length: 3\r\n\r\nok", "close", Outcome.TRUNCATED),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "close", Outcome.TRUNCATED),
        (b"", "reset", Outcome.RESET),
        (b"", "close", Outcome.RESET),
        (OK, "close", Outcome.RESET),
    ],
)
async def test_an_outcome_is_what_came_before_the_end(answer: bytes, ending: str, outcome: Outcome) -> None:
    assert (await answered(answer, ending)).outcome is outcome


async def test_an_answer_to_half_an_upload_is_seen_before_the_reset() -> None:
    row = await answered(b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\nno", "reset", body=bytes(20 << 20))
    assert (row.outcome, row.status) == (Outcome.COMPLETE, 413)


async def test_patience_ends() -> None:
    row = await answered(b"", "wait", patience=0.1)
    assert row.outcome is Outcome.TIMEOUT
    assert row.end - row.sent > 0.05


async def test_nobody_there_is_refused(unused_port: Callable[[], int]) -> None:
    row = Asked("a", "GET", "m", 0.0, 5.0)
    await ask(row, ("127.0.0.1", unused_port()), "/")
    assert row.outcome is Outcome.REFUSED


@pytest.fixture
def unused_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            port: int = trial.getsockname()[1]
            return port

    return find
