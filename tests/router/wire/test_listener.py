from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest

from router.connection import HEAD_SECONDS, PRESSED_IDLE_SECONDS, Connection
from router.errors import Reason
from router.http1 import SLICE
from router.table import EdgeLimits, OnDisconnect
from tests.router.fakes import HELLO
from tests.router.wire.edge import LOCAL, answer
from tests.router.wire.talk import PATIENCE, Talk

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge

GET = "GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n"
KEEP_ALIVE = EdgeLimits().keep_alive
GETS = "".join(GET.format(number) for number in range(2000))
NOWHERE = "GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n"


async def echo(edge: Talk) -> None:
    """Answer with the target and the body."""
    while True:
        request = await edge.request()
        body = request.target.encode() + b" " + request.body
        await edge.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def test_a_connection_is_kept_for_one_request_after_the_other(edge: Edge) -> None:
    await edge.serving(echo)
    client = await edge.client()
    for number in range(10):
        await client.send(GET.format(number))
        assert (await client.response()).body == b"/%d " % number
    assert len(edge.listener.connections) == 1


async def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    await edge.serving(echo)
    bodies = "POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nxy"
    client = await edge.client(GET.format(1) + bodies + NOWHERE + GET.format(2))
    assert [(await client.response()).body for _ in range(2)] == [b"/1 ", b"/p xy"]
    assert (await client.response()).status == 404
    assert (await client.response()).body == b"/2 "


async def test_a_flood_of_pipelined_requests_is_answered_in_order(edge: Edge) -> None:
    await edge.serving(echo)
    client = await edge.client(GETS)
    assert [(await client.response()).body for _ in range(2000)] == [b"/%d " % number for number in range(2000)]


async def test_a_flood_of_requests_that_the_edge_answers_itself_is_answered_too(edge: Edge) -> None:
    await edge.serving()
    client = await edge.client(GET.format(1) + NOWHERE * 2000)
    assert [(await client.response()).status for _ in range(2001)] == [200] + [404] * 2000


@pytest.mark.parametrize("requests", [GETS, NOWHERE * 2000], ids=["replica's", "own"])
async def test_a_client_that_asks_and_asks_but_reads_nothing_is_not_read_on(edge: Edge, requests: str) -> None:
    await edge.serving(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    client = await edge.client()
    client.writer.write(requests.encode() * 50)  # the answers are far more than all buffers hold
    ended = -1
    async with asyncio.timeout(4 * PATIENCE):  # tens of thousands of answers
        while ended != len(edge.ended):  # until it stalls
            ended = len(edge.ended)
            await asyncio.sleep(0.1)
    assert ended < 80_000
    client.reset()


async def test_a_good_request_is_answered_before_the_bad_one_behind_it_is_refused(edge: Edge) -> None:
    await edge.serving(echo)
    client = await edge.client(GET.format(1) + "rubbish\r\n\r\n" + GET.format(2))
    assert (await client.response()).body == b"/1 "
    refusal = await client.response()
    assert (refusal.status, refusal.get("Connection")) == (400, "close")
    assert await client.ended()


def waits(edge: Edge) -> bool:
    """Tell whether a request waits for its turn behind answers that the client does not take."""
    (connection,) = edge.listener.connections
    return connection._clogged and bool(connection._waiting)


async def clogged(edge: Edge) -> tuple[Talk, int]:
    """Return a client that takes nothing, and how many requests of it were answered; one more waits for its turn."""
    await edge.serving(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    client = await edge.client()
    for asked in range(1000):
        await client.send(GET.format(asked))
        await edge.until(lambda asked=asked: len(edge.ended) > asked or waits(edge))  # type: ignore[misc]
        if len(edge.ended) <= asked:
            assert edge.running == 0
            return client, asked
    raise AssertionError("all that was sent was taken")


async def test_and_so_it_is_when_the_client_takes_its_answers_late(edge: Edge) -> None:
    client, answered = await clogged(edge)
    await client.send(GET.format("last") + "rubbish\r\n\r\n")
    await asyncio.sleep(0.05)  # until it was read
    for _ in range(answered + 2):
        assert (await client.response()).status == 200
    assert (await client.response()).status == 400
    assert await client.ended()


async def test_a_request_that_waits_for_its_turn_is_not_idle(edge: Edge) -> None:
    client, answered = await clogged(edge)
    edge.later(KEEP_ALIVE + 1)
    for _ in range(answered + 1):
        assert (await client.response()).status == 200


async def test_on_shutdown_requests_in_a_row_are_all_answered(edge: Edge) -> None:
    go = asyncio.Event()
    await edge.serving(answer(go=go))
    client = await edge.client(GET.format(1) + GET.format(2) + GET.format(3) + "rubbish\r\n\r\n")
    await edge.until(lambda: edge.running == 1)
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0)
    go.set()
    answers = [await client.response() for _ in range(3)]
    assert [answer.body for answer in answers] == [b"hello"] * 3
    assert [answer.get("Connection") for answer in answers] == [None, None, "close"]
    assert await client.ended()
    await draining
    assert len(edge.ended) == 3


async def test_on_shutdown_a_client_that_takes_its_answers_late_is_waited_for(edge: Edge) -> None:
    client, answered = await clogged(edge)
    edge.later(1.1)
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0.1)
    assert not draining.done()
    for _ in range(answered + 1):
        assert (await client.response()).status == 200
    assert await client.ended()
    await draining


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"rubbish", b"\0" * 100, b"SSH-2.0-x\r\n"]
)
async def test_rubbish_is_answered_with_400_and_the_connection_closed(edge: Edge, rubbish: bytes) -> None:
    client = await edge.client(rubbish)
    answer = await client.response()
    assert (answer.status, answer.get("Activator-Reason")) == (400, "bad_request")
    assert json.loads(answer.body)["reason"] == "bad_request"
    assert await client.ended()
    assert [refusal.reason for refusal in edge.refusals] == [Reason.BAD_REQUEST]


