"""A canary behind several edges: the one that leads judges it by what all of them were answered, and tells its
Deployment."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import LABEL, OWN
from tests.activator.kube.talk import until
from tests.journeys.test_peers import Stage, on_stage
from tests.models.kubelet import deployment

if TYPE_CHECKING:
    from pathlib import Path

STABLE, CANARY = "tried-1", "tried-2"


def put(stage: Stage, name: str, **ours: str) -> None:
    """Let a Deployment of the service `tried` come."""
    item: Any = deployment(name)
    container = item["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"containerPort": stage.pods.port}]
    container["readinessProbe"]["httpGet"]["port"] = stage.pods.port
    item["metadata"]["labels"] = {**item["metadata"].get("labels", {}), LABEL: "tried"}
    notes = {f"{OWN}{key.replace('_', '-')}": value for key, value in ours.items()}
    item["metadata"]["annotations"] = {**notes, "autoscaling.knative.dev/min-scale": "1"}
    stage.cluster.put("deployments", item)


def reasons(stage: Stage, name: str) -> list[str]:
    found = stage.cluster.objects.get("events", {}).values()
    return [each["reason"] for each in found if each["regarding"]["name"] == name and "Canary" in each["reason"]]


async def test_what_only_a_follower_is_answered_takes_a_bad_canary_out(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.pods.broken.add(CANARY)
        put(stage, STABLE, hosts="tried.localhost", percent="50")
        put(stage, CANARY, hosts="tried.localhost", percent="50", canary_revision=CANARY)
        leader = await stage.leader()
        (follower,) = [edge for edge in stage.edges if edge is not leader]
        for edge in stage.edges:
            await edge.eventually(partial(known, edge))
        await until(lambda: "CanaryWarm" in reasons(stage, CANARY), within=60)

        async def out() -> bool | None:
            await asyncio.gather(*(follower.request("tried") for _ in range(20)))
            return "CanaryRolledBack" in reasons(stage, CANARY) or None

        await leader.eventually(out)
        assert reasons(stage, CANARY) == ["CanaryBegun", "CanaryWarm", "CanaryRolledBack"]
        assert not reasons(stage, STABLE)
        [line] = [each for each in leader.logs("canary") if each["kind"] == "rolled-back"]
        assert line["canary"]["failed"] == line["canary"]["requests"] >= 20

        async def good() -> bool | None:
            answers = await asyncio.gather(*(follower.request("tried") for _ in range(20)))
            return {answer.status for answer in answers} == {200} or None

        await follower.eventually(good)


async def known(edge: Any) -> bool | None:
    services = (await edge.admin("/v1/services"))["services"]
    return next((len(each["revisions"]) == 2 for each in services if each["name"] == "tried"), None) or None
