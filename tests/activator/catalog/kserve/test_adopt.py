"""What becomes of InferenceServices and of the Deployments that KServe made of them."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.catalog.annotations import KNATIVE, LABEL, OWN
from activator.catalog.kserve.adopt import Adopted, InferenceServices
from activator.catalog.manifests.annotations import MODE, SCALED_BY, STOP
from activator.catalog.manifests.read import Document, build
from activator.catalog.manifests.render import render
from activator.catalog.merge import Deployments
from activator.settings.source import Source
from tests.activator.catalog.deployed import SETTINGS, deployment
from tests.activator.catalog.kserve.objects import adopt, made, service
from tests.activator.catalog.manifests.test_mutations import damaged

if TYPE_CHECKING:
    from activator.settings.schema import Service


def names(adopted: Adopted) -> list[str]:
    return [each["metadata"]["name"] for each in adopted.deployments]


def services(adopted: Adopted, *others: dict[str, Any]) -> dict[str, Service]:
    """Return the services that come of it, and check that nothing is wrong with them."""
    merged = Deployments().merge(SETTINGS, [*others, *adopted.deployments])
    assert not merged.problems, merged.problems
    return {each.name: each for each in merged.settings.services if each.name != "filed"}


def test_the_deployment_that_kserve_made_is_a_revision() -> None:
    one = service(predictor={"minReplicas": 0, "maxReplicas": 3, "containerConcurrency": 2, "timeout": 60})
    (found,) = services(adopt(one, made("m-predictor"))).values()
    (revision,) = found.revisions
    assert (found.name, revision.name) == ("m", "m-predictor")
    assert {"m", "m.models", "m-predictor", "m-predictor.models.svc.cluster.local"} <= set(found.hosts)
    assert (revision.autoscaling.min_scale, revision.autoscaling.max_scale) == (0, 3)
    assert revision.requests.container_concurrency == 2
    assert revision.process.port == 8080


def test_deployments_are_found_by_the_names_of_all_versions_of_kserve() -> None:
    for name, predictor in (
        ("m-predictor", {}),
        ("m-predictor-default", {}),
        ("m-v1-predictor", {"name": "v1"}),
    ):
        assert names(adopt(service(predictor=predictor), made(name))) == [name]


def test_only_deployments_that_the_service_controls_are_its_own() -> None:
    other = made("m-predictor")
    other["metadata"]["ownerReferences"][0]["kind"] = "LLMInferenceService"
    former = made("m-predictor")
    former["metadata"]["ownerReferences"][0]["uid"] = "uid-of-an-earlier-m"
    for each in (other, former, deployment("m-predictor", "x")):
        assert not adopt(service(), each).deployments


def test_what_kserve_made_is_not_changed_and_carries_only_our_label() -> None:
    before = made("m-predictor")
    after = copy.deepcopy(before)
    (dressed,) = adopt(service(), after).deployments
    assert after == before
    assert dressed["metadata"]["labels"] == {LABEL: "m"}


def test_fields_win_over_annotations_and_min_scale_is_read_from_the_service() -> None:
    annotated = {f"{KNATIVE}min-scale": "5", f"{KNATIVE}maxScale": "4", f"{OWN}hold-timeout": "1h"}
    adopted = adopt(service(annotations=annotated, predictor={"minReplicas": 1}), made("m-predictor"))
    (revision,) = services(adopted)["m"].revisions
    assert (revision.autoscaling.min_scale, revision.autoscaling.max_scale) == (1, 4)
    assert revision.requests.hold_timeout == 3600
    assert "minReplicas is written over it" in str(adopted.problems["m"][0])
    assert not adopted.refused


def test_a_missing_minimum_is_the_settings() -> None:
    for low in (0, 1):
        adopted = adopt(service(predictor={}), made("m-predictor"), minimum=low)
        assert services(adopted)["m"].revisions[0].autoscaling.min_scale == low


def test_the_agents_port_goes_before_the_models() -> None:
    logged = made("m-predictor")
    agent = {"name": "agent", "ports": [{"containerPort": 9081}]}
    logged["spec"]["template"]["spec"]["containers"].append(agent)
    assert services(adopt(service(), logged))["m"].revisions[0].process.port == 9081


def test_the_agent_that_kserve_puts_into_the_pods_takes_the_requests() -> None:
    for key in ("logger", "batcher"):
        one = service(predictor={key: {}}, canary=[{"predictor": {"name": "v2"}, "trafficPercent": 1}])
        found = services(adopt(one, made("m-predictor", port=81), made("m-v2-predictor", port=82)))["m"]
        assert [each.process.port for each in found.revisions] == [9081, 82]


def test_a_transformer_in_the_predictors_pod_takes_the_requests_and_else_the_first_container() -> None:
    both = made("m-predictor", port=81)
    containers = both["spec"]["template"]["spec"]["containers"]
    containers[0]["name"] = "own"
    assert services(adopt(service(), both))["m"].revisions[0].process.port == 81
    containers.append({"name": "transformer-container", "ports": [{"containerPort": 82}]})
    assert services(adopt(service(), both))["m"].revisions[0].process.port == 82


def test_hosts_that_clients_call_already_are_known() -> None:
    one = service(annotations={f"{OWN}hosts": "own.example, two.example"})
    one["status"] = {
        "url": "http://m-models.example.com",
        "components": {"predictor": {"url": "http://m-predictor-models.example.com"}},
    }
    hosts = services(adopt(one, made("m-predictor")))["m"].hosts
    expected = {"m-models.example.com", "m-predictor-models.example.com", "own.example", "two.example"}
    assert expected <= set(hosts)


def test_a_host_that_several_share_by_path_is_left_out() -> None:
    one = service()
    one["status"] = {"url": "http://shared.example.com/serving/models/m"}
    assert "shared.example.com" not in services(adopt(one, made("m-predictor")))["m"].hosts


def test_our_annotations_about_the_service_count() -> None:
    adopted = adopt(service(annotations={f"{OWN}models": "gpt2,gpt-2"}), made("m-predictor"))
    assert services(adopted)["m"].models == ("gpt2", "gpt-2")


def test_models_are_called_as_the_server_in_the_pod_is_told() -> None:
    for args, models in ((["--model_name=bert"], ("bert",)), ([], ("m",))):
        found = services(adopt(service(), made("m-predictor", args=args)))["m"]
        assert found.models == models


CHAIN: dict[str, Any] = {"transformer": {"containers": [{}]}, "predictor": {"minReplicas": 0}}


def test_a_transformer_wakes_a_predictor_that_it_calls_through_the_edge() -> None:
    for args in (["--predictor_host", "m-wake.models:80"], ["--predictor_host=m-wake.models"]):
        adopted = adopt(service(**CHAIN), made("m-predictor"), made("m-transformer", args=args))
        found = services(adopted)
        assert found["m"].revisions[0].wakes == ("m-predictor",)
        assert "m-wake.models" in found["m-predictor"].hosts
        assert "m-wake.models" not in found["m"].hosts
        assert found["m-predictor"].revisions[0].autoscaling.min_scale == 0
        assert not adopted.problems


def test_a_predictor_that_is_called_past_the_edge_is_kept_awake() -> None:
    for args in (["--predictor_host", "m-predictor.models"], []):
        adopted = adopt(service(**CHAIN), made("m-predictor"), made("m-transformer", args=args))
        found = services(adopted)
        assert found["m-predictor"].revisions[0].autoscaling.min_scale == 1
        assert "is called past the edge" in str(adopted.problems["m"][0])


def test_nothing_is_served_until_all_of_its_deployments_are_there() -> None:
    assert not adopt(service(**CHAIN), made("m-predictor")).deployments
    assert not adopt(service(**CHAIN)).problems


def test_canaries_are_further_revisions_once_they_are_there() -> None:
    canaries = [{"trafficPercent": 20, "predictor": {"name": "v2"}}, {"trafficPercent": 5, "predictor": {"name": "v3"}}]
    one = service(predictor={"name": "v1"}, canary=canaries)
    (found,) = services(adopt(one, made("m-v1-predictor"), made("m-v2-predictor"))).values()
    assert {each.revision: (each.percent, each.tag) for each in found.traffic} == {
        "m-v1-predictor": (80, None),
        "m-v2-predictor": (20, "v2"),
    }
    assert (found.canary.revision, found.canary.stable) == ("m-v2-predictor", "m-v1-predictor")


def test_no_label_by_which_kserve_finds_its_own_is_on_what_is_rendered() -> None:
    """KServe 0.20 deletes what carries both and is not its own."""
    manifest = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "m"}}
    manifest["spec"] = {"predictor": {"sklearn": {"storageUri": "pvc://c/p"}}}
    found = build([Document(Source("m.yaml", manifest), (), manifest)], SETTINGS.manifests)
    for item in render(found.applications, SETTINGS.manifests):
        assert not {"component", "serving.kserve.io/inferenceservice"} & item["metadata"]["labels"].keys()


def test_a_share_that_kserve_ignores_is_warned_of() -> None:
    adopted = adopt(service(predictor={"canaryTrafficPercent": 10}), made("m-predictor"))
    assert "has no effect in this mode of KServe" in str(adopted.problems["m"][0])
    assert services(adopted)["m"].traffic[0].percent == 100


def test_one_that_kserve_or_knative_scales_is_left_alone_and_told_what_to_set() -> None:
    for changes, said in (
        ({SCALED_BY: "hpa"}, f"annotate it with {SCALED_BY}: external"),
        ({SCALED_BY: "none"}, f"annotate it with {SCALED_BY}: external"),
        ({MODE: "Serverless"}, f"annotate it with {MODE}: RawDeployment"),
        ({MODE: "Knative"}, f"annotate it with {MODE}: RawDeployment"),
    ):
        adopted = adopt(service(annotations=changes), made("m-predictor"))
        assert not adopted.deployments
        assert said in str(adopted.left["m"][0])
        assert not adopted.problems


def test_one_without_a_class_is_scaled_by_kserves_own() -> None:
    one = service()
    del one["metadata"]["annotations"][SCALED_BY]
    assert "none, which is hpa" in str(adopt(one, made("m-predictor")).left["m"][0])


def test_the_class_of_a_component_counts_for_it() -> None:
    one = service(predictor={"annotations": {SCALED_BY: "keda"}})
    assert "spec.predictor.annotations" in str(adopt(one, made("m-predictor")).left["m"][0])


def test_the_mode_may_be_the_clusters() -> None:
    one = service()
    del one["metadata"]["annotations"][MODE]
    assert names(adopt(one, made("m-predictor"))) == ["m-predictor"]
    one["status"] = {"deploymentMode": "Serverless"}
    assert adopt(one, made("m-predictor")).left
    one["metadata"]["annotations"][MODE] = "RawDeployment"
    assert adopt(one, made("m-predictor")).left, "KServe keeps to the mode that it began with"


def test_models_over_several_nodes_are_left_alone() -> None:
    adopted = adopt(service(predictor={"workerSpec": {}}), made("m-predictor"))
    assert not adopted.deployments
    assert "several nodes" in str(adopted.left["m"][0])


def test_one_that_is_stopped_or_going_is_absent() -> None:
    going = service()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    for each in (service(annotations={STOP: "true"}), going):
        adopted = adopt(each, made("m-predictor"))
        assert (adopted.deployments, adopted.problems, adopted.left) == ((), {}, {})


def test_one_with_a_mistake_goes_on_as_it_was_and_touches_no_other() -> None:
    known = InferenceServices()
    parts = (made("m-predictor"), made("n-predictor", "n"))
    good = service(predictor={"maxReplicas": 2})
    adopt(good, service("n"), *parts, known=known)
    bad = service(annotations={f"{KNATIVE}window": "soon"}, predictor={"maxReplicas": 5})
    adopted = adopt(bad, service("n"), *parts, known=known)
    assert adopted.refused == {"m"}
    assert sorted(names(adopted)) == ["m-predictor", "n-predictor"]
    assert services(adopted)["m"].revisions[0].autoscaling.max_scale == 2
    assert list(adopted.problems) == ["m"]
    assert names(adopt(bad, service("n"), *parts)) == ["n-predictor"]
    later = InferenceServices()
    later.restore(json.loads(json.dumps(known.dump())))
    assert adopt(bad, service("n"), *parts, known=later) == adopted
    assert later.dump() == known.dump()
    adopt(good, service("n"), *parts, known=later)
    assert later.dump() == {}


@pytest.mark.parametrize(
    "saved", [1, [1], [{}], [{"metadata": {"name": "m-predictor"}}], [{"metadata": {"name": "x"}}]]
)
def test_what_is_saved_and_makes_no_sense_does_no_harm(saved: Any) -> None:
    known = InferenceServices()
    known.restore({"uid-of-m": saved})
    bad = service(annotations={f"{KNATIVE}window": "soon"})
    adopted = adopt(bad, service("n"), made("m-predictor"), made("n-predictor", "n"), known=known)
    merged = Deployments().merge(SETTINGS, adopted.deployments)
    assert [each.name for each in merged.settings.services] == ["filed", "n"]


def test_problems_are_told_where_they_can_be_mended() -> None:
    clash = deployment("own", "own", hosts="m.models")
    adopted = adopt(service(), made("m-predictor"))
    told = adopted.told(Deployments().merge(SETTINGS, [clash, *adopted.deployments]))
    assert set(told.refused) <= {"inferenceservice/m", "own"}
    assert set(told.problems) == set(told.refused) != set()


WHOLE = {
    **service(
        annotations={f"{KNATIVE}target": "3", f"{OWN}models": "x"},
        predictor={"name": "v1", "minReplicas": 0, "maxReplicas": 2, "scaleTarget": 1, "scaleMetric": "rps"},
        transformer={"containers": [{"args": []}], "timeout": 5, "annotations": {f"{KNATIVE}window": "60s"}},
        explainer={"minReplicas": 1},
        canary=[{"trafficPercent": 10, "predictor": {"name": "v2"}}],
    ),
    "status": {"url": "http://m.example", "components": {"predictor": {"url": "http://p.example"}}},
}
PARTS = [made(f"m-{name}") for name in ("v1-predictor", "v2-predictor", "transformer", "explainer")]


@settings(max_examples=150, deadline=None)
@given(damaged(WHOLE), st.sampled_from(PARTS).flatmap(damaged))
def test_whatever_an_api_server_might_hold_nothing_crashes(one: Any, part: Any) -> None:
    objects = [each for each in (one,) if isinstance(each, dict)]
    deployments = [*PARTS[1:], *([part] if isinstance(part, dict) else [])]
    adopted = InferenceServices().adopt(objects, deployments, SETTINGS.manifests)
    kept = [each for each in adopted.deployments if isinstance(each["metadata"].get("name"), str)]
    Deployments().merge(SETTINGS, kept)
