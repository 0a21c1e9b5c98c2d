"""Files as they are found: several documents, Lists, exports, other objects, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from activator.catalog.manifests import read
from activator.settings.manifests import Manifests as Settings
from activator.settings.problems import SettingsError
from activator.settings.source import parse_documents
from tests.activator.catalog.manifests.written import (
    BETA,
    alpha,
    beta,
    custom,
    knative,
    loaded,
    only,
    problems,
    read_one,
    told,
    warnings,
    written,
)

EXAMPLES = sorted((Path(__file__).parents[4] / "examples" / "inferenceservices").glob("*.yaml"))


def named(name: str, data: Any) -> Any:
    return {**data, "metadata": {**data["metadata"], "name": name}}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_load_without_a_warning(path: Path) -> None:
    found = read.read([path], Settings())
    assert [each.name for each in found.applications] == [path.stem]
    keys = ["s3:// may need keys"] if path.stem == "gpt2" else []  # it is of a service account's Secret
    assert [each.message.partition(",")[0] for each in found.warnings] == keys


def test_several_documents_and_lists_are_read() -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": [named("b", knative()), named("c", beta())]}
    text = "---\n" + written(named("a", beta()), items) + "---\n---\n# nothing\n"
    assert [each.name for each in loaded(text).applications] == ["a", "b", "c"]


def test_a_list_of_one_kind_is_a_list_too() -> None:
    assert [
        each.name for each in loaded(written({"kind": "InferenceServiceList", "items": [beta()]})).applications
    ] == ["m"]


def test_json_is_read() -> None:
    for text in (json.dumps(beta()), json.dumps(beta(), indent=2), json.dumps(beta(), indent="\t")):
        assert next(loaded(text).applications[0].revisions())[1].name == only(beta()).name


def test_aliases_and_merge_keys_are_followed() -> None:
    text = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: m}
spec:
  predictor: &base
    minReplicas: 0
    containers: [&box {name: kserve-container, image: "m:1"}]
  transformer:
    <<: *base
    minReplicas: 2
"""
    [application] = loaded(text).applications
    transformer, predictor = (revision for _, revision in application.revisions())
    assert transformer.keys["autoscaling"]["min-scale"] == 2
    assert (transformer.container["image"], predictor.container["image"]) == ("m:1", "m:1")


def test_other_objects_are_named_and_left_out() -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}}
    [told] = warnings(beta(custom(minReplicas=0)), claim)
    assert "PersistentVolumeClaim models is left out: apply it yourself" in told


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("ClusterServingRuntime", "only KServe reads it; write its containers in the predictor"),
        ("ServingRuntime", "only KServe reads it; write its containers in the predictor"),
        ("InferenceGraph", "only KServe can run it"),
    ],
)
def test_of_what_only_kserve_reads_it_is_not_said_to_apply_it(kind: str, advice: str) -> None:
    other = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": {"name": "mine"}}
    [told] = warnings(beta(custom(minReplicas=0)), other)
    assert f"{kind} mine is left out: {advice}" in told


