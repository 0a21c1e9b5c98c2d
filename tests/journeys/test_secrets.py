"""What is secret in a request is in no log, whatever becomes of it: prompts and credentials live in headers, bodies,
cookies and queries."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.journeys.services import configuration, revision, service, slow

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge

SECRET = "hush-hush"
HEADERS = (
    f"Authorization: Bearer {SECRET}\r\nCookie: session={SECRET}\r\nX-Api-Key: {SECRET}\r\n"
    f"Referer: http://{SECRET}@other.example/?{SECRET}\r\nTraceparent: {SECRET}\r\nForwarded: for={SECRET}\r\n"
    f"X-Forwarded-For: {SECRET}\r\nUser-Agent: {SECRET}\r\nX-Request-Id: {SECRET} and more\r\n"
)
BODY = f'{{"model": "{SECRET}", "prompt": "{SECRET}"}}'
CLOSE = "Connection: close\r\n"
TARGETS = ("/", "/?delay=0.1", "/?crash=1", "/?status=500", "/?cut=1")
HOSTS = ("good", "broken", "gone", "limited", "asleep", "nowhere")


def request(host: str, target: str, more: str = "", body: str = BODY) -> str:
    """Return a request that has the secret everywhere."""
    query = f"{target}{'&' if '?' in target else '?'}key={SECRET}"
    length = f"Content-Length: {len(body)}\r\n" if "Content-Length" not in more and "Transfer" not in more else ""
    return f"POST {query} HTTP/1.1\r\nHost: {host}.localhost\r\n{HEADERS}{length}{more}\r\n{body}"


def malformed() -> list[str]:
    """Return requests that the edge refuses itself, each of which has the secret where it is refused."""
    host = "Host: good.localhost\r\n"
    return [
        f"GET http://{SECRET}:{SECRET}@good.localhost/?{SECRET} HTTP/1.1\r\n{host}\r\n",
        f"GET /?{SECRET}#{SECRET} HTTP/1.1\r\n{host}\r\n",
        f"GET /?{SECRET} HTTP/1.1\r\nHost: {SECRET}@good.localhost\r\n\r\n",
        f"GET /?{SECRET} HTTP/1.1\r\nHost: {SECRET} {SECRET}\r\n\r\n",
        f"GET /?{SECRET} HTTP/9.{SECRET}\r\n{host}\r\n",
        f"GET\0{SECRET} / HTTP/1.1\r\n{host}\r\n",
        f"GET / HTTP/1.1\r\n{host}X-{SECRET}: \0{SECRET}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{host}{SECRET}\r\n\r\n",
        f"CONNECT {SECRET}:443 HTTP/1.1\r\nHost: {SECRET}:443\r\n\r\n",
        f"TRACE /?{SECRET} HTTP/1.1\r\n{host}{HEADERS}\r\n",
        request("good", "/", f"Content-Length: {SECRET}\r\n"),
        request("good", "/", f"Transfer-Encoding: {SECRET}\r\n"),
        request("good", "/", "Transfer-Encoding: chunked\r\n", body=f"{SECRET}\r\n{SECRET}"),
        request("good", "/", "Transfer-Encoding: chunked\r\n", body=f"5;{SECRET}=\0\r\n{SECRET}"),
        request("good", "/", f"Expect: {SECRET}\r\n"),
        request("good", "/", f"Connection: {SECRET}\r\nUpgrade: {SECRET}\r\n"),
        f"GET /?{SECRET} HTTP/1.1\r\n{host}X: {SECRET * 20_000}\r\n\r\n",
        f"GET /?{SECRET * 20_000} HTTP/1.1\r\n{host}\r\n",
        f"{SECRET}",
    ]


async def tell(edge: Edge, text: str, patience: float) -> None:
    """Send it, and read until the edge is done with it or for so many seconds."""
    reader, writer = await edge.connect()
    with suppress(OSError, TimeoutError):
        writer.write(text.encode())
        async with asyncio.timeout(patience):
            await reader.read()
    writer.close()


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_secret_of_a_request_is_logged_whatever_becomes_of_it(serve: Serve, workers: int) -> None:
    edge = serve(
        configuration(
            service("good"),
            service("broken", revision("broken-1", ["sh", "-c", "exit 1"]), requests={"hold-timeout": "500ms"}),
            service("limited", requests={"max-request-bytes": "10B"}),
            service("asleep", slow("asleep-1", 30), requests={"hold-timeout": "500ms", "queue-depth": 2}),
            workers=workers,
            **{"access-log": True, "request-ids": True},
        )
    )
    for host in HOSTS:
        await asyncio.gather(*(tell(edge, request(host, target, CLOSE), 60) for target in TARGETS))
    await asyncio.gather(*(tell(edge, text, 1) for text in malformed()))
    await edge.until(lambda: {line["status"] for line in edge.logs("request")} >= {200, 404, 413, 503})
    assert SECRET not in edge.daemon.said
    assert SECRET not in str(await edge.admin("/metrics"))
