from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from router.ports import RevisionStats
from router.table import OnDisconnect, Service, Share, Table
from tests.ports import free_ports
from tests.router.fakes import HELLO, revision, table
from tests.router.wire.edge import answer

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge
    from tests.router.wire.talk import Talk

GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


class Slow:
    """A replica that answers when the test says so. `gone` counts the edges that left before."""

    def __init__(self, response: bytes = HELLO) -> None:
        self.asked = 0
        self.gone = 0
        self.go = asyncio.Event()
        self._response = response

    async def __call__(self, edge: Talk) -> None:
        while True:
            await edge.request()
            self.asked += 1
            going = asyncio.get_running_loop().create_task(self.go.wait())
            leaving = asyncio.get_running_loop().create_task(edge.reader.read(1))
            await asyncio.wait((going, leaving), return_when=asyncio.FIRST_COMPLETED)
            left = leaving.done()
            for task in (going, leaving):
                task.cancel()
            await asyncio.gather(going, leaving, return_exceptions=True)
            if left:
                self.gone += 1
                return
            await edge.send(self._response)


async def test_a_request_that_finds_no_replica_is_held_until_there_is_one(edge: Edge) -> None:
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    assert edge.wakes == ["a-1"]
    await edge.serving()
    response = await client.response()
    assert (response.status, response.body) == (200, b"hello")
    assert (edge.open_requests, edge.held, edge.running) == (0, 0, 0)


async def test_a_response_tells_how_long_it_was_held(edge: Edge) -> None:
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.later(2.5)
    await edge.serving()
    timing = (await client.response()).get("Server-Timing")
    assert timing is not None
    hold, upstream = [float(number) for number in re.findall(r"dur=([0-9.]+)", timing)]
    assert (hold, upstream) == (2500, 0)


async def test_a_refused_connection_costs_no_request(edge: Edge) -> None:
    replica = edge.replica(answer())
    (replica.port,) = free_ports(1)
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.ready(replica)
    assert await client.quiet(0.15)
    await replica.open(replica.port)
    assert (await client.response()).status == 200
    assert edge.ended[0].reason == ""


async def test_a_refused_connection_is_tried_again_again_and_again(edge: Edge) -> None:
    for _ in range(5):
        replica = edge.replica(answer())
        (replica.port,) = free_ports(1)
        client = await edge.client(GET)
        edge.ready(replica)
        await client.quiet(0.01)
        await replica.open(replica.port)
        assert (await client.response()).status == 200
        client.leave()


async def test_those_who_wait_are_served_in_order_and_never_two_at_once(edge: Edge) -> None:
    edge.limit(container_concurrency=1)
    clients = []
    for number in range(20):
        clients.append(await edge.client(GET.replace("/", f"/{number}", 1)))
        await edge.until(lambda: edge.held == len(clients))
    most = 0

    async def script(talk: Talk) -> None:
        nonlocal most
        while True:
            await talk.request()
            most = max(most, edge.running)
            await asyncio.sleep(0.001)
            await talk.send(HELLO)

    replica = await edge.serving(script)
    for client in clients:
        assert (await client.response()).status == 200
    assert re.findall(rb"GET /(\d+)", replica.heard) == [b"%d" % number for number in range(20)]
    assert most == 1


async def test_a_client_that_hangs_up_while_held_reaches_no_replica_and_wakes_nothing_more(edge: Edge) -> None:
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    client.leave()
    await edge.until(lambda: edge.open_requests == 0)
    assert edge.held == 0
    assert edge.wakes == ["a-1"]
    replica = await edge.serving()
    await asyncio.sleep(0.02)
    assert replica.talks == []
    assert edge.ended[0].reason == "client_left"
    assert not edge.ended[0].dispatched


async def test_a_client_that_is_cut_off_while_held_is_noticed_as_well(edge: Edge) -> None:
    client = await edge.client("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello")
    await edge.until(lambda: edge.held == 1)
    client.reset()
    await edge.settle()


async def test_when_the_client_hangs_up_the_request_is_cancelled(edge: Edge) -> None:
    slow = Slow()
    await edge.serving(slow)
    client = await edge.client(GET)
    await edge.until(lambda: slow.asked == 1)
    client.leave()
    await edge.until(lambda: slow.gone == 1)
    await edge.settle()


