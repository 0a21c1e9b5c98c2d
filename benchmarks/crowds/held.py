"""Requests of 1 KiB that are asked one after the other, each on a connection of its own, of a model that sleeps.

Arguments: port, requests. Says `asked` when all have been sent; tells, when all are answered, how far the order in
which the model got them is from the order in which they were asked.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

BODY = 1024
REQUEST = b"POST /v1/models/model HTTP/1.1\r\nHost: model.example\r\nContent-Length: %d\r\n\r\n%s" % (BODY, b"x" * BODY)
PATIENCE = 120.0


async def main() -> None:
    port, count = map(int, sys.argv[1:])
    guests = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        guests.append((reader, writer))
    print("asked", flush=True)
    answers: list[int] = []
    statuses: dict[str, int] = {}
    async with asyncio.timeout(PATIENCE):
        for place, (reader, writer) in enumerate(guests):
            head = await reader.readuntil(b"\r\n\r\n")
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
            if status == "200":
                answers.append(abs(json.loads(await reader.readuntil(b"}"))["number"] - place))
            if not place:
                begun = time.monotonic()
            writer.close()
    seconds = round(time.monotonic() - begun, 2)
    told = {"answered": len(answers), "statuses": statuses, "out_of_place": max(answers, default=0), "seconds": seconds}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
