"""Keep-alive connections that have each had one request answered and ask for nothing more.

Arguments: port, connections. Says `ready` when all have been answered; ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

AT_ONCE = 50
REQUEST = b"GET /v1/models/model HTTP/1.1\r\nHost: model.example\r\n\r\n"


async def main() -> None:
    port, count = map(int, sys.argv[1:])
    places = asyncio.Semaphore(AT_ONCE)
    guests = await asyncio.gather(*(_ask(port, places) for _ in range(count)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"open": sum(not reader.at_eof() for reader, _ in guests)}), flush=True)


async def _ask(port: int, places: asyncio.Semaphore) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with places:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an idle connection was answered {head!r}")
    return reader, writer


if __name__ == "__main__":
    uvloop.run(main())
