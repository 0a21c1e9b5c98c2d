from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from activator.scalers.probe import probe
from router.ports import UpstreamTls
from tests.certificates import CA, server_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def answering(*pieces: bytes, host: str = "127.0.0.1", tls: str = "") -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve the same answer to everyone, piece by piece; give the port and the requests."""
    requests: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, host, 0, ssl=server_context(tls) if tls else None) as server:
        yield server.sockets[0].getsockname()[1], requests
        await asyncio.gather(*filter(None, serving))


async def ask(port: int, *, host: str = "127.0.0.1", within: float = 60, tls: UpstreamTls | None = None) -> str:
    return await probe(host, port, "/ready?deep=1", within=within, tls=tls)


async def test_a_200_is_ready() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, requests):
        assert await ask(port) == ""
    (request,) = requests
    assert request.startswith(b"GET /ready?deep=1 HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{port}\r\n".encode() in request
    assert b"\r\nConnection: close\r\n" in request


async def test_a_status_line_may_come_in_pieces_and_without_a_reason() -> None:
    async with answering(b"HTTP/1.", b"0 20", b"0\r\n\r\n") as (port, _):
        assert await ask(port) == ""


@pytest.mark.parametrize("status", [b"204 No Content", b"301 Moved", b"404 Not Found", b"503 Loading"])
async def test_any_other_status_is_not_ready(status: bytes) -> None:
    async with answering(b"HTTP/1.1 " + status + b"\r\n\r\n") as (port, _):
        assert await ask(port) == f"GET /ready?deep=1 answered {status[:3].decode()}"


@pytest.mark.parametrize("answer", [b"", b"hello\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 2x0 OK\r\n", b"x" * 9000])
async def test_what_is_no_http_is_not_ready(answer: bytes) -> None:
    async with answering(answer) as (port, _):
        assert await ask(port) == "GET /ready?deep=1 got no HTTP answer"


async def test_a_refused_connection_is_not_ready() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert await ask(port) == f"port {port}: connection refused"


async def test_no_answer_in_time_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert await ask(mute.getsockname()[1], within=0.05) == "no answer to GET /ready?deep=1 within 0.05 s"


async def test_a_probe_may_go_over_ipv6() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", host="::1") as (port, requests):
        assert await ask(port, host="::1") == ""
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in requests[0]


@pytest.mark.parametrize(
    ("shows", "tls"),
    [
        ("local", UpstreamTls(ca=str(CA))),
        ("a", UpstreamTls(ca=str(CA), name="a.example")),
        ("b", UpstreamTls(verify=False)),
    ],
)
async def test_a_probe_goes_by_tls_where_requests_do(shows: str, tls: UpstreamTls) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", tls=shows) as (port, requests):
        assert await ask(port, tls=tls) == ""
    assert requests[0].startswith(b"GET /ready?deep=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Loading\r\n\r\n", b"x" * 9000])
async def test_an_answer_by_tls_is_judged_like_any_other(answer: bytes) -> None:
    async with answering(answer, tls="local") as (port, _):
        assert (await ask(port, tls=UpstreamTls(ca=str(CA)))).startswith("GET /ready?deep=1 ")


async def test_a_certificate_that_is_not_accepted_is_not_ready_and_says_why() -> None:
    async with answering(tls="local") as (port, _):
        assert await ask(port, tls=UpstreamTls()) == f"port {port}: no TLS: unable to get local issuer certificate"
    async with answering(tls="a") as (port, _):
        said = await ask(port, tls=UpstreamTls(ca=str(CA)))
    assert said.startswith(f"port {port}: no TLS: IP address mismatch")


async def test_a_replica_that_speaks_no_tls_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asking = asyncio.create_task(ask(server.getsockname()[1], tls=UpstreamTls()))
        connection, _ = await asyncio.to_thread(server.accept)
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert "no TLS: " in await asking
