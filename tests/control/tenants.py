"""What tenants write into Deployments: F36 with the list of T60, and T61."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.catalog.annotations import KNATIVE, OWN
from tests.control.fault import fault

if TYPE_CHECKING:
    from tests.control.stage import Stage

REFUSED = "ConfigurationRefused"
POISON = {
    f"{KNATIVE}target": ("NaN", "0", "-1", "²", "1e308", "9" * 1_000_000),
    f"{KNATIVE}min-scale": ("-1", "²", "1e308", "7", "one"),
    f"{KNATIVE}window": ("1ns", "-6s", "NaN", "6"),
    f"{KNATIVE}max-scale": ("-1", "2.5"),
    f"{KNATIVE}panic-threshold-percentage": ("0", "inf"),
}


@fault("F36", "annotations are poisoned; an edge that starts meanwhile goes on as it was before", 6, quick=4)
async def poisoned(stage: Stage) -> None:
    await stage.start()
    await stage.model("warm", (2, 4))
    await stage.model("bad", (0, 2))
    stage.expect((await stage.ask(stage.edges[0], "bad")).good, "it was not good before")
    cases = [(key, value) for key, values in POISON.items() for value in values]
    async with stage.load(), stage.load(service="bad", clients=1):
        for key, value in cases:
            stage.put("bad", (0, 2), annotations={key: value})
            await stage.wait(1 / len(cases))
        await stage.soon(lambda: _problems(stage))
        stage.expect(REFUSED in stage.events("bad"), "no Event tells of it")
        stage.expect(REFUSED not in stage.events("warm"), "an Event blames another Deployment")
    stage.expect(stage.replicas("bad") == 1, f"bad has {stage.replicas('bad')} replicas")
    stage.terms.facts["poisons"] = len(cases)
    await _starts_with_it(stage)


@fault("T61", "a younger Deployment claims the host of another", 2)
async def claimed(stage: Stage) -> None:
    await stage.start()
    await stage.model("warm", (2, 4))
    async with stage.load():
        stage.put("thief", annotations={f"{OWN}hosts": "warm.localhost"})
        younger = {"creationTimestamp": "2999-01-01T00:00:00Z"}
        stage.cluster.change("deployments", "thief-1", lambda item: item["metadata"].update(younger))
        await stage.wait()
    stage.expect(REFUSED in stage.events("thief"), "nothing was said")
    stage.expect(stage.replicas("thief") == 0, "it was woken by requests that are not its own")


async def _starts_with_it(stage: Stage) -> None:
    """Restart one edge after the other, so that none has seen what was good."""
    for edge in stage.edges:
        await asyncio.to_thread(edge.daemon.stop)
        await asyncio.to_thread(edge.daemon.start)
        await stage.together()
    for edge in stage.edges:
        row = await stage.ask(edge, "bad")
        stage.expect(row.good, f"bad is not served by {stage.name(edge)}: {row.kind}")
        stage.expect((await stage.ask(edge, "warm")).good, "another one is not served")
    stage.expect(stage.replicas("bad") == 1, f"bad has {stage.replicas('bad')} replicas after the restarts")


async def _problems(stage: Stage) -> bool | None:
    counts = [await edge.metric("activator_deployment_problems", deployment="bad-1") for edge in stage.edges]
    return all(counts) or None
