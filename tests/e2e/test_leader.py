"""Two edges: one leads, both route. The leader is killed under load, and both are killed and started again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import ClientSession

    from tests.e2e.conftest import Serve
    from tests.e2e.edges import Edge
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

TAKEOVER_SECONDS = 20
BROKEN = 0  # no answer: the connection ended
LIMITED = ("led-a", "led-b", "led-c")  # one of them is likely owned by each edge
RETENTION = 40  # seconds: longer than both edges take to be back and lead
SAVED = 10  # seconds: the oldest that saved state may be
CLOCKS = 2  # seconds: what edges agree upon is the API server's clock, which tells whole ones
SOON = 5


async def test_killing_the_leader_fails_only_its_own_requests_and_scales_nothing_down(
    tenant: Tenant, serve: Serve, session: ClientSession, figure: Figure
) -> None:
    edges = {edge.name: edge for edge in await serve(2)}
    leader = edges.pop(await leader_of(tenant, edges))
    (follower,) = edges.values()
    for model in LIMITED:
        await tenant.deploy(Model(model, replicas=2, least=2, concurrency=2))
    await tenant.deploy(Model("asleep", start=4))
    for model in LIMITED:
        await tenant.ready_pods(model, 2)
    histories: dict[str, list[tuple[float, int]]] = {model: [] for model in (*LIMITED, "asleep")}
    watching = [asyncio.create_task(tenant.history(*each)) for each in histories.items()]
    client, doomed = Client(session, follower.listen), Client(session, leader.listen)
    theirs, ours = Load(), Load()
    for_killed = [asyncio.create_task(ask(theirs, doomed, model, 5)) for model in LIMITED]
    for_living = [asyncio.create_task(ask(ours, client, model, 5 + TAKEOVER_SECONDS + SOON)) for model in LIMITED]
    await asyncio.sleep(3)
    stream = asyncio.create_task(client.ask("led-a", "/?stream=15"))
    held = [asyncio.create_task(client.ask("asleep")) for _ in range(4)]
    await asyncio.sleep(2)
    await leader.kill()
    killed = time.time()
    await leader_of(tenant, {follower.name: follower})
    seconds = time.time() - killed
    await asyncio.gather(*for_killed, *for_living)
    for task in watching:
        task.cancel()
    assert ours.failures == []
    assert {answer.status for answer in theirs.answers if answer.ended < killed - 0.1} == {200}
    assert {answer.status for answer in theirs.answers if answer.begun > killed} <= {BROKEN}
    assert [str(answer) for answer in [await stream, *(await asyncio.gather(*held))] if not answer.good] == []
    for model in LIMITED:
        led = [replicas for at, replicas in histories[model] if at < killed][-1]
        gap = [replicas for at, replicas in histories[model] if killed <= at < killed + seconds]
        assert all(replicas >= led for replicas in gap), f"{model} was scaled down: {led}, {gap}"
    assert [replicas for at, replicas in histories["asleep"] if at < killed + seconds] == [0, 1]
    assert seconds < TAKEOVER_SECONDS
    figure(f"the leader was killed: {len(ours.answers)} requests by the other edge, which led {seconds:.1f} s later")
    for model in LIMITED:
        await tenant.remove(model)


async def test_idle_clocks_go_on_when_both_edges_are_killed_and_started_again(
    tenant: Tenant, serve: Serve, session: ClientSession, figure: Figure
) -> None:
    edges = await serve(2)
    await leader_of(tenant, names(edges))
    retention = {"autoscaling.knative.dev/scale-to-zero-pod-retention-period": f"{RETENTION}s"}
    await tenant.deploy(Model("retained", annotations=retention))
    answer = await Client(session, edges[1].listen).ask("retained")
    assert answer.good, answer
    await asyncio.sleep(SAVED)
    await asyncio.gather(*(edge.restart() for edge in edges))

    async def asleep() -> bool | None:
        return not await tenant.replicas("retained") or None

    await eventually(asleep, 2 * RETENTION)
    idle = time.time() - answer.ended
    figure(
        f"both edges were killed and started again: a model that is retained for {RETENTION} s went after {idle:.1f} s"
    )
    assert RETENTION - CLOCKS <= idle < RETENTION + SAVED


async def ask(load: Load, client: Client, model: str, seconds: float) -> None:
    async with load.running(client, model, clients=4, target="/?seconds=0.05"):
        await asyncio.sleep(seconds)


def names(edges: Iterable[Edge]) -> dict[str, Edge]:
    return {edge.name: edge for edge in edges}


async def leader_of(tenant: Tenant, edges: dict[str, Edge]) -> str:
    """Wait until the Lease is held by one of `edges`; return its name."""

    async def look() -> str | None:
        leases = (await tenant.api.get(tenant.path("leases")))["items"]
        holders = [lease["spec"].get("holderIdentity", "") for lease in leases]
        return next((name for name in edges if any(name in holder for holder in holders)), None)

    return str(await eventually(look, TAKEOVER_SECONDS * 2))
