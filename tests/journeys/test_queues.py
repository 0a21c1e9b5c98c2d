"""Those who wait: in order of arrival, within bounds, and told why when it was in vain."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.journeys.services import gated, service

if TYPE_CHECKING:
    from tests.journeys.edge import Answer, Edge

CROWD = 500
OVERTAKEN = CROWD / 5
ONE_AT_A_TIME = {"container-concurrency": 1}


async def test_500_held_at_once_are_answered_in_order_and_never_two_together(edge: Edge) -> None:
    scaling = {"max-scale": 3, "max-scale-up-rate": 100}
    await edge.deploy(service("queue", gated("queue-1"), requests=ONE_AT_A_TIME, autoscaling=scaling))
    clients = [await edge.connect() for _ in range(CROWD)]
    for number, (_, writer) in enumerate(clients):
        head = f"GET /?id={number}&delay=0.002 HTTP/1.1\r\nHost: queue.localhost\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await asyncio.sleep(0)
    await edge.held("queue", CROWD)
    assert edge.stamps("queue-1") == []
    edge.open("queue-1")

    answers = await asyncio.gather(*(reader.read() for reader, _ in clients))
    for _, writer in clients:
        writer.close()
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * CROWD
    _came_in_order(edge)


def _came_in_order(edge: Edge) -> None:
    """Each replica got its requests in order, and none was overtaken by more than what clocks of three processes on a
    busy machine can make it seem."""
    stamps = edge.stamps("queue-1")
    assert {stamp.running for stamp in stamps} == {1}
    replicas = {stamp.replica for stamp in stamps}
    assert len(replicas) == 3
    for replica in replicas:
        order = [int(stamp.request) for stamp in stamps if stamp.replica == replica]
        assert all(earlier < later for earlier, later in pairwise(order))
    ranks = [int(stamp.request) for stamp in sorted(stamps, key=lambda stamp: stamp.at)]
    assert sorted(ranks) == list(range(CROWD))
    assert max(abs(rank - place) for place, rank in enumerate(ranks)) < OVERTAKEN


async def test_one_more_than_the_queue_takes_is_refused_at_once(edge: Edge) -> None:
    await edge.deploy(service("full", gated("full-1"), requests={"queue-depth": 3}))
    waiting = [asyncio.create_task(edge.request("full", f"/?id={number}")) for number in range(3)]
    await edge.held("full", 3)
    refused = await edge.request("full", "/?id=refused")
    _told(refused, "queue_full", "full")
    assert refused.json["waited_seconds"] < 5
    edge.open("full-1")
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 3
    assert "refused" not in {stamp.request for stamp in edge.stamps("full-1")}
    assert await edge.metric("activator_ended_total", service="full", reason="queue_full") == 1


async def test_more_bytes_than_the_queue_takes_are_refused(edge: Edge) -> None:
    await edge.deploy(service("bulky", gated("bulky-1"), requests={"queue-bytes": "10KiB"}))
    first = asyncio.create_task(edge.request("bulky", "/?id=first", "POST", data=b"x" * 8000))
    await edge.held("bulky", 1)
    _told(await edge.request("bulky", "/?id=second", "POST", data=b"x" * 8000), "queue_full", "bulky")
    edge.open("bulky-1")
    assert (await first).status == 200


async def test_a_hold_that_ends_is_told_and_the_start_goes_on(edge: Edge) -> None:
    await edge.deploy(service("late", gated("late-1"), requests={"hold-timeout": "300ms"}))
    answer = await edge.request("late", "/?id=gave-up")
    _told(answer, "hold_timeout", "late")
    assert 0.3 <= answer.json["waited_seconds"] < 5
    assert answer.json["start"]["phase"] == "starting"
    edge.open("late-1")
    await edge.ready("late", 1)
    assert (await edge.request("late", "/?id=came-back")).status == 200
    assert [stamp.request for stamp in edge.stamps("late-1")] == ["came-back"]
    assert len(edge.stamps("late-1", "start")) == 1


def _told(answer: Answer, reason: str, name: str) -> None:
    """A 503 of the edge says why, for whom, how long it waited, what is known of the start, and when to come back."""
    assert (answer.status, answer.reason) == (503, reason)
    assert 1 <= int(answer.headers["Retry-After"]) <= 120
    told = answer.json
    assert (told["reason"], told["service"], told["revision"]) == (reason, name, f"{name}-1")
    assert told["waited_seconds"] >= 0
    assert set(told["start"]) == {"phase", "message", "attempts"}
