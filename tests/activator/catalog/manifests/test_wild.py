"""Manifests as they are found in the wild: what is odd in them counts, or is told of, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from activator.catalog.manifests import use
from activator.settings.problems import SettingsError
from activator.settings.schema import Settings
from tests.activator.catalog.manifests.written import (
    BETA,
    alpha,
    beta,
    custom,
    joined,
    loaded,
    only,
    problems,
    told,
    warnings,
    written,
)

BOX = {"custom": {"container": {"image": "m:1"}}}
OTHER = {"custom": {"container": {"image": "m:2"}}}


def within(found: list[str], *texts: str) -> bool:
    """Tell whether some line has all of the texts."""
    return any(all(text in line for text in texts) for line in found)


def test_an_exported_list_with_other_objects_between() -> None:
    items = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, beta()]
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}
    manifests = loaded(written(listed))
    assert [each.name for each in manifests.applications] == ["m"]
    assert within([str(each) for each in manifests.warnings], "Secret s is left out")


def test_empty_documents_and_comments_between() -> None:
    assert len(loaded(f"---\n---\n# one\n{written(beta())}---\n...\n---\n# end\n").applications) == 1


def test_numbers_as_text_count_as_numbers() -> None:
    keys = only(beta(custom(minReplicas="1", maxReplicas="3", containerConcurrency="2", timeout="60"))).keys
    assert (keys["autoscaling"]["min-scale"], keys["autoscaling"]["max-scale"]) == (1, 3)
    assert keys["requests"]["container-concurrency"] == 2


def test_nothing_is_as_if_it_were_not_written() -> None:
    data = beta({**custom(minReplicas=None, volumes=None, sklearn=None)}, transformer=None)
    assert only(data).name == only(beta()).name


@pytest.mark.parametrize("name", ["123", "1m", "-m", "m.n", "M", "m" * 44])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    assert within(problems({**beta(), "metadata": {"name": name}}), "is no name for a service")


def test_a_tag_that_no_service_can_have_is_refused() -> None:
    canary = {"predictor": {"name": "1x", "containers": [{"image": "m:2"}]}, "trafficPercent": 1}
    assert within(problems(beta(canary=[canary])), "the tag must begin with a letter")


@pytest.mark.parametrize("percent", [-1, 101, 1.5, "ten", True, ""])
def test_a_share_that_is_none_is_refused(percent: Any) -> None:
    assert within(problems(beta(custom(canaryTrafficPercent=percent))), "spec.predictor.canaryTrafficPercent")
    data = alpha({"predictor": BOX}, {"predictor": OTHER}, canaryTrafficPercent=percent)
    assert within(problems(data), "spec.canaryTrafficPercent")


@pytest.mark.parametrize("percent", [0, 100])
def test_none_and_all_are_shares(percent: int) -> None:
    before = joined(beta(custom(canaryTrafficPercent=percent)), beta(custom(nodeSelector={"v": "1"})))
    assert [each.percent for _, each in before.applications[0].revisions()] == [percent, 100 - percent]
    data = alpha({"predictor": BOX}, {"predictor": OTHER}, canaryTrafficPercent=percent)
    assert [each.percent for _, each in joined(data, None).applications[0].revisions()] == [100 - percent, percent]


def test_a_canary_of_v1alpha2_without_a_percentage_is_told_of() -> None:
    found = warnings(alpha({"predictor": BOX}, {"predictor": OTHER}))
    assert within(found, "spec.canary (m): gets no traffic, only by its tag")


def test_a_percentage_beside_a_list_of_canaries_is_told_of() -> None:
    canary = {"predictor": {"name": "c", "containers": [{"image": "m:2"}]}, "trafficPercent": 5}
    found = warnings(beta(custom(canaryTrafficPercent=10), canary=[canary]))
    assert within(found, "spec.predictor.canaryTrafficPercent", "has no effect", "got 10")


def test_no_limit_of_requests_is_none() -> None:
    data = alpha({"predictor": {**BOX, "parallelism": 0}})
    assert only(data).keys["requests"] == {}
    assert within(problems(alpha({"predictor": {**BOX, "parallelism": -1}})), "parallelism", "too small")


def test_the_shape_of_another_version_is_told_of() -> None:
    flat = {**alpha(BOX), "spec": {"predictor": BOX}}
    assert within(problems(flat), "spec.default", "is required", "spec.predictor is of v1beta1")
    assert within(problems({**flat, "apiVersion": BETA, "spec": {"default": {}}}), "default and canary are of v1alpha2")


def test_only_a_runtime_names_the_framework_if_it_is_known() -> None:
    known = only(beta({"model": {"runtime": "kserve-sklearnserver", "storageUri": "pvc://a"}}))
    assert "sklearn" in known.container["image"]
    unknown = problems(beta({"model": {"runtime": "mine", "storageUri": "pvc://a"}}))
    assert within(unknown, "modelFormat", "is no format that is known here")


def test_a_built_in_server_without_a_model_is_told_of() -> None:
    assert within(warnings(beta({"sklearn": {}})), "spec.predictor.sklearn", "names no storageUri")
    for predictor in (
        {"sklearn": {}, "storageUris": [{"uri": "pvc://a/b"}]},
        {"huggingface": {"args": ["--model_id=a/b"]}},
        {"sklearn": {"volumeMounts": [{"name": "v", "mountPath": "/mnt/models"}]}},
    ):
        assert not within(warnings(beta(predictor)), "names no storageUri")


def test_two_models_at_one_place_are_refused() -> None:
    uris = [{"uri": "pvc://a/b"}, {"uri": "pvc://c/d"}]
    found = problems(beta({"sklearn": {}, "storageUris": uris}))
    assert within(found, "spec.predictor.storageUris[1]", "another mountPath")
    assert len(problems(beta({"sklearn": {"storageUri": "pvc://x"}, "storageUris": uris}))) == 2


def test_a_field_of_a_models_place_that_is_not_known_is_told_of() -> None:
    found = warnings(beta({"sklearn": {}, "storageUris": [{"uri": "pvc://a/b", "mountpath": "/x"}]}))
    assert within(found, "storageUris[0].mountpath", "did you mean mountPath?")


def test_several_nodes_are_refused() -> None:
    assert within(problems(beta({**custom(), "workerSpec": {}})), "workerSpec", "several nodes")


def test_a_probe_that_the_edge_cannot_make_is_left_to_kubernetes() -> None:
    box = {"image": "m:1", "readinessProbe": {"httpGet": {"path": "/up now"}}}
    revision = only(beta({"containers": [box]}))
    assert revision.readiness == ""
    assert revision.container["readinessProbe"]["httpGet"]["path"] == "/up now"
    assert within(warnings(beta({"containers": [box]})), "the edge cannot ask for this path", "'/up now'")


def test_one_name_in_two_namespaces_is_two_services_in_a_cluster_and_refused_on_one_machine() -> None:
    other = beta()
    other["metadata"] = {"name": "m", "namespace": "other"}
    manifests = loaded(written(beta(), other))
    assert use.for_cluster(manifests, Settings()).count("kind: Deployment") == 2
    with pytest.raises(SettingsError, match="m: is there in several namespaces"):
        use.for_here(manifests, ["m=model"], Settings(), None)


def test_keys_for_a_bucket_are_asked_for_by_the_name_of_the_service_account() -> None:
    found = warnings(beta({"sklearn": {"storageUri": "s3://a/b"}, "serviceAccountName": "reader"}))
    assert within(found, "manifests.storage-secret", "got 'reader'")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a [x]\nb: *c\n", "nothing is anchored by the name c yet"),
        ("spec: {{ .Values.spec }}\n", "a key must be text"),
        ("- 1\n", "must be a mapping with apiVersion and kind"),
        ("spec: !!python/object:os.system x\n", "YAML tags are not supported"),
        ("spec:\n\tx: 1\n", "not YAML"),
        ("x: " + "{a: " * 500 + "1" + "}" * 500, "nested too deep"),
        ("minReplicas: 1\nminReplicas: 2\n", "is written twice"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_reason(text: str, problem: str) -> None:
    whole = f"apiVersion: {BETA}\nkind: InferenceService\nmetadata: {{name: m}}\n{text}" if text[0] != "-" else text
    assert within(told(whole), problem)
