"""The featureless proxy that the router is measured against: asyncio.Protocol and httptools on both sides, nothing else.

It forwards small requests without a body to one address over pooled connections: no routing, counting, limits, errors,
clocks or streaming. What the router costs above this is the price of everything it does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

POOL: list[Upstream] = []


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, client: Client, data: bytes) -> None:
        self.client = client
        self.parser = httptools.HttpResponseParser(self)
        self.headers: list[bytes] = []
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append(name + b": " + value + b"\r\n")

    def on_body(self, data: bytes) -> None:
        self.body = data

    def on_message_complete(self) -> None:
        head = b"HTTP/1.1 %d OK\r\n" % self.parser.get_status_code()
        self.client.transport.write(head + b"".join(self.headers) + b"\r\n" + self.body)
        POOL.append(self)


class Client(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.headers: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append(name + b": " + value + b"\r\n")

    def on_message_complete(self) -> None:
        data = b"GET " + self.url + b" HTTP/1.1\r\n" + b"".join(self.headers) + b"\r\n"
        if POOL:
            POOL.pop().send(self, data)
        else:
            self.opening = asyncio.get_running_loop().create_task(self.open(data))

    async def open(self, data: bytes) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", int(sys.argv[2]))
        upstream.send(self, data)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
