"""What happens to a canary is an Event on its Deployment: with the numbers, and once."""

from __future__ import annotations

import asyncio

import pytest

from activator.kube.events import NORMAL, WARNING
from activator.rollout_events import report
from activator.rollouts import Told
from activator.traffic.rollout import Event
from tests.activator.catalog.deployed import deployment
from tests.activator.kube.talk import until
from tests.activator.test_cluster import edges, events

BOTH = deployment("m-1", "m", hosts="m.example", percent="90"), deployment("m-2", "m", percent="10")


def told(kind: str, why: str = "It failed.", revision: str = "m-2") -> Told:
    return Told(1.0, "m", revision, Event(kind, why, {}))


@pytest.mark.parametrize(
    ("kind", "reason", "severity"),
    [
        ("begun", "CanaryBegun", NORMAL),
        ("warm", "CanaryWarm", NORMAL),
        ("step", "CanaryStep", NORMAL),
        ("held", "CanaryHeld", NORMAL),
        ("complete", "CanaryComplete", NORMAL),
        ("rolled-back", "CanaryRolledBack", WARNING),
        ("promoted", "CanaryPromoted", NORMAL),
        ("restarted", "CanaryRestarted", NORMAL),
    ],
)
def test_each_move_has_a_reason_of_its_own_and_a_rollback_is_a_warning(kind: str, reason: str, severity: str) -> None:
    about = deployment("m-2", "m")
    made = report(told(kind), about)
    assert (made.about, made.action, made.reason, made.kind) == (about, "Rollout", reason, severity)
    assert made.note == "It failed."


async def test_a_move_is_told_to_the_canarys_deployment() -> None:
    why = "m-2 was rolled back to 0 %: it fails more often: 6 of 21 requests failed, of the stable one's 0 of 206."
    async with edges(1, *BOTH) as (server, (edge,)):
        edge.cluster.moved(told("rolled-back", why))
        await until(lambda: edge.cluster.recorder.written == 1)
        assert ("m-2", "CanaryRolledBack", why) in events(server)


async def test_that_it_begins_is_told_once_though_every_edge_sees_it() -> None:
    async with edges(2, *BOTH) as (server, both):
        for edge in (*both, both[0]):
            edge.cluster.moved(told("begun", "m-2 gets 5 %."))
        await until(lambda: sum(edge.cluster.recorder.written for edge in both) == 3)
        assert [each for each in events(server) if each[1] == "CanaryBegun"] == [
            ("m-2", "CanaryBegun", "m-2 gets 5 %.")
        ]


async def test_a_revision_without_a_deployment_is_told_to_nobody() -> None:
    async with edges(1) as (server, (edge,)):
        edge.cluster.moved(told("step", revision="filed-1"))
        await asyncio.sleep(0.05)
        assert events(server) == []
