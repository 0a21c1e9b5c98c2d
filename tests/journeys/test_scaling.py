"""Up with the load, down without it, and never through a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.journeys.services import service

if TYPE_CHECKING:
    from tests.journeys.edge import Edge

CROWD = 7
LAST = b"data: [DONE]\n\n"


async def test_from_zero_to_four_and_back_without_cutting_a_stream(edge: Edge) -> None:
    """The one who streams outlives the scale-down by far longer than a replica's grace after SIGTERM."""
    scaling = {"max-scale": 4, "max-scale-up-rate": 100, "max-scale-down-rate": 100, "panic-threshold-percentage": 1000}
    limits = {"container-concurrency": 1}
    grace = {"termination-grace-period": "200ms"}
    await edge.deploy(service("main", requests=limits, autoscaling=scaling, process=grace), service("brief"))
    assert [(await edge.look(name))["phase"] for name in ("main", "brief")] == ["asleep", "asleep"]
    long = asyncio.create_task(edge.request("main", "/?id=long&until=enough"))
    await edge.until(lambda: edge.stamps("main-1"))
    assert (await edge.request("brief")).status == 200
    enough = asyncio.Event()
    crowd = [asyncio.create_task(_come_again(edge, "main", enough)) for _ in range(CROWD)]
    await edge.ready("main", 4)
    enough.set()
    assert set().union(*await asyncio.gather(*crowd)) == {200}

    [survivor] = await edge.ready("main", 1)
    assert not long.done()
    edge.open("enough")
    answer = await long
    assert (answer.status, answer.cut, answer.body.endswith(LAST)) == (200, False, True)
    assert [stamp.replica for stamp in edge.stamps("main-1") if stamp.request == "long"] == [survivor]
    assert {stamp.running for stamp in edge.stamps("main-1")} == {1}
    await edge.ready("brief", 0)
    assert (await edge.look("brief"))["phase"] == "asleep"


async def _come_again(edge: Edge, host: str, enough: asyncio.Event) -> set[int]:
    """Send one request after the other until it is enough; return the statuses of the answers."""
    statuses = set()
    while not enough.is_set():
        statuses.add((await edge.request(host, "/?delay=0.1")).status)
    return statuses


async def test_a_drained_replica_keeps_its_stream_when_the_revision_is_shrunk_by_hand(edge: Edge) -> None:
    grace = {"termination-grace-period": "200ms"}
    shape = {"requests": {"container-concurrency": 1}, "process": grace}
    await edge.deploy(service("shrunk", autoscaling={"min-scale": 4}, **shape))
    before = await edge.ready("shrunk", 4)
    streams = [asyncio.create_task(edge.request("shrunk", f"/?id={number}&stream=2")) for number in range(2)]
    await edge.until(lambda: len(edge.stamps("shrunk-1")) == 2)
    await edge.deploy(service("shrunk", autoscaling={"min-scale": 1, "max-scale": 1}, **shape))
    [survivor] = await edge.ready("shrunk", 1)
    assert survivor in before
    answers = await asyncio.gather(*streams)
    assert all(answer.body.endswith(LAST) and not answer.cut for answer in answers)


async def test_the_way_of_a_service_can_be_told(edge: Edge) -> None:
    await edge.deploy(service("told", autoscaling={"scale-to-zero-grace-period": "1h"}))
    await edge.request("told")
    records = (await edge.admin("/v1/services/told/decisions"))["decisions"]
    [poke] = [record for record in records if record["poked"]]
    assert poke["replicas"] == 1
    assert poke["why"].endswith(".")
    view = await edge.look("told")
    assert (view["phase"], view["desired"], view["held"], view["open"]) == ("ready", 1, 0, 0)
    assert view["idle_since"] is not None
    assert view["last_cold_start_seconds"] > 0
