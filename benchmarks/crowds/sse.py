"""Readers of token streams, which measure how old each token is when it comes.

Arguments: port, streams. Says `all` when the first token of every stream is here; ends with the streams.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from statistics import quantiles
from typing import cast

import uvloop

AT_ONCE = 50
REQUEST = b"GET /v1/stream HTTP/1.1\r\nHost: model.example\r\nAccept: text/event-stream\r\n\r\n"
LAST = b"\r\n0\r\n\r\n"
SENT = re.compile(rb'"sent": ([0-9]{19})')
APART_NS = 20_000_000
STAMP_BYTES = 40


class Crowd:
    """All readers. `merged` counts reads that brought two tokens at once which were sent more than 20 ms apart."""

    def __init__(self, streams: int) -> None:
        self.delays: list[int] = []
        self.merged = 0
        self.silent = self.open = streams
        self.measured_from = 0
        self.answered = asyncio.Semaphore(AT_ONCE)
        self.all_speak = asyncio.Event()
        self.all_ended = asyncio.Event()

    def spoke(self) -> None:
        """Take note of a stream's first token."""
        self.silent -= 1
        if not self.silent:
            self.measured_from = time.monotonic_ns()
            self.all_speak.set()

    def ended(self) -> None:
        """Take note of a stream's end."""
        self.open -= 1
        if not self.open:
            self.all_ended.set()


class Reader(asyncio.Protocol):
    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.rest = b""
        self.heard = self.spoken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        now, crowd = time.monotonic_ns(), self.crowd
        if not self.heard:
            self.heard = True
            crowd.answered.release()
        if (self.rest + data).endswith(LAST):
            self.transport.close()
        found = list(SENT.finditer(self.rest + data))
        self.rest = (self.rest + data)[found[-1].end() if found else 0 :][-STAMP_BYTES:]
        stamps = [int(each[1]) for each in found]
        if not stamps:
            return
        if not self.spoken:
            self.spoken = True
            crowd.spoke()
        if crowd.measured_from and stamps[0] > crowd.measured_from:
            crowd.merged += stamps[-1] - stamps[0] > APART_NS
            crowd.delays += [now - stamp for stamp in stamps]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.crowd.ended()


async def main() -> None:
    port, streams = map(int, sys.argv[1:])
    crowd = Crowd(streams)
    loop = asyncio.get_running_loop()
    for _ in range(streams):
        await crowd.answered.acquire()
        await loop.create_connection(lambda: Reader(crowd), "127.0.0.1", port)
    await crowd.all_speak.wait()
    print("all", flush=True)
    await crowd.all_ended.wait()
    percentiles = quantiles(crowd.delays, n=1000, method="inclusive")
    milliseconds = {"p50_ms": percentiles[499], "p99_ms": percentiles[989], "max_ms": max(crowd.delays)}
    told = {name: round(value / 1e6, 3) for name, value in milliseconds.items()}
    print(json.dumps(told | {"events": len(crowd.delays), "merged": crowd.merged}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
