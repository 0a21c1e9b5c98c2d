"""What is done to the edge as a whole: F30, F32 to F36, F46 and F47."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from aiohttp import ClientSession, TCPConnector

from activator.settings.load import load
from tests.activator.scalers.processes import all_gone
from tests.journeys.edge import Edge
from tests.ledger.fault import fault
from tests.ledger.rows import p99

if TYPE_CHECKING:
    from pathlib import Path

    from tests.journeys.services import Keys
    from tests.ledger.stage import Stage

VISIBLE_SECONDS = 0.2


@fault("F30", "the edge is killed, and started again on the same port", 4)
async def killed(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)))
    stage.terms.crashes = True
    changes = {"listen": stage.daemon.listen, "admin": stage.daemon.admin}
    async with stage.load():
        await stage.wait(0.5)
        os.kill(stage.daemon.pid, signal.SIGKILL)
        await asyncio.to_thread(stage.daemon.ended)
        stage.expect(await all_gone(stage.daemon.mark, within=2), "a process outlived the edge")
        stage.daemon.write(stage.settings(stage.model("warm", (2, 2)), **changes))
        await asyncio.to_thread(stage.daemon.start)
        restarted = time.monotonic()
        await stage.wait(0.5)
    later = [row for row in stage.asked if row.sent > restarted]
    stage.expect(later and all(row.good for row in later), "requests failed after the restart")
    for outcome in ("reset", "refused", "truncated"):
        stage.allow(outcome)
    stage.waive("I7")


@fault("F31-alone", "SIGTERM under load, with held requests, and a start on the same port", 8)
async def restarted(stage: Stage) -> None:
    """With one process, new connections are refused meanwhile; what was accepted is answered."""
    cold = stage.model("cold", (0, 1), {"START_SECONDS": "0.5"})
    await stage.start(stage.model("warm", (2, 2)), cold)
    changes = {"listen": stage.daemon.listen, "admin": stage.daemon.admin}
    stage.daemon.write(stage.settings(stage.model("warm", (2, 2)), cold, **changes))
    rounds = max(1, round(stage.seconds / 4))
    async with stage.load(rate=80):
        for _ in range(rounds):
            await stage.wait(0.5 / rounds)
            held = asyncio.create_task(stage.crowd(10, "cold", body=b"held"))
            await asyncio.sleep(0.2)
            os.kill(stage.daemon.pid, signal.SIGTERM)
            stage.expect(await asyncio.to_thread(stage.daemon.ended) == 0, "it did not end well")
            stage.expect(all(row.good for row in await held), "a held request was lost")
            await asyncio.to_thread(stage.daemon.start)
            await stage.wait(0.5 / rounds)
    stage.allow("refused")
    stage.waive("I7")  # it is another process than at the beginning


@fault("F32", "SIGTERM with 50 requests held on a service that does not start in time", 1)
async def ended_with_held(stage: Stage) -> None:
    slow = stage.model("slow", (0, 1), {"START_SECONDS": "30"})
    await stage.start(stage.model("warm", (1, 1)), slow, **{"drain-timeout": "1s"})
    held = [asyncio.create_task(stage.ask("slow", body=b"held")) for _ in range(50)]
    await stage.edge.held("slow", 50)
    at = time.monotonic()
    os.kill(stage.daemon.pid, signal.SIGTERM)
    rows = await asyncio.gather(*held)
    took = max(row.end for row in rows) - at
    told = [row for row in rows if row.status == 503 and row.retry_after is not None and row.closing]
    stage.expect(len(told) == 50, f"{len(told)} of 50 got 503 with Retry-After and Connection: close")
    stage.expect(0.5 <= took <= 2.5, f"they were told after {took:.1f} s, not after the drain budget of 1 s")
    stage.expect(await asyncio.to_thread(stage.daemon.ended) == 0, "it did not end well")
    stage.allow("503", 50)


@fault("F33", "SIGTERM with streams and slow downloads open", 3)
async def ended_with_streams(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)), **{"drain-timeout": "3s"})
    short = [asyncio.create_task(stage.ask("warm", "/?stream=2")) for _ in range(10)]
    endless = [asyncio.create_task(stage.ask("warm", "/?stream=60")) for _ in range(5)]
    downloads = [asyncio.create_task(stage.ask("warm", "/?delay=0.5&size=20000000")) for _ in range(3)]
    await asyncio.sleep(0.3)
    at = time.monotonic()
    os.kill(stage.daemon.pid, signal.SIGTERM)
    rows = await asyncio.gather(*short, *downloads)
    stage.expect(all(row.good for row in rows), "what had time to end was cut")
    cut = await asyncio.gather(*endless)
    stage.expect(all(2.5 <= row.end - at <= 4.5 for row in cut), "streams were not cut at the end of the drain budget")
    stage.expect(await asyncio.to_thread(stage.daemon.ended) == 0, "it did not end well")
    stage.allow("truncated", 5)


@fault("F34", "signals: HUP, PIPE, and TERM twice; INT", 4)
async def signals(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)))
    async with stage.load():
        for number in (signal.SIGHUP, signal.SIGPIPE) * 4:
            os.kill(stage.daemon.pid, number)
            await stage.wait(0.1)
    stream = asyncio.create_task(stage.ask("warm", "/?stream=2"))
    await asyncio.sleep(0.5)
    for _ in range(2):
        os.kill(stage.daemon.pid, signal.SIGTERM)
        await asyncio.sleep(0.2)
    stage.expect((await stream).good, "the second SIGTERM cut what was draining")
    stage.expect(await asyncio.to_thread(stage.daemon.ended) == 0, "it did not end well by two SIGTERM")
    await asyncio.to_thread(stage.daemon.start)
    os.kill(stage.daemon.pid, signal.SIGINT)
    stage.expect(await asyncio.to_thread(stage.daemon.ended) == 0, "it did not end well by SIGINT")


def split(stage: Stage, first: int, routes: int) -> list[Keys]:
    """Return a service with two revisions, of which the first gets so many percent, and so many other services."""
    revisions = [stage.revision("warm-1"), stage.revision("warm-2")]
    shares = [{"revision": "warm-1", "percent": first}, {"revision": "warm-2", "percent": 100 - first, "tag": "two"}]
    warm = stage.model("warm", (0, 2), revisions=revisions, traffic=shares)
    return [warm, *(stage.model(f"route-{n}") for n in range(routes))]


async def known(stage: Stage, host: str) -> None:
    """Return once the edge knows `host`, by asking for a path that its service does not have."""
    reader, writer = await stage.edge.connect()
    answer = b""
    while b"unknown_path" not in answer:
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        await asyncio.sleep(0.005)
    writer.close()


def slowness(file: Path) -> float:
    """Return how much longer than its CPU time it takes to load a file on this machine now."""
    wall, cpu = time.monotonic(), time.thread_time()
    load(file)
    return (time.monotonic() - wall) / (time.thread_time() - cpu)


@fault("F35", "the configuration is reloaded ten times a second: weights, 200 routes", 10)
async def reloads(stage: Stage) -> None:
    await stage.start(*split(stage, 50, 200))
    async with stage.load(rate=40):
        until, written = time.monotonic() + stage.seconds, 0
        while time.monotonic() < until:
            written += 1
            services = split(stage, stage.random.choice((0, 10, 50, 100)), stage.random.choice((150, 200)))
            stage.daemon.write(stage.settings(*services))
            os.kill(stage.daemon.pid, signal.SIGHUP)
            await asyncio.sleep(0.1)
    fresh = stage.model("fresh", paths=["/only"])
    stage.daemon.write(stage.settings(*split(stage, 100, 200), fresh))
    begun = time.monotonic()
    os.kill(stage.daemon.pid, signal.SIGHUP)
    await known(stage, "fresh.localhost")
    seconds, slower = time.monotonic() - begun, await asyncio.to_thread(slowness, stage.daemon.file)
    stage.terms.facts["seconds until the last of them was in force"] = round(seconds, 3)
    stage.terms.facts["times that work takes longer here, for others' work"] = round(slower, 1)
    stage.expect(seconds < VISIBLE_SECONDS * slower, f"a new split was visible after {seconds:.2f} s")
    stage.terms.facts["reloads"] = f"{len(stage.daemon.logs('configuration taken over'))} of {written} written"
    rows = await stage.crowd(50, "warm")
    served = stage.ledgers().served_of()
    astray = [row.id for row in rows if served[row.id][-1].revision != "warm-1"]
    stage.expect(not astray, f"a revision with 0 % got {astray}")


@fault("F36", "the configuration file is spoilt", 3)
async def spoilt(stage: Stage) -> None:
    await stage.start(stage.model("warm", (1, 1)))
    good = stage.daemon.file.read_text()
    async with stage.load():
        for text in ("", "{", "services: 7", "listen: [", "\0", "services: []\nservices: []", good[:-40]):
            stage.daemon.write_text(text)
            os.kill(stage.daemon.pid, signal.SIGHUP)
            await stage.wait(0.15)
    stage.expect(stage.daemon.logs("configuration refused"), "a spoilt file was not reported")
    stage.daemon.write_text(good)


@fault("F46", "nobody reads the log's pipe", 6)
async def deaf_log(stage: Stage) -> None:
    script = 'mkfifo log; cat log & echo $! >reader; exec "$@" 2>log'
    stage.daemon.command = ("sh", "-c", script, "sh", *stage.daemon.command)
    await stage.start(stage.model("warm", (2, 2)), **{"access-log": True})
    reader = int((stage.daemon.home / "reader").read_text())
    async with stage.load(rate=30):
        os.kill(reader, signal.SIGSTOP)
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until:
            await stage.crowd(20, "warm")  # 64 KiB of pipe are full after some 300 lines
            await asyncio.sleep(0.1)
        os.kill(reader, signal.SIGCONT)


@fault("F47", "100 scrapes at once, and scrapers that hang", 5)
async def scrapes(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)))
    host, _, port = stage.daemon.admin.rpartition(":")
    hung = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    for _, writer in hung[:10]:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)  # and never read
    async with stage.load():
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until:
            async with ClientSession(connector=TCPConnector(limit=0, force_close=True)) as session:
                await asyncio.gather(*(Edge(stage.daemon, session).admin("/metrics") for _ in range(100)))
            await asyncio.sleep(1)
    for _, writer in hung:
        writer.transport.abort()
    stage.terms.facts["p99, s"] = p99(stage.asked)
    stage.expect(p99(stage.asked) < 1, f"scrapes held up requests: p99 {p99(stage.asked)} s")
