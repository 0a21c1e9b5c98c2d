"""A model at zero is woken by one request, which is held and answered."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.e2e.figures import spread
from tests.e2e.manifests import Model, sleeping
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.e2e.load import Answer, Client
    from tests.e2e.tenant import Tenant

    Figure = Callable[[str], None]
    History = list[tuple[float, int]]

MODELS = 10
WARM = 5


async def test_one_request_wakes_exactly_one_replica_and_is_answered(tenant: Tenant, client: Client) -> None:
    await tenant.deploy(Model("single", start=1))
    async with following(tenant, "single") as history:
        answer = await client.ask("single")
        pods = await tenant.pods("single")
        assert answer.good, answer
        assert answer.facts["most"] == 1
        await asyncio.sleep(2)
    assert [replicas for _, replicas in history] == [0, 1]
    assert [pod["metadata"]["name"] for pod in pods] == [answer.facts["pod"]]
    await tenant.at_zero("single")


async def test_a_burst_at_zero_is_answered_in_full(tenant: Tenant, client: Client) -> None:
    await tenant.deploy(Model("burst", start=1))
    answers = await asyncio.gather(*(client.ask("burst", "/?seconds=0.05") for _ in range(50)))
    assert [str(answer) for answer in answers if not answer.good] == []


async def test_a_listening_pod_is_sent_nothing_before_it_is_loaded(tenant: Tenant, client: Client) -> None:
    await tenant.deploy(Model("loading", start=0.5, load=2))
    answer = await client.ask("loading")
    assert answer.good, answer
    assert answer.facts["now"] >= answer.facts["ready"]


async def test_cold_starts_in_a_row_are_all_answered(tenant: Tenant, client: Client, figure: Figure) -> None:
    """The figures beside it: from the request to the order that the API server accepted, beside a bare warm PATCH, both
    seen by the same watch; from the pod's listening to the client's answer."""
    for number in range(min(MODELS, tenant.options.cold_starts)):
        await tenant.deploy(Model(f"cold-{number}", start=1))
    await tenant.api.post(tenant.path("deployments"), sleeping("bare", tenant.options))
    skew = await clock_skew(tenant, client)
    orders, bare, tails, failures = [], [], [], []
    for number in range(tenant.options.cold_starts):
        model = f"cold-{number % MODELS}"
        await tenant.at_zero(model)
        async with following(tenant, model) as history:
            answer = await client.ask(model)
        if not answer.good:
            failures.append(f"{number}: {answer}")
            continue
        assert [replicas for _, replicas in history] == [0, 1]
        orders.append(1000 * (history[1][0] - answer.begun))
        tails.append(1000 * (answer.ended - skew - answer.facts["listening"]))
        bare.append(1000 * await bare_patch(tenant, number % 2 + 1))
    figure(f"cold starts: {tenant.options.cold_starts}, of them not answered with 200: {len(failures)}")
    figure(f"a bare warm PATCH, until seen by a watch: {spread(bare)}")
    figure(f"a request at zero, until its PATCH is seen by a watch: {spread(orders)}")
    figure(f"the pod listens, until its held request is answered: {spread(tails)}")
    assert failures == []


@asynccontextmanager
async def following(tenant: Tenant, model: str) -> AsyncIterator[History]:
    """Note how many replicas are ordered, and when."""
    history: History = []
    task = asyncio.create_task(tenant.history(model, history))

    async def begun() -> bool | None:
        return bool(history) or None

    await eventually(begun)
    await asyncio.sleep(0.1)
    try:
        yield history
    finally:
        task.cancel()


async def bare_patch(tenant: Tenant, replicas: int) -> float:
    """Order replicas of a Deployment that nobody looks at; return the seconds until a watch has seen it."""
    await tenant.api.get("/version")
    async with following(tenant, "bare") as history:
        begun = time.time()
        await tenant.scale("bare", replicas)

        async def seen() -> bool | None:
            return history[-1][1] == replicas or None

        await eventually(seen)
    return history[-1][0] - begun


async def clock_skew(tenant: Tenant, client: Client) -> float:
    """Return how many seconds the pods' clock is behind ours, by the quickest of some warm requests."""
    answers: list[Answer] = [await client.ask("cold-0") for _ in range(WARM + 1)][1:]
    best = min(answers, key=lambda answer: answer.ended - answer.begun)
    return float((best.begun + best.ended) / 2 - best.facts["now"])