async def test_a_head_that_does_not_come_is_answered_with_408(edge: Edge) -> None:
    client = await edge.client("GET / HTTP/1.1\r\nHost: a.exa")
    assert await client.quiet()
    edge.later(HEAD_SECONDS - 1)
    assert await client.quiet()
    edge.later(1.1)
    assert (await client.response()).status == 408
    assert await client.ended()


@pytest.mark.parametrize(
    ("bounds", "seconds"), [({"keep_alive": 1.0}, HEAD_SECONDS), ({"connections": 1}, PRESSED_IDLE_SECONDS)]
)
async def test_a_head_that_has_begun_is_not_taken_for_silence(
    edge: Edge, bounds: dict[str, float], seconds: float
) -> None:
    edge.bound(**bounds)
    client = await edge.client("GET / HTTP/1.1\r\nHost: a.exa")
    assert await client.quiet()
    edge.later(seconds - 0.5)
    assert await client.quiet()
    edge.later(1.0)
    answer = await client.response()
    assert (answer.status, answer.get("Activator-Reason")) == (408, "request_timeout")
    assert f"within {seconds:g} s" in json.loads(answer.body)["message"]
    assert await client.ended()


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (" HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400),
        (" HTTP/1.1\r\nno field\r\n", 400),
        ("  HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
        ("?" + "a" * 9000, 414),
        (" HTTP/1.1\r\nHost: a.example\r\n" + "a: b\r\n" * 200, 431),
        (" HTTP/3.0\r\n", 505),
        (" HTTP/1.1\r\n", 408),
        (" HTT", 408),
    ],
)
async def test_a_head_that_is_refused_gets_the_shape_of_errors_that_its_path_asks_for(
    edge: Edge, rest: str, status: int
) -> None:
    await edge.serving()
    for path, expected in (
        ("/v1/chat/completions", True),
        ("http://a.example/v1/chat/completions", True),
        ("/v2/x", False),
        ("http://a.example/v2/v1/chat/completions", False),
    ):
        client = await edge.client(f"POST {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
        await client.response()
        await client.send(f"POST {path}{rest}")
        await asyncio.sleep(0.02)
        edge.later(HEAD_SECONDS + 1)
        response = await client.response()
        assert response.status == status
        assert ("error" in json.loads(response.body)) == expected


async def test_a_refused_head_request_gets_no_content(edge: Edge) -> None:
    client = await edge.client("HEAD / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n")
    response = await client.response("HEAD")
    assert (response.status, response.get("Activator-Reason")) == (400, "bad_request")
    assert await client.ended()


async def test_a_head_that_is_dribbled_has_no_more_time_than_any_other(edge: Edge) -> None:
    client = await edge.client("GET / HTTP/1.1\r\n")
    for _ in range(12):
        await client.send("X-A: 1\r\n")
        await client.quiet(0.002)
        edge.later(1.0)
    assert (await client.response()).status == 408


async def test_an_idle_connection_is_closed_without_a_word(edge: Edge) -> None:
    await edge.serving()
    client = await edge.client(GET.format(1))
    await client.response()
    edge.later(KEEP_ALIVE - 1)
    assert await client.quiet()
    edge.later(1.1)
    assert await client.ended()


@pytest.mark.parametrize("seconds", [620.0, 0.0])
async def test_an_idle_connection_is_kept_for_as_long_as_the_balancer_in_front_keeps_it(
    edge: Edge, seconds: float
) -> None:
    edge.bound(keep_alive=seconds)
    await edge.serving()
    client = await edge.client(GET.format(1))
    await client.response()
    edge.later(600.0)
    assert await client.quiet()
    await client.send(GET.format(2))
    assert (await client.response()).status == 200


async def test_a_connection_that_waits_for_its_answer_is_not_idle(edge: Edge) -> None:
    client = await edge.client(GET.format(1))
    await edge.until(lambda: edge.held == 1)
    edge.later(KEEP_ALIVE + HEAD_SECONDS)
    await edge.serving()
    assert (await client.response()).status == 200


async def test_a_client_that_closes_its_sending_side_is_gone(edge: Edge) -> None:
    replica = await edge.serving(silent)
    client = await edge.client(GET.format(1) + GET.format(2))
    await edge.until(lambda: edge.running == 1)
    client.half_close()
    await edge.settle()
    assert await client.ended()
    assert b"/2" not in replica.heard


async def test_but_it_is_answered_and_then_closed_where_requests_are_finished(edge: Edge) -> None:
    edge.limit(on_disconnect=OnDisconnect.FINISH)
    replica = await edge.serving(echo)
    client = await edge.client(GET.format(1) + GET.format(2))
    await edge.until(lambda: b"/1" in replica.heard)
    client.half_close()
    assert [(await client.response()).body for _ in range(2)] == [b"/1 ", b"/2 "]
    assert await client.ended()


async def test_a_client_that_closes_its_sending_side_while_held_is_gone(edge: Edge) -> None:
    client = await edge.client(GET.format(1))
    await edge.until(lambda: edge.held == 1)
    client.half_close()
    await edge.settle()
    assert await client.ended()


async def test_an_upload_that_ends_too_early_ends_its_request(edge: Edge) -> None:
    replica = await edge.serving(echo)
    client = await edge.client(
        f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {4 * SLICE}\r\n\r\n", b"x" * SLICE * 2
    )
    await edge.until(lambda: len(replica.heard) > SLICE)
    client.half_close()
    await edge.settle()
    assert edge.ended[0].reason == "client_left"


@pytest.mark.parametrize(
    ("line", "fields", "kept"),
    [
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", "Connection: close\r\n", False),
        ("HTTP/1.0", "", False),
        ("HTTP/1.0", "Connection: keep-alive\r\n", True),
    ],
)
async def test_the_connection_is_kept_as_the_client_says(edge: Edge, line: str, fields: str, kept: bool) -> None:
    await edge.serving()
    client = await edge.client(f"GET / {line}\r\nHost: a.example\r\n{fields}\r\n")
    answer = await client.response()
    assert answer.get("Connection") == {True: "keep-alive" if line == "HTTP/1.0" else None, False: "close"}[kept]
    if kept:
        assert await client.quiet()
    else:
        assert await client.ended()


async def test_an_answer_survives_what_the_client_still_sends(edge: Edge) -> None:
    edge.limit(max_body=1000)
    client = await edge.client("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n")
    await client.send(*[b"x" * 50_000] * 20)
    assert (await client.response()).status == 413
    assert await client.ended()


async def test_on_shutdown_what_runs_is_finished(edge: Edge) -> None:
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await go.wait()
        await talk.send(HELLO)

    await edge.serving(HELLO)
    idle = await edge.client(GET.format(0))
    await idle.response()
    edge.later(1.1)
    await edge.serving(script)
    running = await edge.client(GET.format(1))
    await edge.until(lambda: edge.running == 1)
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    assert await idle.ended()
    go.set()
    response = await running.response()
    assert (response.body, response.get("Connection")) == (b"hello", "close")
    assert await running.ended()
    await draining
    with pytest.raises(ConnectionError):
        await edge.client()


async def test_on_shutdown_one_who_has_just_connected_is_answered(edge: Edge) -> None:
    await edge.serving(HELLO)
    newcomer = await edge.client()
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0.1)
    assert not draining.done()
    await newcomer.send(GET.format(1))
    response = await newcomer.response()
    assert (response.body, response.get("Connection")) == (b"hello", "close")
    await draining


