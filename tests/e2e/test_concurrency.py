"""Two edges share the slots of four pods that take one request each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.e2e.figures import spread
from tests.e2e.load import Client, Load
from tests.e2e.manifests import MAX_SCALE, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

    from tests.e2e.conftest import Serve
    from tests.e2e.load import Answer
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]

PODS = 4
WORK = 0.2
SECONDS = 10
WASTED = 0.05  # a pod may be idle so long while requests wait


async def test_no_pod_sees_two_requests_at_once_and_none_is_left_idle(
    tenant: Tenant, serve: Serve, session: ClientSession, figure: Figure
) -> None:
    edges = await serve(2)
    most = {MAX_SCALE: str(PODS)}
    await tenant.deploy(Model("single-file", replicas=PODS, least=PODS, concurrency=1, annotations=most))
    await tenant.ready_pods("single-file", PODS)
    loads = [Load(), Load()]
    async with asyncio.TaskGroup() as group:
        for edge, load in zip(edges, loads, strict=True):
            group.create_task(ask(load, Client(session, edge.listen)))
    answers = [answer for load in loads for answer in load.answers]
    assert [str(answer) for answer in answers if not answer.good] == []
    assert {answer.facts["most"] for answer in answers} == {1}
    assert len({answer.facts["pod"] for answer in answers}) == PODS
    seconds = max(answer.ended for answer in answers) - min(answer.begun for answer in answers)
    idle = idle_times(answers)
    figure(f"two edges, four pods with one slot each: {len(answers) / seconds:.1f}/s of {PODS / WORK:.0f}/s")
    figure(f"a pod was idle between two requests: {spread([1000 * each for each in idle])}")
    assert max(idle) <= WASTED
    await tenant.remove("single-file")


def idle_times(answers: list[Answer]) -> list[float]:
    """Return how many seconds pods had nothing to do between two requests, by their own clocks."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for answer in answers:
        spans[answer.facts["pod"]].append((answer.facts["begun"], answer.facts["now"]))
    return [later - ended for each in spans.values() for (_, ended), (later, _) in pairwise(sorted(each))]


async def ask(load: Load, client: Client) -> None:
    async with load.running(client, "single-file", clients=2 * PODS, target=f"/?seconds={WORK}"):
        await asyncio.sleep(SECONDS)
