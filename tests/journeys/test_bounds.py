"""Crowds at the door of a real edge: it keeps its descriptors, its memory, its GPUs and its temper."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.journeys.services import by_tag_only, configuration, gated, revision, service

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge

CROWD = 400
UPLOADS = 1000
MiB = 1 << 20
GET = b"GET /?delay=1 HTTP/1.1\r\nHost: crowded.localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: asleep.localhost\r\nContent-Length: %d\r\n\r\n" % MiB


async def test_more_clients_than_descriptors_are_told_and_the_edge_recovers(serve: Serve) -> None:
    edge = serve(configuration(service("crowded", requests={"queue-depth": 10_000})))
    resource.prlimit(edge.daemon.pid, resource.RLIMIT_NOFILE, (256, 256))
    await edge.reload(edge.daemon.config)
    logged = len(edge.daemon.said)
    outcomes = Counter(await asyncio.gather(*(_ask(edge) for _ in range(CROWD))))
    assert set(outcomes) <= {b"200", b"503", b"reset"}, outcomes
    assert outcomes[b"200"] >= 90
    assert outcomes[b"503"] >= 200
    assert outcomes[b"reset"] <= 100
    assert await edge.metric("activator_refused_total", reason="too_many_connections") >= 200
    assert await edge.metric("activator_connections") <= 96
    assert len(edge.daemon.said) - logged < 10_000
    assert (await edge.request("crowded")).status == 200


async def _ask(edge: Edge) -> bytes:
    """Return the status of one answer."""
    try:
        reader, writer = await edge.connect()
        writer.write(GET)
        async with asyncio.timeout(60):
            line = await reader.readline()
    except ConnectionError:
        return b"reset"
    writer.close()
    return line[9:12] or b"reset"


async def test_a_thousand_uploads_to_a_sleeping_service_take_little_memory(serve: Serve) -> None:
    limits = {"max-buffered-bytes": "16MiB"}
    asleep = service("asleep", gated("asleep-1"), requests={"hold-timeout": "2m"})
    edge = serve(configuration(asleep, limits=limits))
    before = _resident(edge)
    uploads = [asyncio.create_task(_upload(edge)) for _ in range(UPLOADS)]
    await asyncio.sleep(2)
    assert _resident(edge) - before < 100 * MiB
    edge.open("asleep-1")
    outcomes = Counter(await asyncio.gather(*uploads))
    assert set(outcomes) <= {b"200", b"503", b"cut"}, outcomes
    assert outcomes[b"200"] >= 20
    refused = await edge.metric("activator_ended_total", service="asleep", reason="buffer_full")
    assert refused == UPLOADS - outcomes[b"200"]


async def _upload(edge: Edge) -> bytes:
    """Return the status of the answer to an upload; `cut` when it was still sending a while after the answer."""
    reader, writer = await edge.connect()
    writer.write(POST)
    sending = asyncio.create_task(_send(writer))
    line = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(120):
            line = await reader.readline()
    await sending
    writer.close()
    return line[9:12] or b"cut"


async def _send(writer: asyncio.StreamWriter) -> None:
    try:
        for _ in range(16):
            writer.write(b"x" * (MiB // 16))
            await writer.drain()
    except ConnectionError:
        return


def _resident(edge: Edge) -> int:
    """Return the edge's resident memory in bytes."""
    return int(Path(f"/proc/{edge.daemon.pid}/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_service_that_is_woken_too_often_stays_asleep(edge: Edge) -> None:
    sleepy = by_tag_only("sleepy", first=revision("sleepy-1"), second=revision("sleepy-2"))
    await edge.deploy({**sleepy, "requests": {"max-wakes-per-minute": 1}})
    assert (await edge.request("next-sleepy", "/?id=1")).status == 200
    await edge.ready("sleepy", 0, revision=1)
    refused = await edge.request("next-sleepy", "/?id=2")
    assert (refused.status, refused.reason) == (503, "wake_limited")
    assert 40 <= int(refused.headers["Retry-After"]) <= 66
    await asyncio.sleep(1.2)
    assert (await edge.look("sleepy", 1))["replicas"] == []
    assert len(edge.stamps("sleepy-2", "start")) == 1