async def test_on_shutdown_one_who_asked_a_moment_ago_may_ask_once_more(edge: Edge) -> None:
    await edge.serving(HELLO)
    chatty, quiet = await edge.client(GET.format(1)), await edge.client(GET.format(2))
    await chatty.response()
    await quiet.response()
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0.1)
    assert not draining.done()
    await chatty.send(GET.format(3))
    response = await chatty.response()
    assert (response.body, response.get("Connection")) == (b"hello", "close")
    assert not draining.done()
    edge.later(1.1)
    assert await quiet.ended()
    edge.later(0.1)
    await draining


async def test_on_shutdown_one_whose_answer_had_begun_before_may_ask_once_more(edge: Edge) -> None:
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(HELLO[:-1])
        await go.wait()
        await talk.send(HELLO[-1:])
        await talk.request()
        await talk.send(HELLO)

    await edge.serving(script)
    client = await edge.client(GET.format(1))
    head = await client.head()
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0)
    go.set()
    assert (await client.until(b"hello"), head.get("Connection")) == (b"hello", None)
    await client.send(GET.format(2))
    assert (await client.response()).get("Connection") == "close"
    await draining


async def test_on_shutdown_one_who_says_nothing_is_not_waited_for(edge: Edge) -> None:
    silent = await edge.client()
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0)
    edge.later(1.1)
    assert await silent.ended()
    edge.later(0.1)
    await draining


