"""A model that costs next to nothing: reads a request to its end, then answers.

It takes the uploads (nginx would answer before it has read them) and everything else where there is no nginx.
Arguments: port.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

JSON = b'{"predictions": [{"label": "positive", "score": 0.98}]}'
LARGE_PATH = "/large"
LARGE_BYTES = 10 << 20
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
_SMALL = _HEAD % (b"application/json", len(JSON)) + JSON
_LARGE = _HEAD % (b"application/octet-stream", LARGE_BYTES) + bytes(LARGE_BYTES)


class Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.answer = _LARGE if url == LARGE_PATH.encode() else _SMALL

    def on_message_complete(self) -> None:
        self.transport.write(self.answer)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
