"""The featureless proxy that the router is measured against: asyncio.Protocol and httptools on both sides, no more.

It forwards well-formed requests to one address over pooled connections, as their bytes come: no routing, counting,
limits, errors, clocks, back-pressure or chunked framing. What the router costs above this is the price of everything it
does. Arguments: port, upstream port.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

POOL: list[Upstream] = []


class Upstream(asyncio.Protocol):
    client: Client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def attach(self, client: Client) -> None:
        self.client = client
        self.parser = httptools.HttpResponseParser(self)
        self.out: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.complete = False
        self.parser.feed_data(data)
        self.client.transport.write(b"".join(self.out))
        self.out.clear()
        if self.complete:
            self.client.upstream = None
            POOL.append(self)

    def on_status(self, phrase: bytes) -> None:
        self.out.append(b"HTTP/1.1 %d %s\r\n" % (self.parser.get_status_code(), phrase))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.out.append(name + b": " + value + b"\r\n")

    def on_headers_complete(self) -> None:
        self.out.append(b"\r\n")

    def on_body(self, data: bytes) -> None:
        self.out.append(data)

    def on_message_complete(self) -> None:
        self.complete = True


class Client(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)
        self.upstream: Upstream | None = None
        self.opening: asyncio.Task[None] | None = None
        self.headers: list[bytes] = []
        self.out: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        if self.upstream is None and POOL:
            self.upstream = POOL.pop()
            self.upstream.attach(self)
        if self.upstream is not None:
            self.send(self.upstream)
        elif self.opening is None:
            self.opening = asyncio.get_running_loop().create_task(self.open())

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append(name + b": " + value + b"\r\n")

    def on_headers_complete(self) -> None:
        self.out += (self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n", *self.headers, b"\r\n")
        self.headers.clear()

    def on_body(self, data: bytes) -> None:
        self.out.append(data)

    def send(self, upstream: Upstream) -> None:
        upstream.transport.write(b"".join(self.out))
        self.out.clear()

    async def open(self) -> None:
        _, self.upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", int(sys.argv[2]))
        self.opening = None
        self.upstream.attach(self)
        self.send(self.upstream)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
