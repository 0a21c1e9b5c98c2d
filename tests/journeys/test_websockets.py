"""A real WebSocket client and a real server, with the whole edge between them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.journeys.services import MODELS, configuration, revision, service

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge
    from tests.journeys.services import Keys

ECHOING = [sys.executable, str(MODELS / "echoing.py")]


def echoing(name: str, **changes: object) -> Keys:
    return service(name, revision(f"{name}-1", ECHOING), **changes)


def dial(edge: Edge, name: str, path: str = "/", **options: object) -> connect:
    """Return a client that connects to the edge, for a service."""
    host, _, port = edge.daemon.listen.rpartition(":")
    return connect(f"ws://{name}.localhost{path}", host=host, port=int(port), open_timeout=20, **options)  # type: ignore[arg-type]


async def closed_with(client: ClientConnection) -> tuple[int, str]:
    """Return the code and reason with which the other side closed; 1006 = it did not say anything."""
    with pytest.raises(ConnectionClosed) as closed:
        await client.recv()
    received = closed.value.rcvd
    return (received.code, received.reason) if received is not None else (1006, "")


async def test_messages_pass_both_ways_from_zero_on(edge: Edge) -> None:
    await edge.deploy(echoing("echo"))
    async with dial(edge, "echo") as client:
        for number in range(200):
            await client.send(f"message {number}")
        assert [await client.recv() for _ in range(200)] == [f"message {number}" for number in range(200)]
        large = os.urandom(900_000)
        await client.send(large)
        assert await client.recv() == large
        assert (await edge.look("echo"))["open"] == 1
    assert client.close_code == 1000

    async def counted() -> bool | None:
        known = {"service_name": "echo", "response_code": "101", "response_code_class": "1xx"}
        return await edge.metric("revision_request_count", **known) == 1 or None

    await edge.eventually(counted)


async def test_many_at_once_do_not_disturb_each_other(edge: Edge) -> None:
    await edge.deploy(echoing("many"))

    async def converse(number: int) -> bool:
        async with dial(edge, "many") as client:
            for count in range(50):
                await client.send(f"{number}/{count}")
                if await client.recv() != f"{number}/{count}":
                    return False
        return True

    assert all(await asyncio.gather(*(converse(number) for number in range(20))))


@pytest.mark.parametrize("code", [1000, 1011, 4999])
async def test_the_servers_close_code_reaches_the_client(edge: Edge, code: int) -> None:
    await edge.deploy(echoing("closing"))
    async with dial(edge, "closing", f"/close/{code}") as client:
        await client.send("close")
        assert await closed_with(client) == (code, "as you wish")


async def test_a_refusal_is_the_models_own(edge: Edge) -> None:
    await edge.deploy(echoing("refusing"))
    with pytest.raises(InvalidStatus) as refused:
        await dial(edge, "refusing", "/refuse")
    response = refused.value.response
    assert (response.status_code, response.body) == (403, b"no\n")
    assert "Activator-Reason" not in response.headers


async def test_a_second_one_is_held_until_the_first_has_ended(edge: Edge) -> None:
    limits = {"requests": {"container-concurrency": 1}, "autoscaling": {"max-scale": 1}}
    await edge.deploy(echoing("single", **limits))
    async with dial(edge, "single") as first:
        second = asyncio.create_task(_echo(edge, "single"))
        await edge.held("single", 1)
        await first.send("still alone")
        assert await first.recv() == "still alone"
        assert not second.done()
    assert await second == "hello"


async def _echo(edge: Edge, name: str) -> str | bytes:
    async with dial(edge, name) as client:
        await client.send("hello")
        return await client.recv()


async def test_a_client_that_is_killed_leaves_nothing_open(edge: Edge) -> None:
    await edge.deploy(echoing("killed", requests={"on-disconnect": "finish"}))
    client = await dial(edge, "killed")
    client.transport.abort()

    async def gone() -> bool | None:
        return (await edge.look("killed"))["open"] == 0 or None

    await edge.eventually(gone)


async def test_a_drain_closes_what_does_not_end_in_time(serve: Serve) -> None:
    edge = serve(configuration(echoing("draining"), **{"drain-timeout": "500ms", "access-log": True}))
    async with dial(edge, "draining") as client:
        edge.daemon.signal(signal.SIGTERM)
        await edge.until(lambda: edge.logs("draining"))
        await client.send("still here")
        assert await client.recv() == "still here"
        assert await closed_with(client) == (1006, "")
    assert await asyncio.to_thread(edge.daemon.ended) == 0
    (line,) = edge.logs("request")
    assert (line["status"], line["reason"]) == (101, "shutting_down")
