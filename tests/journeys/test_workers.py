"""An edge of several processes, as its operator and its clients see it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.activator.scalers.processes import all_gone
from tests.journeys.services import configuration, gated, revision, service, slow

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge
    from tests.journeys.services import Keys

ONE = {"container-concurrency": 1}
GET = b"GET /?id=%d HTTP/1.1\r\nHost: %b.localhost\r\n\r\n"


def by_two(*services: Keys, **changes: object) -> Keys:
    return configuration(*services, workers=2, **changes)


def sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += each.readlink().name.startswith("socket:")
        except FileNotFoundError:
            continue
    return found


async def talk(edge: Edge, name: str, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open so many connections, make a request on each, and keep them open."""
    clients = await asyncio.gather(*(edge.connect() for _ in range(count)))
    for number, (_, writer) in enumerate(clients):
        writer.write(GET % (number, name.encode()))
    for reader, _ in clients:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    return clients


async def test_one_worker_means_no_other_process(serve: Serve) -> None:
    edge = serve(configuration(service("alone")))
    assert (await edge.request("alone")).status == 200
    assert edge.daemon.workers() == []
    assert await edge.metric("activator_workers") == 1


async def test_clients_are_shared_among_the_workers(serve: Serve) -> None:
    edge = serve(by_two(service("shared")))
    idle = {pid: sockets(pid) for pid in edge.daemon.workers()}
    clients = []
    for _ in range(5):
        clients += await talk(edge, "shared", 20)
        await asyncio.sleep(0.3)  # a few beats: what one worker has is told to the other
    more = sorted(sockets(pid) - before for pid, before in idle.items())
    for _, writer in clients:
        writer.close()
    assert len(more) == 2
    assert more[0] >= 30, more


async def test_a_burst_of_clients_is_shared_evenly(serve: Serve) -> None:
    edge = serve(by_two(service("burst")))
    idle = {pid: sockets(pid) for pid in edge.daemon.workers()}
    clients = await asyncio.gather(*(edge.connect() for _ in range(200)))

    async def accepted() -> bool | None:
        return await edge.metric("activator_connections") == 200 or None

    await edge.eventually(accepted)
    more = sorted(sockets(pid) - before for pid, before in idle.items())
    for _, writer in clients:
        writer.close()
    assert more[0] >= 60, more


async def test_a_worker_at_its_cap_leaves_clients_to_the_other_one(serve: Serve) -> None:
    edge = serve(by_two(service("capped"), limits={"max-connections": 6}))
    idle = {pid: sockets(pid) for pid in edge.daemon.workers()}
    clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def accepted() -> bool | None:
        return await edge.metric("activator_connections") == len(clients) or None

    for _ in range(6):
        clients.append(await edge.connect())
        await edge.eventually(accepted)  # in one turn of its loop a worker accepts all that there are
    assert [sockets(pid) - before for pid, before in idle.items()] == [3, 3]
    for _, writer in clients:
        writer.close()


async def test_metrics_and_views_tell_of_all_workers_together(serve: Serve) -> None:
    edge = serve(by_two(service("counted")))
    clients = await talk(edge, "counted", 60)

    async def told() -> bool | None:
        counted = await edge.metric("activator_request_count", service_name="counted", response_code="200")
        assert counted <= 60
        return (counted, await edge.metric("activator_connections")) == (60, 60) or None

    await edge.eventually(told)
    assert await edge.metric("activator_hold_seconds_count", service="counted") == 60
    assert (await edge.metric("activator_workers"), await edge.metric("activator_worker_restarts_total")) == (2, 0)
    for _, writer in clients:
        writer.close()


async def test_a_reload_reaches_all_workers_and_drops_nothing(serve: Serve) -> None:
    edge = serve(by_two(service("first")))
    stream = asyncio.create_task(edge.request("first", "/?stream=2"))
    await edge.reload(by_two(service("first"), service("second"), **{"access-log": True, "request-ids": True}))
    answers = await asyncio.gather(*(edge.request("second") for _ in range(40)))
    assert Counter(answer.status for answer in answers) == {200: 40}
    await edge.until(lambda: len(edge.logs("request")) >= 40)
    lines = [line for line in edge.logs("request") if line["service"] == "second"]
    assert {line["worker"] for line in lines} == {0, 1}
    assert len({line["request_id"] for line in lines}) == 40
    assert (await stream).body.endswith(b"data: [DONE]\n\n")


