"""A model that does not listen before it may: before the file named in GATE exists. Each answer tells which number the
request had when it came.
"""

from __future__ import annotations

import asyncio
import os
import time
from itertools import count
from pathlib import Path
from typing import cast

import httptools
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
LOOK_SECONDS = 0.05
NUMBERS = count()


class Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        told = b'{"number": %d}' % next(NUMBERS)
        self.transport.write(HEAD % (len(told), told))


async def main() -> None:
    host, port = os.environ["HOST"], int(os.environ["PORT"])
    server = await asyncio.get_running_loop().create_server(Connection, host, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    while not Path(os.environ["GATE"]).exists():
        time.sleep(LOOK_SECONDS)
    uvloop.run(main())
