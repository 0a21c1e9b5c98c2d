from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from activator.catalog.annotations import KNATIVE
from activator.cli import app
from activator.kube import permissions
from activator.kube.permissions import NAME
from activator.origin import KEY
from activator.restore import restore
from tests.activator.catalog.deployed import SETTINGS, annotated, deployment
from tests.activator.catalog.kserve.objects import made, service
from tests.activator.kube.talk import client_of, kubeconfig
from tests.models.cluster import Cluster

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


async def restored(
    *deployments: dict[str, Any], denied: bool = False, services: list[dict[str, Any]] | None = None
) -> tuple[list[str], dict[str, int]]:
    """Return what is told, and the replicas that each Deployment then has. `services` None = there is no such
    kind."""
    cluster = Cluster()
    await cluster.start()
    for each in deployments:
        cluster.put("deployments", each)
    if denied:
        cluster.faults.denied.add(("patch", "deployments/scale"))
    for each in services or ():
        cluster.put("inferenceservices", each)
    if services is None:
        cluster.faults.fail = lambda verb, resource: 404 if resource == "inferenceservices" else None
    settings = SETTINGS.model_copy(update={"kserve": True})
    client = client_of(cluster)
    client.guard = permissions.check
    try:
        lines = [str(each) for each in await restore(client, settings)]
        return lines, {name: item["spec"]["replicas"] for name, item in cluster.objects["deployments"].items()}
    finally:
        await client.close()
        await cluster.stop()


def running(item: dict[str, Any], replicas: int) -> dict[str, Any]:
    item["spec"]["replicas"] = replicas
    return item


async def test_what_sleeps_gets_a_replica_or_its_min_scale_and_what_runs_is_left_alone() -> None:
    other = deployment("other", "x")
    del other["metadata"]["labels"]
    lines, replicas = await restored(
        deployment("asleep", "a", hosts="a.example"),
        annotated("two", "b", {f"{KNATIVE}min-scale": "2"}),
        running(deployment("busy", "c", hosts="c.example"), 5),
        deployment("filed-1", "x"),
        other,
    )
    assert replicas == {"asleep": 1, "two": 2, "busy": 5, "filed-1": 1, "other": 0}
    assert lines == ["asleep: 0 -> 1", "busy: has 5", "filed-1: 0 -> 1", "two: 0 -> 2"]


async def test_what_kserve_made_is_woken_if_it_is_ours_to_scale() -> None:
    parts = (made("m-predictor", replicas=0), made("n-predictor", "n", replicas=0))
    other = service("n", annotations={"serving.kserve.io/autoscalerClass": "keda"})
    lines, replicas = await restored(*parts, services=[service(predictor={"minReplicas": 2}), other])
    assert replicas == {"m-predictor": 2, "n-predictor": 0}
    assert lines[-1] == "m-predictor: 0 -> 2"


async def test_inference_services_that_may_not_be_read_are_told_and_keep_none_of_the_others() -> None:
    cluster = Cluster()
    await cluster.start()
    cluster.put("deployments", deployment("a-1", "a", hosts="a.example"))
    cluster.faults.denied.add(("list", "inferenceservices"))
    client = client_of(cluster)
    try:
        results = await restore(client, SETTINGS.model_copy(update={"kserve": True}))
    finally:
        await client.close()
        await cluster.stop()
    assert str(results[0]) == "a-1: 0 -> 1"
    assert str(results[-1]).startswith("inferenceservices: none of theirs is woken: the API server answered 403")


async def test_one_with_a_mistake_is_woken_all_the_same() -> None:
    lines, _ = await restored(annotated("bad", "a", {f"{KNATIVE}min-scale": "x"}))
    assert "bad: 0 -> 1" in lines


async def test_a_revision_of_the_file_without_a_deployment_is_told() -> None:
    lines, _ = await restored()
    assert lines == ["filed-1: there is no such Deployment"]


async def test_one_that_may_not_be_scaled_keeps_none_of_the_others() -> None:
    lines, replicas = await restored(
        deployment("a-1", "a", hosts="a.example"), deployment("b-1", "b", hosts="b.example"), denied=True
    )
    assert [line.partition(":")[0] for line in lines if "403" in line] == ["a-1", "b-1"]
    assert replicas == {"a-1": 0, "b-1": 0}


async def test_the_command_reads_the_config_map_of_the_edge_and_says_what_it_did(tmp_path: Path) -> None:
    cluster = Cluster()
    await cluster.start()
    cluster.put("deployments", deployment("m-1", "m", hosts="m.example"))
    arguments = ["restore", "--config", f"configmap/{NAME}"]
    environment = {"KUBECONFIG": str(kubeconfig(cluster, tmp_path))}
    try:
        missing = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert (missing.exit_code, "does not exist in this namespace" in missing.output) == (2, True)
        cluster.put("configmaps", {"metadata": {"name": NAME}, "data": {KEY: "scaler: kubernetes\nservices: []"}})
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert (done.exit_code, done.stdout) == (0, "m-1: 0 -> 1\n")
        cluster.faults.denied.add(("list", "configmaps"))
        denied = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert (denied.exit_code, "403" in denied.output) == (1, True)
        await cluster.stop()
        away = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert (away.exit_code, f"configmap/{NAME}" in away.output) == (1, True), "it does not wait for ever"
    finally:
        await cluster.stop()