async def test_on_shutdown_a_head_that_has_begun_is_waited_for(edge: Edge) -> None:
    await edge.serving(HELLO)
    slow = await edge.client(GET.format(1)[:20])
    await edge.until(lambda: any(guest.expects for guest in edge.listener.connections))
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0.1)
    await slow.send(GET.format(1)[20:])
    assert (await slow.response()).status == 200
    await draining


async def test_a_head_that_has_begun_has_its_ten_seconds_also_on_shutdown_and_whatever_keep_alive_is(
    edge: Edge,
) -> None:
    edge.bound(keep_alive=1.0)
    await edge.serving(HELLO)
    slow, slower = [await edge.client(GET.format(1)[:20]) for _ in range(2)]
    await edge.until(lambda: all(guest.expects for guest in edge.listener.connections))
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    await asyncio.sleep(0)
    edge.later(HEAD_SECONDS - 1)
    await slow.send(GET.format(1)[20:])
    assert (await slow.response()).status == 200
    edge.later(1.1)
    assert (await slower.response()).status == 408
    await draining


async def test_on_shutdown_those_who_leave_do_not_have_all_others_looked_at_while_one_is_waited_for(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def looked_at(guest: Connection) -> bool:
        nonlocal looks
        looks += 1
        return bool(expects(guest))

    await edge.serving(HELLO)
    idle = [await edge.client() for _ in range(100)]
    slow = await edge.client(GET.format(1)[:20])
    await edge.until(lambda: sum(guest._reader.in_head for guest in edge.listener.connections) == 1)
    edge.later(1.1)
    expects = vars(Connection)["expects"].fget
    monkeypatch.setattr(Connection, "expects", property(looked_at))
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(PATIENCE))
    for client in idle:
        assert await client.ended()
        client.writer.close()
    await edge.until(lambda: len(edge.listener.connections) == 1)
    assert looks < 10 * len(idle)
    await slow.send(GET.format(1)[20:])
    assert (await slow.response()).status == 200
    await draining


async def test_on_shutdown_those_who_wait_are_told_and_do_not_come_back_together(edge: Edge) -> None:
    held = [await edge.client(GET.format(1)) for _ in range(5)]
    await edge.until(lambda: edge.held == 5)
    await edge.listener.drain(0.01)
    answers = [await client.response() for client in held]
    assert {(answer.status, answer.get("Activator-Reason")) for answer in answers} == {(503, "shutting_down")}
    assert {answer.get("Retry-After") for answer in answers} == {"1", "2", "3", "4", "5"}
    assert all([await client.ended() for client in held])


async def test_on_shutdown_who_still_sends_a_body_has_a_moment_to_hear_what_it_is_told(edge: Edge) -> None:
    client = await edge.client("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nhalf of it")
    await edge.until(lambda: bool(edge.listener.busy))
    draining = asyncio.get_running_loop().create_task(edge.listener.drain(0.01))
    assert (await client.response()).status == 503
    await client.send(b"more")
    assert not draining.done()
    client.leave()
    await draining


async def test_on_shutdown_a_client_that_does_not_take_what_it_is_told_is_cut(edge: Edge) -> None:
    edge.bound(write=60.0)
    await edge.serving(b"HTTP/1.1 200 OK\r\nContent-Length: 32768\r\n\r\n" + b"x" * 32768)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    with client:
        await loop.sock_connect(client, (LOCAL, edge.port))
        await edge.until(lambda: bool(edge.listener.connections))
        (connection,) = edge.listener.connections
        while not connection.unsent:
            await loop.sock_sendall(client, GET.format(1).encode())
            await asyncio.sleep(0.01)
        edge.proxy.update(edge.snapshot("a-1"))
        await loop.sock_sendall(client, GET.format(1).encode())
        await edge.until(lambda: edge.held == 1)
        async with asyncio.timeout(PATIENCE):
            await edge.listener.drain(0.1)
        await edge.until(lambda: not edge.listener.connections)
        assert edge.open_requests == 0


async def silent(edge: Talk) -> None:
    """Never answer."""
    await edge.request()
    await edge.hear()