async def test_or_it_is_finished_for_nobody_and_keeps_its_slot_until_then(edge: Edge) -> None:
    edge.limit(on_disconnect=OnDisconnect.FINISH, container_concurrency=1)
    slow = Slow()
    await edge.serving(slow)
    client, other = await edge.client(GET), await edge.client()
    await edge.until(lambda: slow.asked == 1)
    client.reset()
    await edge.until(lambda: len(edge.listener.connections) == 1)
    await other.send(GET)
    await edge.until(lambda: edge.held == 1)
    assert (edge.running, edge.open_requests, slow.gone) == (1, 2, 0)
    slow.go.set()
    assert (await other.response()).status == 200
    assert slow.gone == 0


async def test_a_long_response_is_finished_for_nobody_though_the_client_had_paused_it(edge: Edge) -> None:
    edge.limit(on_disconnect=OnDisconnect.FINISH)
    size = 16 << 20
    sent = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        sent.set()
        await talk.request()

    await edge.serving(script)
    client = await edge.client(GET)
    await client.head()
    assert not sent.is_set()
    client.reset()
    await edge.settle()
    assert edge.ended[0].body_bytes == size


async def test_a_replica_that_does_not_begin_to_answer_in_time_is_504(edge: Edge) -> None:
    edge.limit(first_byte=30.0)
    slow = Slow()
    await edge.serving(slow)
    client = await edge.client(GET)
    await edge.until(lambda: slow.asked == 1)
    edge.later(29.0)
    assert await client.quiet()
    edge.later(1.5)
    response = await client.response()
    assert (response.status, response.get("Activator-Reason")) == (504, "upstream_timeout")
    assert response.get("X-Should-Retry") == "false"
    await edge.until(lambda: slow.gone == 1)


async def test_the_whole_time_counts_before_the_response_begins_as_504(edge: Edge) -> None:
    edge.limit(total=30.0, first_byte=0.0)
    slow = Slow()
    await edge.serving(slow)
    client = await edge.client(GET)
    await edge.until(lambda: slow.asked == 1)
    edge.later(30.5)
    assert (await client.response()).status == 504


@pytest.mark.parametrize("clock", ["idle", "total"])
@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_a_response_that_takes_too_long_is_visibly_cut(edge: Edge, clock: str, framing: bytes) -> None:
    edge.limit(**{clock: 30.0})

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK + framing + b"\r\n" + b"4\r\npart\r\n")
        await talk.request()

    await edge.serving(script)
    client = await edge.client(GET)
    head = await client.head()
    assert head.status == 200
    assert await client.hear()
    edge.later(30.5)
    while await client.hear():
        pass
    assert client.was_reset
    assert not client.heard.endswith(b"0\r\n\r\n")
    assert edge.ended[0].reason == "upstream_timeout"


async def test_a_hold_does_not_count_as_time_of_the_replica(edge: Edge) -> None:
    edge.limit(first_byte=30.0, total=30.0, idle=30.0)
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.later(100.0)
    slow = Slow()
    await edge.serving(slow)
    await edge.until(lambda: slow.asked == 1)
    edge.later(1.0)
    slow.go.set()
    assert (await client.response()).status == 200


async def test_a_hold_that_is_over_is_503_and_the_connection_goes_on(edge: Edge) -> None:
    edge.limit(hold=600.0)
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.later(600.5)
    response = await client.response()
    assert (response.status, response.get("Activator-Reason")) == (503, "hold_timeout")
    assert 1 <= int(response.get("Retry-After") or 0) <= 120
    told = json.loads(response.body)
    assert (told["service"], told["revision"], told["start"]["phase"]) == ("a", "a-1", "asleep")
    assert told["waited_seconds"] >= 600
    await edge.serving()
    await client.send(GET)
    assert (await client.response()).status == 200


async def test_a_full_queue_is_503_at_once(edge: Edge) -> None:
    edge.limit(queue_depth=1)
    await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    response = await (await edge.client(GET)).response()
    assert (response.status, response.get("Activator-Reason")) == (503, "queue_full")


async def test_an_upload_that_stops_is_408_and_keeps_nothing_awake(edge: Edge) -> None:
    edge.limit(hold=60.0)
    client = await edge.client("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhell")
    await edge.until(lambda: edge.open_requests == 1)
    edge.later(61.0)
    assert (await client.response()).status == 408
    assert await client.ended()


