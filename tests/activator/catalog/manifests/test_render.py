"""What is printed for kubectl: complete, the same every time, and read back by our own catalog to the same services."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes_asyncio.client import ApiClient, Configuration

from activator.catalog import file
from activator.catalog.manifests import local, previous, read, render, use
from activator.catalog.merge import Deployments
from activator.settings.manifests import Manifests as Keys
from activator.settings.schema import Settings
from tests.activator.catalog.manifests.written import IMAGE, alpha, beta, custom, joined, knative, loaded, written
from tests.activator.settings.files import loaded as settings_of

if TYPE_CHECKING:
    from activator.catalog.manifests.model import Manifests
    from activator.catalog.model import Canary, Catalog
    from router.table import Service

EXAMPLES = sorted((Path(__file__).parents[4] / "examples" / "inferenceservices").glob("*.yaml"))
BOX = {"custom": {"container": {"image": "m:1"}}}
OTHER = {"custom": {"container": {"image": "m:2"}}}
NOTES = {
    "autoscaling.knative.dev/window": "3m",
    "autoscaling.knative.dev/target": "2.5",
    "autoscaling.knative.dev/scaleToZeroPodRetentionPeriod": "20m",
    "serving.knative.dev/progress-deadline": "2h",
    "gpu-activator/hold-timeout": "1h",
    "gpu-activator/max-scale-up-rate": "3",
}
MANIFESTS = [
    beta(custom(minReplicas=2, maxReplicas=3, containerConcurrency=1, timeout=60), annotations=NOTES),
    beta(transformer=custom(), explainer=custom()),
    beta(canary=[{"predictor": {"name": "blue", "containers": [{**IMAGE, "image": "c:1"}]}, "trafficPercent": 7}]),
    alpha({"predictor": BOX, "transformer": BOX}, {"predictor": OTHER, "transformer": OTHER}, canaryTrafficPercent=20),
    knative({"containerConcurrency": 2, "timeoutSeconds": 30}, annotations={"autoscaling.knative.dev/metric": "rps"}),
]


def printed(manifests: Manifests, settings: Settings | None = None) -> list[Any]:
    return list(yaml.safe_load_all(use.for_cluster(manifests, settings or Settings())))


def objects(manifests: Manifests, kind: str) -> list[Any]:
    return [each for each in printed(manifests) if each["kind"] == kind]


def from_deployments(manifests: Manifests) -> Catalog:
    """Return what the catalog of Deployments makes of what is printed."""
    merged = Deployments().merge(settings_of("{scaler: memory, services: []}"), objects(manifests, "Deployment"))
    assert (merged.problems, merged.refused) == ({}, frozenset())
    return file.build(merged.settings)


def from_a_file(manifests: Manifests) -> Catalog:
    """Return what the catalog of a file makes of the local rendering."""
    commands = [f"{application.name}=model" for application in manifests.applications]
    return file.build(settings_of(use.for_here(manifests, commands, Settings(), None)))


def by_name(catalog: Catalog) -> dict[str, Service]:
    return {service.name: service for service in catalog.table.services}


def tried(catalog: Catalog) -> dict[str, Canary]:
    """Return the canaries, without what tells apart what they run."""
    return {service: replace(canary, identity="") for service, canary in catalog.canaries.items()}


def all_of_them() -> list[Any]:
    found = [pytest.param(read.read([path], Keys()), id=path.stem) for path in EXAMPLES]
    found += [pytest.param(loaded(written(data)), id=f"manifest-{number}") for number, data in enumerate(MANIFESTS)]
    latest = beta(custom(nodeSelector={"v": "2"}, canaryTrafficPercent=10))
    return [*found, pytest.param(joined(latest, beta(custom(nodeSelector={"v": "1"}))), id="previous")]


@pytest.mark.parametrize("manifests", all_of_them())
def test_what_is_printed_is_read_back_to_the_same_services(manifests: Manifests) -> None:
    manifests = previous.join(manifests, None)
    back, here = from_deployments(manifests), from_a_file(manifests)
    components = [each for application in manifests.applications for each in application.components]
    found, same = by_name(back), by_name(here)
    assert set(found) == {each.name for each in components}
    for each in components:
        assert found[each.name].paths == same[each.name].paths == each.paths
        assert set(found[each.name].shares) == set(same[each.name].shares)
        assert {(share.revision.name, share.percent, share.tag or "") for share in found[each.name].shares} == {
            (revision.name, revision.percent, revision.tag) for revision in each.revisions
        }
        assert set(each.names) <= set(found[each.name].hosts)
        assert (found[each.name].models, found[each.name].sticky) == (same[each.name].models, same[each.name].sticky)
        assert found[each.name].other_models == same[each.name].other_models
    assert tried(back) == tried(here)
    for name, plan in back.plans.items():
        assert plan.wakes == here.plans[name].wakes
        assert (plan.spec, plan.bounds) == (here.plans[name].spec, here.plans[name].bounds)


@pytest.mark.parametrize("manifests", all_of_them())
def test_what_is_printed_is_what_kubernetes_wants(manifests: Manifests) -> None:
    manifests = previous.join(manifests, None)
    revisions = {
        revision.name: revision for application in manifests.applications for _, revision in application.revisions()
    }
    deployments = objects(manifests, "Deployment")
    assert [each["metadata"]["name"] for each in deployments] == list(revisions)
    for each in deployments:
        selector, template = each["spec"]["selector"]["matchLabels"], each["spec"]["template"]
        assert selector.items() <= template["metadata"]["labels"].items()
        assert template["spec"] == revisions[each["metadata"]["name"]].spec
        assert "replicas" not in each["spec"]
        for value in (*each["metadata"]["annotations"].values(), *each["metadata"]["labels"].values()):
            assert isinstance(value, str)
        assert len(each["metadata"]["name"]) <= 63


def test_the_same_files_are_printed_the_same_way_whatever_the_order_of_their_keys() -> None:
    turned = {key: MANIFESTS[0][key] for key in reversed(MANIFESTS[0])}
    assert use.for_cluster(loaded(written(turned)), Settings()) == use.for_cluster(
        loaded(written(MANIFESTS[0])), Settings()
    )


def test_services_lead_to_the_edge_so_that_a_call_can_wake_a_model() -> None:
    settings = Settings.model_validate({"manifests": {"edge": "my-edge"}})
    services = [
        each for each in printed(loaded(written(beta(transformer=custom()))), settings) if each["kind"] == "Service"
    ]
    assert [each["metadata"]["name"] for each in services] == ["m", "m-transformer", "m-predictor"]
    for each in services:
        assert each["spec"]["selector"] == {"app.kubernetes.io/name": "my-edge"}
        assert each["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
        assert each["metadata"]["namespace"] == "ml"


def test_a_tag_has_a_service_of_its_own() -> None:
    manifests = loaded(written(alpha({"predictor": BOX}, {"predictor": OTHER})))
    assert "canary-m" in [each["metadata"]["name"] for each in objects(manifests, "Service")]


def test_hosts_are_those_by_which_a_service_is_called_in_a_cluster_and_from_outside() -> None:
    [application] = loaded(written(knative())).applications
    keys = Keys.model_validate({"domain": "models.example"})
    assert render.hosts_of(application, application.components[0], keys) == (
        "m",
        "m.ml",
        "m.ml.svc",
        "m.ml.svc.cluster.local",
        "m.ml.models.example",
    )


def test_without_a_namespace_nothing_is_said_of_one() -> None:
    manifests = loaded(written({**beta(), "metadata": {"name": "m"}}))
    deployment = objects(manifests, "Deployment")[0]
    assert "namespace" not in deployment["metadata"]
    assert deployment["metadata"]["annotations"]["gpu-activator/hosts"].startswith("m,m.default,")


def test_the_strategy_and_the_pods_annotations_are_printed() -> None:
    data = beta(custom(deploymentStrategy={"type": "Recreate"}), annotations={"example.com/a": "b"})
    [deployment] = objects(loaded(written(data)), "Deployment")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {"example.com/a": "b"}


def test_knatives_object_is_never_made_to_look_like_kserves() -> None:
    """KServe deletes Deployments with its own labels that it does not expect."""
    for data in MANIFESTS:
        assert "serving.kserve.io/inferenceservice" not in use.for_cluster(loaded(written(data)), Settings())


def test_local_and_cluster_have_the_same_revisions() -> None:
    manifests = loaded(written(*MANIFESTS[:1]))
    [service] = local.local(manifests.applications, {"m": "model"}, 8080)
    assert service["revisions"][0]["name"] == objects(manifests, "Deployment")[0]["metadata"]["name"]


@pytest.mark.parametrize("label", ["networking.kserve.io/visibility", "networking.knative.dev/visibility"])
def test_what_is_local_to_the_cluster_has_no_host_outside_of_it(label: str) -> None:
    data = knative()
    data["metadata"]["labels"] = {label: "cluster-local"}
    [application] = loaded(written(data)).applications
    keys = Keys.model_validate({"domain": "models.example"})
    assert render.hosts_of(application, application.components[0], keys)[-1] == "m.ml.svc.cluster.local"


class Body:
    """A response of the API, as its client reads it."""

    def __init__(self, data: Any) -> None:
        self.data = json.dumps(data)


@pytest.mark.parametrize("manifests", all_of_them())
async def test_the_client_of_kubernetes_knows_every_field_that_is_printed(manifests: Manifests) -> None:
    async with ApiClient(Configuration()) as client:
        for each in printed(previous.join(manifests, None)):
            known = client.deserialize(Body(each), f"V1{each['kind']}")
            assert client.sanitize_for_serialization(known) == each
