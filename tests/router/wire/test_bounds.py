"""What one client, or a crowd of them, may take of an edge."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest

from router.connection import PRESSED_IDLE_SECONDS
from router.http1 import SLICE
from router.listener import LOOK_SECONDS
from router.ports import Replicas
from router.sockets import acknowledged
from router.table import OnDisconnect
from router.watch import BODY_GRACE_SECONDS

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge
    from tests.router.wire.talk import Talk

GET = "GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n"
LARGE = 8 << 20
STREAM = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30)
needs_tcp_info = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")


async def test_one_connection_too_many_is_told_so_and_closed(edge: Edge) -> None:
    edge.bound(connections=2)
    for number in range(2):
        await edge.client(GET.format(number))
    await edge.until(lambda: edge.held == 2)
    late = await edge.client(GET.format("late"))
    answer = await late.response()
    assert (answer.status, answer.get("Connection")) == (503, "close")
    assert 5 <= int(answer.get("Retry-After") or 0) <= 10
    assert json.loads(answer.body)["reason"] == answer.get("Activator-Reason") == "too_many_connections"
    assert await late.ended()
    assert [refusal.reason for refusal in edge.refusals] == ["too_many_connections"]
    assert (len(edge.listener.connections), edge.held) == (2, 2)


async def test_one_too_many_of_a_source_is_told_so_and_closed(edge: Edge) -> None:
    edge.bound(connections_per_source=1)
    first = await edge.client(GET.format(1))
    await edge.until(lambda: edge.held == 1)
    late = await edge.client(GET.format(2))
    answer = await late.response()
    assert (answer.status, answer.get("Activator-Reason")) == (429, "too_many_connections_from_source")
    assert await late.ended()
    first.leave()
    await edge.settle()
    await edge.until(lambda: not edge.listener.connections)
    await edge.serving()
    assert (await (await edge.client(GET.format(3))).response()).status == 200


async def test_an_idle_connection_makes_room_for_a_new_one(edge: Edge) -> None:
    edge.bound(connections=1)
    await edge.serving()
    first = await edge.client(GET.format(1))
    await first.response()
    edge.clock.ahead += 1
    second = await edge.client(GET.format(2))
    assert (await second.response()).status == 200
    assert await first.ended()


async def test_idle_connections_are_not_kept_for_long_when_most_places_are_taken(edge: Edge) -> None:
    edge.bound(connections=4)
    await edge.serving()
    clients = [await edge.client(GET.format(number)) for number in range(4)]
    for client in clients:
        await client.response()
    edge.later(PRESSED_IDLE_SECONDS + 0.1)
    for client in clients[:1]:
        assert await client.ended()


async def test_those_who_do_not_listen_do_not_stay_either(edge: Edge) -> None:
    edge.bound(connections=1)
    await edge.client(GET.format(1))
    await edge.until(lambda: edge.held == 1)
    late = [await edge.client(POST.format(10)) for _ in range(50)]
    await edge.until(lambda: len(edge.refusals) == 50)
    edge.later(1.0)
    for client in late:
        assert await client.until(b"\r\n\r\n") != b""
        while not await client.ended():
            pass


async def test_a_body_that_comes_too_slowly_is_refused(edge: Edge) -> None:
    client = await edge.client(POST.format(10_000), b"x")
    await edge.until(lambda: edge.open_requests == 1)
    edge.later(0)
    for _ in range(4):
        await client.send(b"x" * 500)
        await client.quiet(0.005)
        edge.later(1.0)
    assert edge.open_requests == 1
    edge.later(BODY_GRACE_SECONDS)
    answer = await client.response()
    assert (answer.status, answer.get("Activator-Reason"), answer.get("Connection")) == (
        408,
        "request_timeout",
        "close",
    )
    assert await client.ended()


async def test_a_body_that_is_on_its_way_to_a_replica_may_not_dawdle_either(edge: Edge) -> None:
    replica = await edge.serving(waits_for_all)
    client = await edge.client(POST.format(LARGE), b"x" * SLICE * 2)
    await edge.until(lambda: len(replica.heard) > SLICE)
    edge.later(0)
    edge.later(BODY_GRACE_SECONDS + 0.1)
    answer = await client.response()
    assert (answer.status, answer.get("X-Should-Retry")) == (408, "false")
    await edge.settle()


async def test_one_that_the_edge_does_not_read_has_all_the_time(edge: Edge) -> None:
    client = await edge.client(POST.format(LARGE))
    client.writer.write(b"x" * LARGE)
    await edge.until(lambda: edge.held == 1)
    for _ in range(10):
        edge.later(5.0)
    assert edge.held == 1
    await edge.serving()
    assert (await client.response()).status == 200


async def test_without_a_least_rate_a_body_may_take_for_ever(edge: Edge) -> None:
    edge.bound(body_rate=0)
    client = await edge.client(POST.format(2), b"x")
    await edge.until(lambda: edge.open_requests == 1)
    for _ in range(10):
        edge.later(20.0)
    await edge.serving()
    await client.send(b"x")
    assert (await client.response()).status == 200


async def waits_for_all(edge: Talk) -> None:
    """Hear everything and say nothing."""
    while await edge.hear():
        pass


async def streams(edge: Talk) -> None:
    """Answer with more than anyone takes."""
    await edge.request()
    await edge.send(STREAM)
    while True:
        await edge.send(b"x" * 100_000)


async def stalled(edge: Edge) -> Talk:
    """Return a client that takes nothing of a large answer, once the edge has noticed that."""
    await edge.serving(streams)
    client = await edge.client(GET.format(1))
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await edge.until(lambda: any(connection._clogged for connection in edge.listener.connections))
    return client


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(edge: Edge) -> None:
    edge.bound(write=10.0)
    client = await stalled(edge)
    (connection,) = edge.listener.connections
    assert connection._transport.get_write_buffer_size() < 1 << 20
    edge.later(0)
    edge.later(9)
    assert edge.running == 1
    edge.later(1.1)
    await edge.settle()
    assert edge.ended[0].reason == "client_left"
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    while await client.hear():
        pass
    assert client.was_reset


async def test_one_that_takes_it_slowly_is_not(edge: Edge) -> None:
    edge.bound(write=10.0)
    client = await stalled(edge)
    (connection,) = edge.listener.connections

    def untaken() -> tuple[int, int]:
        return connection.unsent, acknowledged(connection._transport)

    edge.later(0)
    for _ in range(5):
        edge.later(9)
        before = untaken()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while untaken() == before:
            await client.hear(200_000)
            await asyncio.sleep(0.001)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    assert edge.running == 1
    client.reset()


async def test_time_in_which_the_client_took_nothing_is_not_the_replicas(edge: Edge) -> None:
    edge.limit(idle=5.0)
    client = await stalled(edge)
    edge.later(20)
    await asyncio.sleep(0.02)
    assert edge.running == 1
    client.reset()


@needs_tcp_info
@pytest.mark.parametrize("leave", ["reset", "close"])
@pytest.mark.parametrize("on_disconnect", OnDisconnect)
async def test_a_client_that_leaves_while_it_is_held_and_not_read_is_noticed(
    edge: Edge, leave: str, on_disconnect: OnDisconnect
) -> None:
    edge.limit(on_disconnect=on_disconnect)
    client = await edge.client(POST.format(LARGE), b"x" * SLICE * 2)
    await edge.until(lambda: edge.held == 1)
    assert [connection._paused for connection in edge.listener.connections] == [True]
    edge.later(LOOK_SECONDS)
    assert edge.held == 1
    if leave == "reset":
        client.reset()
    else:
        client.half_close()
    await asyncio.sleep(0.02)
    edge.later(LOOK_SECONDS)
    await edge.settle()
    assert edge.ended[0].reason == "client_left"
    replica = await edge.serving()
    await asyncio.sleep(0.01)
    assert replica.heard == b""
    await edge.until(lambda: not edge.listener.connections)


async def test_bodies_behind_another_request_are_read_in_their_turn(edge: Edge) -> None:
    size = 60_000
    client = await edge.client(GET.format(1))
    await edge.until(lambda: edge.held == 1)
    client.writer.write((POST.format(size).encode() + b"x" * size) * 10)
    await edge.until(lambda: any(connection._paused for connection in edge.listener.connections))
    await asyncio.sleep(0.02)
    (connection,) = edge.listener.connections
    bodies = [exchange.request.body for exchange in connection._waiting]
    assert sum(body.size for body in bodies if body is not None) <= 2 * SLICE
    await edge.serving()
    assert [(await client.response()).status for _ in range(11)] == [200] * 11


async def test_bodies_of_all_who_wait_have_a_bound_together(edge: Edge) -> None:
    edge.bound(buffered=4 * SLICE)
    clients = [await edge.client(POST.format(LARGE)) for _ in range(3)]
    for client in clients[:2]:
        client.writer.write(b"x" * SLICE)
    refused = await clients[2].response()
    assert (refused.status, refused.get("Activator-Reason")) == (503, "buffer_full")
    await edge.until(lambda: edge.held == 2)
    await edge.serving()
    await edge.until(lambda: edge.proxy.admission.buffers.total == 0)
    for client in clients[:2]:
        client.writer.write(b"x" * (LARGE - SLICE))
        assert (await client.response()).status == 200


async def test_a_refused_wake_leaves_no_trace_in_the_demand(edge: Edge) -> None:
    edge.bound(max_wakes=1)
    first = await edge.client(GET.format(1))
    await edge.until(lambda: edge.held == 1)
    first.leave()
    await edge.settle()
    edge.proxy.update(Replicas("a-1"))  # nothing has come of the first wake
    edge.proxy.collect()
    second = await edge.client(GET.format(2))
    answer = await second.response()
    assert (answer.status, answer.get("Activator-Reason")) == (503, "wake_limited")
    assert 60 <= int(answer.get("Retry-After") or 0) <= 66
    counted = edge.proxy.collect()["a-1"]
    assert (counted.concurrency, counted.requests) == (0, 0)
    assert edge.wakes == ["a-1"]
