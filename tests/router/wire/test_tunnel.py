"""WebSockets through an edge on real sockets, with both sides by hand: the edge must not need to understand a frame."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from router.connection import WRITE_BUFFER
from router.errors import Reason
from router.listener import LOOK_SECONDS
from router.table import OnDisconnect
from router.tunnel import HALF_CLOSED_SECONDS
from tests.router.fakes import HELLO
from tests.router.segments import dribble
from tests.router.wire.edge import answer
from tests.router.wire.talk import PATIENCE, Script

if TYPE_CHECKING:
    from router.connection import Connection
    from tests.router.wire.edge import Edge, Replica
    from tests.router.wire.talk import Talk

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OFFER = (
    "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
GET = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
MiB = 1 << 20
PIECE = bytes(range(256)) * 1024  # 256 KiB


async def opened(edge: Edge, *behind: bytes | str) -> tuple[Talk, Talk]:
    """Return both ends of a tunnel; `behind` comes right behind the client's offer."""
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER, *behind)
    replica = await script.at
    await replica.head()
    await replica.send(ACCEPT)
    assert (await client.head()).status == 101
    return client, replica


async def over(edge: Edge, *talks: Talk) -> None:
    """Both ends leave, and nothing remains."""
    for talk in talks:
        talk.leave()
    await edge.settle()


async def test_an_offer_is_passed_on_and_the_heads_are_written_anew(edge: Edge) -> None:
    script = Script()
    await edge.serving(script)
    client = await edge.client(
        OFFER.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1")
    )
    replica = await script.at
    head = await replica.head()
    assert (head.method, head.target) == ("GET", "/ws")
    assert (head.all("Connection"), head.all("Upgrade")) == (["Upgrade"], ["websocket"])
    assert (head.all("Sec-WebSocket-Key"), head.get("Sec-WebSocket-Version")) == ([KEY], "13")
    assert head.get("X-Hop") is None
    assert head.get("X-Forwarded-For") == "127.0.0.1"
    await replica.send(ACCEPT)
    accepted = await client.head()
    assert accepted.start == "HTTP/1.1 101 Switching Protocols"
    assert (accepted.all("Connection"), accepted.all("Upgrade")) == (["Upgrade"], ["websocket"])
    assert accepted.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert accepted.get("Server-Timing")
    await over(edge, client, replica)


async def test_bytes_pass_both_ways_unread(edge: Edge) -> None:
    client, replica = await opened(edge)
    for data in (b"\x81\x05hello", b"\x00\xff\r\n\r\n", GET.encode(), ACCEPT, b"HTTP/1.1 200 OK\r\n\r\n"):
        await client.send(data)
        assert await replica.hear() == data
        await replica.send(data)
        assert await client.hear() == data
    await over(edge, client, replica)
    assert edge.ended[0].status == 101


async def test_frames_right_behind_the_101_follow_it(edge: Edge) -> None:
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER)
    replica = await script.at
    await replica.head()
    await replica.send(b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n" + ACCEPT + b"\x81\x05hello")
    assert (await client.head()).status == 103
    assert (await client.head()).status == 101
    assert await client.hear() == b"\x81\x05hello"
    await over(edge, client, replica)
    assert edge.ended[0].body_bytes == 7


async def test_frames_behind_the_offer_wait_for_the_101_and_lead_the_way(edge: Edge) -> None:
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER + GET, b"\x81\x01x")
    replica = await script.at
    await replica.head()
    assert await replica.quiet()
    await replica.send(ACCEPT)
    assert (await client.head()).status == 101
    await client.send(b"\x81\x01y")
    assert await replica.until(b"y") == GET.encode() + b"\x81\x01x\x81\x01y"
    await over(edge, client, replica)


