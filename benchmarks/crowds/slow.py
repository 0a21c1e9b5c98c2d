"""Hostile clients: some send a head a byte at a time, some ask for a large answer and hardly read it; whoever is cut
off comes again. They are to disturb the proxy, not the measurement, which shares their core: it goes first there.

Arguments: port, slow senders, slow readers. Says `all` when all have come once; ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter

import uvloop

from benchmarks.upstream import LARGE_PATH

AT_ONCE = 100
BYTE_SECONDS = 2.0
READ_SECONDS = 1.0
READ_BYTES = 1024
AGAIN_SECONDS = 0.5
HEAD = b"GET / HTTP/1.1\r\nHost: model.example\r\nX-Slow: "
LARGE = b"GET %s HTTP/1.1\r\nHost: model.example\r\n\r\n" % LARGE_PATH.encode()


class Crowd:
    """All of them; `seen` counts connections and how they ended."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: Counter[str] = Counter()
        self.places = asyncio.Semaphore(AT_ONCE)

    async def come(self, kind: str, arrived: asyncio.Event) -> None:
        """Come again and again."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                async with self.places:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=READ_BYTES)
                self.seen[f"{kind}s came"] += 1
                arrived.set()
                try:
                    await (send_slowly if kind == "sender" else read_slowly)(reader, writer)
                finally:
                    self.seen[f"{kind}s cut"] += 1
                    writer.close()
            await asyncio.sleep(AGAIN_SECONDS)


async def send_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a head without end, until the server has enough."""
    writer.write(HEAD)
    while not reader.at_eof():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BYTE_SECONDS):
                await reader.read(READ_BYTES)
        writer.write(b"x")
        await writer.drain()


async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for much and take little of it, until the server has enough."""
    writer.write(LARGE)
    taken = b"some"
    while taken:
        await asyncio.sleep(READ_SECONDS)
        taken = await reader.read(READ_BYTES)


async def main() -> None:
    port, senders, readers = map(int, sys.argv[1:])
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    crowd = Crowd(port)
    arrived = [asyncio.Event() for _ in range(senders + readers)]
    tasks = [
        asyncio.create_task(crowd.come("sender" if number < senders else "reader", event))
        for number, event in enumerate(arrived)
    ]
    await asyncio.gather(*(event.wait() for event in arrived))
    print("all", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(crowd.seen), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main())
