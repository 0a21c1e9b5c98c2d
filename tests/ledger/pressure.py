"""Faults by too much, too slow, or malformed traffic, or too little to serve it with: F37 to F39, F41 to F45."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.ledger.client import Wire
from tests.ledger.fault import fault
from tests.ledger.rows import Outcome, p99, resident
from tests.router.wire.test_vectors import VECTORS, accepted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.ledger.stage import Stage

HOG = "import time\nuntil = time.monotonic() + 60\nwhile time.monotonic() < until: pass"  # ends by itself, too
ONE_AT_A_TIME = {"container-concurrency": 1, "queue-depth": 20}


@fault("F37", "descriptors run out: 256, for 600 clients", 4)
async def descriptors(stage: Stage) -> None:
    stage.daemon.command = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *stage.daemon.command)
    await stage.start(stage.model("warm", (2, 2)))
    said = len(stage.daemon.said)
    await stage.crowd(600, "warm", "/?delay=1", patience=30)
    stage.terms.facts["bytes of log"] = len(stage.daemon.said) - said
    stage.expect(len(stage.daemon.said) - said < 1 << 20, "the log grew by more than 1 MB")
    await asyncio.sleep(2)
    after = await stage.crowd(20, "warm")
    stage.expect(all(row.good for row in after), "it has not recovered after 2 s")
    for kind in ("503", "refused", "reset"):  # a reset is a refusal that the request has crossed
        stage.allow(kind)


@fault("F38", "150 uploads of 6 MB to a service at zero, twice", 6)
async def memory(stage: Stage) -> None:
    """What is left by a second round is lost; the first fills what the allocator keeps."""
    services = [stage.model(name, (0, 2), {"START_SECONDS": "2"}) for name in ("first", "second")]
    await stage.start(stage.model("warm", (1, 1)), *services)
    before = most = resident(stage.daemon.pid)
    upload = bytes(6 << 20)
    for service in ("first", "second"):
        uploads = [asyncio.create_task(stage.ask(service, body=upload, patience=60)) for _ in range(150)]
        while not all(task.done() for task in uploads):
            most = max(most, resident(stage.daemon.pid))
            await asyncio.sleep(0.05)
        if service == "first":
            await stage.rebase()
    stage.terms.facts["resident MiB"] = f"{before >> 20}, at most {most >> 20}"
    stage.expect(most - before < 150 << 20, f"resident memory grew by {(most - before) >> 20} MiB")
    stage.allow("503")
    stage.allow("413")


@fault("F39", "four programs take both processors", 8, quick=2)
async def starved(stage: Stage) -> None:
    """The models and the clients get as little time as the edge."""
    await stage.start(stage.model("warm", (2, 2)), stage.model("cold", (0, 1)))
    async with stage.load(rate=20), hogs(4):
        held = [asyncio.create_task(stage.ask("cold", body=b"held")) for _ in range(10)]
        await stage.wait()
        await asyncio.gather(*held)
    stage.terms.facts["p99, s"] = p99(stage.asked)
    stage.terms.facts["event loop stalls"] = await stage.edge.metric("activator_event_loop_stalls_total")


@asynccontextmanager
async def hogs(count: int) -> AsyncIterator[None]:
    """Have so many programs compute all the time."""
    running = [await asyncio.create_subprocess_exec(sys.executable, "-c", HOG) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            await each.wait()


@asynccontextmanager
async def slow_clients(stage: Stage, heads: int, readers: int) -> AsyncIterator[None]:
    """Hold connections that send their head a byte at a time, and ones that do not read their answer."""
    wires = [await asyncio.open_connection(*stage.address) for _ in range(heads)]
    tasks = [asyncio.create_task(_do_not_read(stage)) for _ in range(readers)]
    tasks.append(asyncio.create_task(_drip([writer for _, writer in wires])))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in wires:
            writer.transport.abort()


async def _do_not_read(stage: Stage) -> None:
    await stage.ask("warm", "/?size=2000000", patience=60, on_open=Wire.stop_reading)


async def _drip(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.write(b"GET / HTTP/1.1\r\nHost: warm.localhost\r\nX-Slow: ")
    while True:
        for writer in writers:
            if not writer.transport.is_closing():
                writer.write(b"a")
            await asyncio.sleep(1 / len(writers))


@fault("F41", "500 clients that send slowly, 100 that do not read", 12)
async def slowloris(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)))
    async with stage.load(rate=40):
        await stage.wait(0.3)
    usual = p99(stage.asked)
    before = resident(stage.daemon.pid)
    async with stage.load(rate=40), slow_clients(stage, 500, 100):
        await stage.wait(0.2)
        middle, begun = resident(stage.daemon.pid), len(stage.asked)
        await stage.wait(0.8)
        last, ended = resident(stage.daemon.pid), len(stage.asked)
    beside = p99(stage.asked[begun:ended])
    stage.terms.facts["p99, s"] = f"{usual} usually, {beside} beside them"
    stage.terms.facts["resident MiB"] = f"{before >> 20}, {middle >> 20}, {last >> 20}"
    stage.expect(beside < 2 * usual + 0.05, f"p99 went from {usual} to {beside} s")
    stage.expect(last - middle < 10 << 20, "memory is not flat")
    stage.allow("left", 100)
    answered = (await stage.edge.admin("/metrics")).count('activator_refused_total{reason="request_timeout"}')
    stage.expect(answered, "nobody got 408")


@fault("F42", "half of those that are held leave, by FIN or reset", 3, quick=1)
async def leaving(stage: Stage) -> None:
    gate = stage.daemon.home / "gate"
    await stage.start(stage.model("warm", (1, 1)), stage.model("cold", (0, 1), {"GATE": str(gate)}))
    async with stage.load(rate=30):
        tasks = [asyncio.create_task(stage.ask("cold", body=b"held")) for _ in range(60)]
        await stage.edge.held("cold", 60)
        gone = stage.random.sample(range(60), 30)
        for number in gone:
            tasks[number].cancel()
        while (held := (await stage.sample()).held) > 30:  # noqa: ASYNC110 - the edge sends no event
            await asyncio.sleep(0.1)
        stage.expect(held == 30, f"{held} are counted as held, and never 30, after 30 of 60 have left")
        gate.touch()
        await asyncio.gather(*tasks, return_exceptions=True)
    served = stage.ledgers().served_of()
    sent = [row.id for row in stage.asked if row.outcome is Outcome.LEFT and row.id in served]
    stage.expect(not sent, f"requests of clients that had left were sent: {sent}")
    stage.allow("left", 30)


async def closed_loop(stage: Stage, service: str, clients: int, seconds: float) -> float:
    """Let clients ask again as soon as they have an answer, whichever it is; return whole 2xx per second."""
    until, first = time.monotonic() + seconds, len(stage.asked)

    async def insist() -> None:
        while time.monotonic() < until:
            await stage.ask(service, "/?delay=0.1", b"x")

    await asyncio.gather(*(insist() for _ in range(clients)))
    return sum(row.good for row in stage.asked[first:]) / seconds


@fault("F43", "a retry storm: whoever gets 503 asks again at once", 10)
async def storm(stage: Stage) -> None:
    await stage.start(stage.model("busy", (2, 2), requests=ONE_AT_A_TIME))
    peak = await closed_loop(stage, "busy", 4, stage.seconds * 0.4)
    goodput = await closed_loop(stage, "busy", 40, stage.seconds * 0.6)
    stage.terms.facts["goodput per second"] = f"{goodput:.1f}, peak {peak:.1f}"
    stage.expect(goodput > 0.9 * peak, f"goodput fell from {peak:.1f} to {goodput:.1f} per second")
    stage.allow("503")


@fault("F44", "three times the load that is possible; 100 at once of 300 ms each", 10)
async def overload(stage: Stage) -> None:
    busy = stage.model("busy", (4, 4), requests=ONE_AT_A_TIME)
    burst = stage.model("burst", (0, 10), requests={"container-concurrency": 1})
    await stage.start(busy, burst)
    asking, begun, offered = [], time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < stage.seconds * 0.6:
        while offered < elapsed * 120:  # four replicas can take 40 a second
            offered += 1
            asking.append(asyncio.create_task(stage.ask("busy", "/?delay=0.1", b"x")))
        await asyncio.sleep(0.01)
    rows = await asyncio.gather(*asking)
    goodput = sum(row.good for row in rows) / (max(row.end for row in rows) - begun)
    told = sorted(row.end - row.sent for row in rows if row.status == 503)
    stage.terms.facts["goodput per second"] = f"{goodput:.1f}, at most 40"
    stage.terms.facts["503 after, s"] = f"{told[len(told) // 2]:.3f}, p95 {told[len(told) * 95 // 100]:.3f}"
    stage.expect(goodput > 0.9 * 40, f"goodput was {goodput:.1f}, not 40 per second")
    stage.expect(told[len(told) // 2] < 0.02, "half of the refusals took longer than 20 ms")
    stage.allow("503")
    rows = await stage.crowd(100, "burst", "/?delay=0.3", body=b"x")
    stage.expect(all(row.good for row in rows), "not all of the burst were answered")
    stage.expect(not any(row.status == 503 and row.end - row.sent > 1 for row in rows), "refused late")


def malformed(stage: Stage) -> bytes:
    """Return a vector, or a mutation of one, for the warm service; its first request has the id that it may have."""
    data: bytes = stage.random.choice(VECTORS)["request"].encode("latin-1").replace(b"a.example", b"warm.localhost")
    for _ in range(stage.random.choice((0, 0, 1, 2, 3))):
        at = stage.random.randrange(len(data))
        change = stage.random.choice((b"", b"\0", b"\r", b"\n", b" ", b":", b",", stage.random.randbytes(1), data[at:]))
        data = data[:at] + change + data[at + stage.random.randint(0, 2) :]
    return data


async def send_malformed(stage: Stage, data: bytes) -> bytes:
    """Send bytes, take what comes, and return it."""
    reader, writer = await asyncio.open_connection(*stage.address)
    writer.write(data)
    answer = b""
    try:
        async with asyncio.timeout(0.5):
            while piece := await reader.read(65536):
                answer += piece
    except (TimeoutError, OSError):
        pass
    writer.transport.abort()
    return answer


async def smuggle(stage: Stage) -> None:
    """Send every vector that is refused with a request hidden behind it. Neither may reach the model."""
    hidden = b"GET /hidden HTTP/1.1\r\nHost: warm.localhost\r\nX-Req-Id: hidden\r\n\r\n"
    refused = [vector["request"].encode("latin-1") for vector in VECTORS if not accepted(vector)]
    for data in refused:
        await send_malformed(stage, data.replace(b"a.example", b"warm.localhost") + hidden)
    rows = [row for row in stage.ledgers().served if row.id in {"hidden", "-"}]
    stage.terms.facts["refused vectors"] = len(refused)
    stage.expect(not rows, f"{len(rows)} refused or hidden requests reached the model")


@fault("F45", "malformed requests: all vectors and mutations of them, beside normal load", 10, quick=2)
async def hostile(stage: Stage) -> None:
    await stage.start(stage.model("warm", (2, 2)))
    statuses: Counter[str] = Counter()
    sending: set[asyncio.Task[bytes]] = set()
    async with stage.load(rate=40):
        await smuggle(stage)
        stage.terms.anonymous = True  # a mutation may be well-formed
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until:
            sending.add(asyncio.create_task(send_malformed(stage, malformed(stage))))
            await asyncio.sleep(0.02)
        statuses.update([answer[9:12].decode("latin-1") for answer in await asyncio.gather(*sending)])
    stage.terms.facts["malformed"] = dict(sorted(statuses.items()))
    stage.expect(statuses["400"] > len(sending) / 4, "few were refused")
    stage.expect(not statuses["500"] and not statuses["502"], "something malformed came through")
