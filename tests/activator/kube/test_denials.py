"""A right that is missing is told once, and once that it is there again; other refusals are not taken for that."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from activator import logs
from activator.kube.client import Address
from activator.kube.denials import LASTS, Denials
from activator.kube.errors import ApiError
from activator.kube.resources import DEPLOYMENTS, NODES

if TYPE_CHECKING:
    from activator.kube.client import Client
    from tests.models.cluster import Cluster


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(client: Client, clock: Clock) -> Client:
    client.on_end = Denials(logs.logger("edge"), clock).heard
    return client


async def told(client: Client, times: int = 1) -> list[str]:
    """Return what is told while a Deployment is scaled, and nodes are listed, so many times."""
    with capture_logs() as lines:
        for _ in range(times):
            with suppress(ApiError):
                await client.patch(Address(DEPLOYMENTS, "m-1", "scale"), {"spec": {"replicas": 1}})
            with suppress(ApiError):
                await client.list(NODES)
    return [line.get("error", line["event"]) for line in lines]


async def test_a_right_that_is_missing_is_told_once_and_that_it_is_there_again(
    cluster: Cluster, client: Client, clock: Clock
) -> None:
    cluster.put("deployments", {"metadata": {"name": "m-1"}, "spec": {"replicas": 0}})
    cluster.faults.denied |= {("patch", "deployments/scale"), ("list", "nodes")}  # which is optional
    assert await told(client, times=3) == [], "it may be one that has just started"
    clock.now += LASTS
    assert await told(client, times=3) == ["patch deployments/scale"]
    cluster.faults.denied.clear()
    assert await told(client, times=2) == ["a right is there again: patch deployments/scale"]
    cluster.faults.denied.add(("patch", "deployments/scale"))
    assert await told(client) == []
    cluster.faults.denied.clear()
    assert await told(client) == [], "what was not told is not told to be over"


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_an_answer_that_comes_before_rights_are_looked_at_is_no_right(
    cluster: Cluster, client: Client, clock: Clock, status: int
) -> None:
    cluster.put("deployments", {"metadata": {"name": "m-1"}, "spec": {"replicas": 0}})
    cluster.faults.denied.add(("patch", "deployments/scale"))
    await told(client)
    clock.now += LASTS
    assert await told(client) == ["patch deployments/scale"]
    cluster.faults.denied.clear()
    cluster.faults.fail = lambda verb, resource: status
    assert await told(client) == []


async def test_another_refusal_is_no_missing_right(cluster: Cluster, client: Client, clock: Clock) -> None:
    cluster.put("deployments", {"metadata": {"name": "m-1"}, "spec": {"replicas": 0}})
    cluster.faults.fail = lambda verb, resource: 403  # as by a webhook
    assert await told(client) == []
    clock.now += LASTS
    assert await told(client) == []