async def test_too_much_behind_the_offer_stops_the_reading_and_nothing_is_lost(edge: Edge) -> None:
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER)
    replica = await script.at
    await replica.head()
    flood = asyncio.create_task(client.send(*[PIECE] * 64))
    await asyncio.sleep(0.1)
    assert not flood.done(), "16 MiB cannot be on their way"
    await replica.send(ACCEPT)
    assert await replica._exactly(64 * len(PIECE)) == PIECE * 64
    await flood
    await over(edge, client, replica)


@pytest.mark.parametrize("whole", [True, False])
async def test_nothing_smuggled_behind_a_refused_offer_becomes_a_request(edge: Edge, whole: bool) -> None:
    replica = await edge.serving(answer())
    client = await edge.client(OFFER + GET) if whole else await edge.client(*dribble((OFFER + GET).encode()))
    response = await client.response()
    assert (response.status, response.body) == (200, b"hello")
    if whole:
        assert response.get("Connection") == "close"
        assert await client.ended()
        await edge.settle()
        assert b"/x" not in replica.heard


async def test_nothing_behind_an_offer_that_the_edge_refuses_becomes_a_request(edge: Edge) -> None:
    replica = await edge.serving()
    client = await edge.client(OFFER.replace("a.example", "unknown.example") + GET)
    response = await client.response()
    assert (response.status, response.get("Connection")) == (404, "close")
    assert await client.ended()
    assert replica.heard == b""


async def test_what_comes_while_the_refusal_is_under_way_does_not_become_a_request_either(edge: Edge) -> None:
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER)
    replica = await script.at
    await replica.head()
    await replica.send(HELLO[:-5])
    assert (await client.head()).status == 200
    await client.send(GET)
    assert await replica.quiet()
    await replica.send(b"hello")
    assert await client.hear() == b"hello"
    assert await client.ended()
    assert b"/x" not in replica.heard


async def test_an_offer_with_a_body_is_refused(edge: Edge) -> None:
    replica = await edge.serving()
    smuggled = OFFER.replace("\r\n\r\n", f"\r\nContent-Length: {len(GET)}\r\n\r\n") + GET
    client = await edge.client(smuggled)
    assert (await client.response()).status == 400
    assert await client.ended()
    assert replica.heard == b""