def test_what_the_server_wrote_is_told_in_one_line() -> None:
    data = beta(custom(minReplicas=0), annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"})
    data["metadata"] |= {"uid": "1", "resourceVersion": "2", "managedFields": [{"manager": "kubectl"}]}
    data["status"] = {"url": "http://m"}
    [told] = warnings(data)
    for word in ("metadata.uid", "metadata.managedFields", "status", "last-applied"):
        assert word in told


def test_an_unknown_field_is_a_warning_with_its_place_and_the_nearest_one() -> None:
    [told] = warnings(beta(custom(minReplicas=0, maxReplica=2, fancy={"a": 1})))[:1]
    assert told.startswith("12: spec.predictor.maxReplica (m): unknown field, it has no effect")
    assert told.endswith("(did you mean maxReplicas?)")


def test_hosts_that_count_beside_kserve_alone_are_warned_of_as_such() -> None:
    [told] = warnings(beta(custom(minReplicas=0), annotations={"gpu-activator/hosts": "own.example"}))
    assert told.endswith("has no effect: what is rendered has the manifest's hosts; with kserve: true these are added")


def test_every_warned_field_is_told_with_a_reason() -> None:
    told = "\n".join(warnings(beta(custom(minReplicas=0, logger={"mode": "all"}, batcher={}, restartPolicy="Never"))))
    for key in ("logger", "batcher", "restartPolicy"):
        assert f"spec.predictor.{key} (m): has no effect: " in told


def test_a_stopped_service_is_left_out() -> None:
    stopped = beta(annotations={"serving.kserve.io/stop": "true"})
    found = loaded(written(stopped, named("other", beta())))
    assert [each.name for each in found.applications] == ["other"]
    assert any("is left out" in str(each) for each in found.warnings)
    assert "has nothing to serve" in problems(stopped)[0]


def test_autoscalers_of_kserve_are_warned_of() -> None:
    data = beta(custom(minReplicas=0), annotations={"serving.kserve.io/autoscalerClass": "hpa"})
    assert "must be external" in warnings(data)[0]
    assert warnings(beta(custom(minReplicas=0), annotations={"serving.kserve.io/autoscalerClass": "external"})) == []


def test_the_namespace_is_that_of_the_manifest_or_the_one_that_is_given() -> None:
    bare = {**beta(), "metadata": {"name": "m"}}
    assert loaded(written(bare), namespace="here").applications[0].namespace == "here"
    assert loaded(written(beta()), namespace="here").applications[0].namespace == "ml"
    assert read_one(bare).namespace == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just text", "must be a mapping with apiVersion and kind (got 'just text')"),
        ("a: b", "has no apiVersion and kind: it is no object of Kubernetes"),
        ("kind: InferenceService", "has no apiVersion: it is no object of Kubernetes"),
        (
            written({**beta(), "kind": "inferenceservice"}),
            f"has nothing to serve: inferenceservice of {BETA} (allowed: ",
        ),
        ("a: [", "not YAML"),
        (written(beta(api="serving.kserve.io/v1beta9")), "is no version that is known here"),
        (written({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}), "has nothing to serve"),
        (written({"apiVersion": BETA, "kind": "InferenceService"}), "is no name for a service"),
        (written({**beta(), "metadata": {"name": "Bad_Name"}}), "is no name for a service (got 'Bad_Name'"),
        (written({**beta(), "metadata": {"name": "m" * 50}}), "is no name for a service"),
        (written({**beta(), "metadata": []}), "must be a mapping of keys (got a list)"),
        (written({**beta(), "spec": 3}), "must be a mapping of keys (got 3)"),
        (written(beta(), beta()), "is the name of another one already"),
        (written(beta(annotations={"serving.kserve.io/deploymentMode": "ModelMesh"})), "many models in one pod"),
        ("kind: InferenceService\nkind: Service\n", "has no apiVersion"),
        (written(beta()) + "spec: {}\n", "is written twice"),
        (f"apiVersion: {BETA}\nkind: InferenceService\nmetadata: {{name: !x m}}\n", "YAML tags are not supported"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(text: str, expected: str) -> None:
    assert expected in "\n".join(told(text))


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({**beta(), "spec": {}}, "spec.predictor"),
        (alpha({}), "spec.default.predictor"),
        ({**alpha({}), "spec": {}}, "spec.default"),
        (beta({}), "spec.predictor (m): names no model"),
        (beta({"sklearn": {}, "xgboost": {}}), "spec.predictor (m): names several models: sklearn, xgboost"),
        (beta(custom(workerSpec={})), "spec.predictor.workerSpec (m): cannot be: a replica is one pod here"),
        (beta({"containers": [{"name": "x"}]}), "spec.predictor.containers (m): the container has no image"),
        (beta({"containers": "x"}), "spec.predictor.containers (m): must be a list"),
        (beta({"containers": ["x"]}), "spec.predictor.containers[0] (m): must be a mapping"),
        (knative({"containers": []}), "spec.template.spec.containers (m): has no container with an image"),
    ],
)
def test_a_manifest_that_describes_no_model_is_refused_at_its_place(data: Any, path: str) -> None:
    assert path in "\n".join(problems(data))


def test_one_mistake_anywhere_and_nothing_is_read() -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(written(named("a", beta()), named("b", beta(custom(minReplicas=-1))), named("c", beta({}))))
    assert [problem.subject for problem in caught.value.problems] == ["b", "c"]


def test_a_file_that_does_not_exist_or_is_empty_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("---\n")
    for path in (tmp_path / "none.yaml", empty):
        with pytest.raises(SettingsError):
            read.read([path], Settings())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("services: []", False), (written(beta()), True), ("3", False), ("kind: InferenceService\nspec: {}", True)],
)
def test_a_manifest_is_told_from_a_configuration_file(text: str, expected: bool) -> None:
    assert [read.is_manifest(source) for source in parse_documents(text, "x")] == [expected]