async def test_unknown_hosts_and_paths_are_404_and_wake_nothing(edge: Edge) -> None:
    client = await edge.client("GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n")
    assert (await client.response()).get("Activator-Reason") == "unknown_host"
    edge.proxy.replace_table(Table((Service("a", ("a.example",), table().services[0].shares, paths=("/v1",)),)))
    await client.send(GET)
    assert (await client.response()).get("Activator-Reason") == "unknown_path"
    assert edge.wakes == []
    assert edge.proxy.counters.refusals == {"unknown_host": 1, "unknown_path": 1}


async def test_a_held_request_follows_its_service_to_a_new_revision(edge: Edge) -> None:
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.proxy.replace_table(Table((Service("a", ("a.example",), (Share(revision("a-2"), 100),), show_revision=True),)))
    await edge.until(lambda: edge.proxy.look("a-2").held == 1)
    assert edge.wakes == ["a-1", "a-2"]
    replica = edge.replica(answer())
    await replica.open()
    edge.proxy.update(edge.snapshot("a-2", replica))
    response = await client.response()
    assert (response.status, response.get("Activator-Revision")) == (200, "a-2")
    assert edge.open_requests == 0


async def test_a_held_request_whose_service_is_gone_is_404(edge: Edge) -> None:
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.proxy.replace_table(Table())
    assert (await client.response()).status == 404


async def test_a_running_request_outlives_its_revision(edge: Edge) -> None:
    slow = Slow()
    await edge.serving(slow)
    client = await edge.client(GET)
    await edge.until(lambda: slow.asked == 1)
    edge.proxy.replace_table(Table())
    edge.later(1.0)
    assert edge.proxy.collect()["a-1"].open == 1
    slow.go.set()
    assert (await client.response()).status == 200
    edge.later(1.0)
    assert edge.proxy.collect() == {}
    assert edge.proxy.look("a-1") == RevisionStats()


async def test_a_replica_out_of_service_is_drained_when_its_last_response_has_ended(edge: Edge) -> None:
    slow = Slow()
    replica = await edge.serving(slow)
    client = await edge.client(GET)
    await edge.until(lambda: slow.asked == 1)
    edge.ready()
    drained = asyncio.get_running_loop().create_task(edge.proxy.drained("a-1", replica.name))
    await asyncio.sleep(0.01)
    assert (drained.done(), edge.proxy.in_flight("a-1")) == (False, {replica.name: 1})
    slow.go.set()
    await client.response()
    await drained


async def test_what_is_counted_is_what_happened(edge: Edge) -> None:
    edge.proxy.collect()
    client, held = await edge.client(GET), await edge.client(GET)
    await edge.until(lambda: edge.held == 2)
    edge.later(1.0)
    stats = edge.proxy.collect()["a-1"]
    assert (stats.requests, stats.open, stats.held, stats.idle_since) == (2, 2, 2, None)
    assert stats.concurrency == pytest.approx(2.0)
    await edge.serving()
    await client.response()
    await held.response()
    stats = edge.proxy.collect()["a-1"]
    assert (stats.requests, stats.open, stats.held, stats.busy) == (0, 0, 0, {})
    assert stats.idle_since is not None
    durations = edge.proxy.counters.revisions["a-1"].durations
    assert {status: each.count for status, each in durations.items()} == {200: 2}


async def test_an_idle_clock_is_continued_where_nothing_is_going_on_and_the_last_request_counts(edge: Edge) -> None:
    edge.proxy.restore("a-1", 7.0, 5.0)
    assert (edge.proxy.look("a-1").idle_since, edge.proxy.look("a-1").tagged_since) == (7.0, 5.0)
    edge.proxy.restore("a-1", 3.0, 6.0)
    edge.proxy.restore("a-1", None, None)
    assert (edge.proxy.look("a-1").idle_since, edge.proxy.look("a-1").tagged_since) == (7.0, 6.0)
    await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.proxy.restore("a-1", 9.0, None)
    assert edge.proxy.look("a-1").idle_since is None


async def test_a_defect_is_500_reported_and_keeps_the_rest_alive(edge: Edge) -> None:
    edge.wakes.error = ZeroDivisionError()
    client = await edge.client(GET)
    response = await client.response()
    assert (response.status, response.get("Activator-Reason")) == (500, "internal_error")
    assert b"ZeroDivisionError" not in response.body
    assert edge.defects == [edge.wakes.error]
    edge.defects.clear()
    await edge.serving()
    await client.send(GET)
    assert (await client.response()).status == 200