@pytest.mark.parametrize("response", [HELLO, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"])
async def test_a_replica_may_refuse_and_both_connections_go_on(edge: Edge, response: bytes) -> None:
    replica = await edge.serving(response)
    client = await edge.client(OFFER)
    answered = await client.response()
    assert answered.status == int(response.split()[1])
    assert answered.get("Connection") is None
    await client.send(GET)
    assert (await client.response()).status == answered.status
    await client.send(OFFER)
    assert (await client.response()).status == answered.status
    assert len(replica.talks) == 1


async def test_an_upgrade_to_anything_else_is_not_passed_on(edge: Edge) -> None:
    replica = await edge.serving()
    h2c = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    client = await edge.client(h2c + "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + GET)
    assert [(await client.response()).status for _ in range(2)] == [200, 200]
    assert b"pgrade" not in replica.heard
    assert b"ettings" not in replica.heard


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        ACCEPT.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
        ACCEPT.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_an_acceptance_of_something_else_is_502(edge: Edge, response: bytes) -> None:
    await edge.serving(response)
    client = await edge.client(OFFER)
    answered = await client.response()
    assert (answered.status, answered.get("Activator-Reason")) == (502, "upstream_broke")


async def test_a_101_that_nobody_asked_for_is_502(edge: Edge) -> None:
    await edge.serving(ACCEPT)
    client = await edge.client(GET)
    assert (await client.response()).status == 502


async def test_a_tunnel_is_one_request_with_a_slot_for_as_long_as_it_lives(edge: Edge) -> None:
    edge.limit(container_concurrency=1)
    client, replica = await opened(edge)
    second = await edge.client(OFFER)
    await edge.until(lambda: edge.held == 1)
    assert (edge.open_requests, edge.running) == (2, 1)
    third = await edge.client(GET)
    await edge.until(lambda: edge.held == 2)
    second.leave()
    await asyncio.sleep(0.01)
    edge.later(LOOK_SECONDS)  # while it is held, nothing is read from it
    await edge.until(lambda: edge.held == 1)
    await edge.serving()
    assert (await third.response()).status == 200
    await over(edge, client, replica)


async def test_the_end_of_the_clients_side_is_passed_on_and_the_replica_may_go_on(edge: Edge) -> None:
    client, replica = await opened(edge)
    await client.send(b"last words")
    client.half_close()
    assert await replica.until(b"words") == b"last words"
    assert await replica.ended()
    await replica.send(b"answer")
    assert await client.hear() == b"answer"
    assert edge.running == 1
    replica.leave()
    assert await client.ended()
    await edge.settle()
    assert edge.ended[0].reason == ""


async def test_the_end_of_the_replicas_side_is_passed_on_and_the_client_may_go_on(edge: Edge) -> None:
    client, replica = await opened(edge)
    await replica.send(b"last words")
    replica.half_close()
    assert await client.until(b"words") == b"last words"
    assert await client.ended()
    await client.send(b"answer")
    assert await replica.hear() == b"answer"
    assert edge.running == 1
    client.half_close()
    assert await replica.ended()
    await edge.settle()
    assert edge.ended[0].reason == ""


async def test_the_last_bytes_of_a_client_reach_a_replica_that_has_ended_its_side(edge: Edge) -> None:
    client, replica = await opened(edge)
    replica.half_close()
    assert await client.ended()
    await client.send(*[PIECE] * 16)
    client.half_close()
    assert await replica._exactly(16 * len(PIECE)) == PIECE * 16
    assert await replica.ended()
    assert not replica.was_reset
    await edge.settle()


@pytest.mark.parametrize("first", ["client", "replica"])
async def test_a_side_that_is_silent_after_the_others_end_does_not_keep_the_slot(edge: Edge, first: str) -> None:
    client, replica = await opened(edge)
    edge.later(1000)
    ending, other = (client, replica) if first == "client" else (replica, client)
    ending.half_close()
    assert await other.ended()
    edge.later(HALF_CLOSED_SECONDS - 1)
    assert await ending.quiet()
    assert edge.running == 1
    edge.later(1.5)
    await edge.settle()
    assert await ending.ended()


@pytest.mark.parametrize("idle", [0.0, 5.0])
async def test_a_client_that_has_ended_its_side_and_reads_slowly_gets_all(edge: Edge, idle: float) -> None:
    edge.limit(idle=idle)
    client, replica = await opened(edge)
    client.half_close()
    assert await replica.ended()
    replica.writer.write(PIECE * 64)
    replica.half_close()
    await edge.until(
        lambda: any(cast("Connection", guest).unsent > WRITE_BUFFER for guest in edge.listener.door.guests)
    )
    edge.later(HALF_CLOSED_SECONDS + 1)
    got = 0
    while data := await client.hear():
        got += len(data)
    assert (got, client.was_reset) == (len(PIECE) * 64, False)
    await edge.settle()


@pytest.mark.parametrize("on_disconnect", list(OnDisconnect))
async def test_a_client_that_breaks_off_ends_the_replicas_side_at_once(edge: Edge, on_disconnect: OnDisconnect) -> None:
    edge.limit(on_disconnect=on_disconnect)
    client, replica = await opened(edge)
    client.reset()
    assert await replica.ended()
    await edge.settle()
    assert (edge.ended[0].status, edge.ended[0].reason) == (101, "client_left")


@pytest.mark.parametrize("on_disconnect", list(OnDisconnect))
async def test_a_client_that_leaves_before_the_101_has_left(edge: Edge, on_disconnect: OnDisconnect) -> None:
    edge.limit(on_disconnect=on_disconnect)
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER)
    replica = await script.at
    await replica.head()
    client.half_close()
    assert await replica.ended()
    await edge.settle()
    assert edge.ended[0].reason == "client_left"


async def test_a_replica_that_breaks_off_ends_the_clients_side(edge: Edge) -> None:
    client, replica = await opened(edge)
    replica.reset()
    assert await client.ended()
    await edge.settle()
    assert (edge.ended[0].status, edge.ended[0].reason) == (101, Reason.UPSTREAM_BROKE)


@pytest.mark.parametrize("slow", ["client", "replica"])
async def test_a_side_that_does_not_read_slows_the_other_down(edge: Edge, slow: str) -> None:
    client, replica = await opened(edge)
    sender, reader = (replica, client) if slow == "client" else (client, replica)
    flood = asyncio.create_task(sender.send(*[PIECE] * 128))
    await asyncio.sleep(0.1)
    assert not flood.done(), "32 MiB cannot be on their way"
    assert await reader._exactly(128 * len(PIECE)) == PIECE * 128
    await flood
    await over(edge, client, replica)


async def test_the_first_byte_clock_runs_until_the_101_only(edge: Edge) -> None:
    edge.limit(first_byte=5.0)
    client, replica = await opened(edge)
    edge.later(100)
    await client.send(b"still")
    assert await replica.hear() == b"still"
    await over(edge, client, replica)


async def test_a_replica_that_does_not_decide_is_too_slow(edge: Edge) -> None:
    edge.limit(first_byte=5.0)
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER, b"early")
    await (await script.at).head()
    edge.later(6)
    response = await client.response()
    assert (response.status, response.get("Connection")) == (504, "close")


@pytest.mark.parametrize("talking", ["client", "replica"])
async def test_the_idle_clock_is_for_silence_in_both_directions(edge: Edge, talking: str) -> None:
    edge.limit(idle=5.0)
    client, replica = await opened(edge)
    sender, reader = (client, replica) if talking == "client" else (replica, client)
    for _ in range(3):
        edge.later(4)
        await sender.send(b"ping")
        assert await reader.hear() == b"ping"
    edge.later(6)
    assert await client.ended()
    assert await replica.ended()
    await edge.settle()
    assert edge.ended[0].reason == Reason.UPSTREAM_TIMEOUT


async def test_the_total_clock_ends_a_tunnel_that_is_busy(edge: Edge) -> None:
    edge.limit(total=5.0)
    client, replica = await opened(edge)
    edge.later(4)
    await client.send(b"ping")
    assert await replica.hear() == b"ping"
    edge.later(2)
    assert await client.ended()
    await edge.settle()


async def test_a_drain_leaves_tunnels_open_until_its_deadline(edge: Edge) -> None:
    client, replica = await opened(edge)
    early = asyncio.create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0.1)
    await client.send(b"ping")
    assert await replica.hear() == b"ping"
    early.cancel()
    await edge.listener.drain(0.01)
    assert await client.ended()
    assert not client.was_reset
    assert await replica.ended()
    assert edge.ended[0].reason == Reason.SHUTTING_DOWN


async def test_a_tunnel_may_open_while_the_edge_drains(edge: Edge) -> None:
    script = Script()
    await edge.serving(script)
    client = await edge.client(OFFER)
    replica = await script.at
    await replica.head()
    drain = asyncio.create_task(edge.listener.drain(5))
    await asyncio.sleep(0)
    await replica.send(ACCEPT)
    head = await client.head()
    assert (head.status, head.all("Connection")) == (101, ["Upgrade"])
    await over(edge, client, replica)
    await drain


async def test_an_offer_behind_another_request_has_its_turn(edge: Edge) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(HELLO)
        await talk.request()
        await talk.send(ACCEPT)
        await talk.send(await talk.hear())

    replica: Replica = await edge.serving(script)
    client = await edge.client(GET + OFFER, b"early")
    assert (await client.response()).status == 200
    assert (await client.head()).status == 101
    assert await client.hear() == b"early"
    await over(edge, client, *replica.talks)