async def test_a_worker_that_is_killed_is_replaced_and_told(serve: Serve) -> None:
    edge = serve(by_two(service("served", requests=ONE)))
    assert (await edge.request("served")).status == 200
    victim = edge.daemon.workers()[0]
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool | None:
        alive = (await edge.metric("activator_workers"), await edge.metric("activator_worker_restarts_total"))
        return alive == (2, 1) or None

    await edge.eventually(replaced)
    assert [line["code"] for line in edge.logs("worker ended, another one starts")] == [-signal.SIGKILL]
    answers = await asyncio.gather(*(edge.request("served") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}


async def test_workers_end_with_their_parent_and_the_address_is_free_at_once(serve: Serve) -> None:
    edge = serve(by_two(service("orphaned", slow("orphaned-1", 30))))
    held = asyncio.create_task(edge.request("orphaned"))
    await edge.held("orphaned", 1)
    edge.daemon.signal(signal.SIGKILL)
    await asyncio.to_thread(edge.daemon.ended)
    answer = await held
    assert (answer.status, answer.reason) == (503, "shutting_down")
    assert await all_gone(edge.daemon.mark, within=30)
    edge.daemon.write({**by_two(service("next")), "listen": edge.daemon.listen})
    edge.daemon.start()
    assert (await edge.request("next")).status == 200


@pytest.mark.parametrize(("drain", "comes"), [("60s", True), ("1500ms", False)], ids=["in time", "not in time"])
async def test_what_is_held_at_sigterm_is_served_if_its_replica_comes_in_time(
    serve: Serve, drain: str, comes: bool
) -> None:
    edge = serve(by_two(service("cold", gated("cold-1")), service("warm"), **{"drain-timeout": drain}))
    stream = asyncio.create_task(edge.request("warm", "/?id=stream&until=cold-1"))
    held = [asyncio.create_task(edge.request("cold", f"/?id={number}")) for number in range(8)]
    await edge.held("cold", 8)
    await edge.until(lambda: edge.stamps("warm-1"))
    edge.daemon.signal(signal.SIGTERM)
    await edge.until(lambda: edge.logs("draining"))
    if comes:
        edge.open("cold-1")
    answers = await asyncio.gather(*held)
    assert {(answer.status, answer.reason) for answer in answers} == {(200, None) if comes else (503, "shutting_down")}
    assert (await stream).body.endswith(b"data: [DONE]\n\n") == comes
    assert await asyncio.to_thread(edge.daemon.ended) == 0
    assert edge.daemon.processes() == []


async def test_a_limit_holds_over_the_workers(serve: Serve) -> None:
    limited = service("limited", requests=ONE, autoscaling={"max-scale": 1, "min-scale": 1})
    edge = serve(by_two(limited))
    await edge.ready("limited", 1)
    answers = await asyncio.gather(*(edge.request("limited", f"/?id={n}&delay=0.01") for n in range(30)))
    assert {answer.status for answer in answers} == {200}
    events = [(stamp.at, 1) for stamp in edge.stamps("limited-1")]
    events += [(stamp.at, -1) for stamp in edge.stamps("limited-1", "end")]
    running = most = 0
    for _, step in sorted(events):
        running += step
        most = max(most, running)
    assert most == 1


async def test_a_revision_goes_to_zero_only_when_no_worker_has_a_request(serve: Serve) -> None:
    tagged = [{"revision": "two-1", "percent": 100}, {"revision": "two-2", "percent": 0, "tag": "next"}]
    edge = serve(by_two(service("two", revision("two-1"), revision("two-2"), traffic=tagged)))
    for _ in range(12):  # its replicas go as soon as nothing is open
        answers = await asyncio.gather(*(edge.request("next-two.localhost", "/?delay=0.05") for _ in range(4)))
        assert {answer.status for answer in answers} == {200}
        await asyncio.sleep(0.1)
    assert any(line["revision"] == "two-2" and line["replicas"] == 0 for line in edge.logs("scale"))


async def test_an_upload_to_a_service_that_must_not_be_woken_is_answered_while_it_is_sent(serve: Serve) -> None:
    edge = serve(by_two(service("first"), service("second"), limits={"max-wakes-per-minute": 1}))
    assert (await edge.request("first")).status == 200
    reader, writer = await edge.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: second.localhost\r\nContent-Length: 1000000\r\n\r\nsome of it")
    async with asyncio.timeout(20):  # the answer is what is judged: 503, and not 408
        head = await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nConnection: close\r\n" in head
    assert b"wake_limited" in rest
    writer.close()
