"""What will hurt is told before it does."""

from __future__ import annotations

from typing import Any

import pytest

from activator.catalog.manifests.advice import advise
from activator.settings.manifests import Manifests as Settings
from tests.activator.catalog.manifests.written import IMAGE, beta, custom, loaded, written

GPU = {"limits": {"nvidia.com/gpu": 1}}
GOOD = {
    "minReplicas": 0,
    "maxReplicas": 2,
    "containerConcurrency": 1,
    "terminationGracePeriodSeconds": 600,
}


def told(data: Any, **settings: Any) -> list[str]:
    manifests = loaded(written(data), Settings.model_validate(settings))
    return [str(each) for each in (*manifests.warnings, *advise(manifests.applications))]


def built_in(uri: str, resources: Any = GPU, **fields: Any) -> Any:
    return beta({"sklearn": {"storageUri": uri, "resources": resources}, **GOOD, **fields})


def test_a_good_manifest_is_not_commented() -> None:
    assert told(built_in("pvc://models/m")) == []


@pytest.mark.parametrize("resources", [GPU, {"requests": {"memory": "16Gi"}}, {"limits": {"memory": "8G"}}])
def test_a_large_model_that_sleeps_and_is_fetched_is_told_to_be_cached(resources: Any) -> None:
    [found] = told(built_in("gs://a/b", resources))
    assert "m.yaml:7: spec.predictor (m): may sleep, and fetches 'gs://a/b' anew at each start" in found
    assert "pvc://" in found


@pytest.mark.parametrize(
    "data", [built_in("gs://a/b", minReplicas=1), built_in("gs://a/b", {"limits": {"memory": "1Gi"}})]
)
def test_a_model_that_stays_or_is_small_is_not(data: Any) -> None:
    assert told(data) == []


def test_credentials_for_s3_are_asked_for() -> None:
    [found] = told(built_in("s3://a/b", minReplicas=1))
    assert "manifests.storage-secret" in found
    assert told(built_in("s3://a/b", minReplicas=1), **{"storage-secret": "s"}) == []


def test_listening_is_not_loaded() -> None:
    [found] = told(beta(custom(**GOOD)))
    assert "does not mean that the model is loaded" in found
    assert told(beta(custom(**GOOD), annotations={"gpu-activator/readiness-path": "/up"})) == []


def test_a_probe_that_only_the_kubelet_can_make_is_told() -> None:
    box = {**IMAGE, "readinessProbe": {"exec": {"command": ["ok"]}}}
    [found] = told(beta({"containers": [box], **GOOD}))
    assert "only the kubelet can make its readiness probe" in found


@pytest.mark.parametrize("grace", [None, 30])
def test_thirty_seconds_of_grace_cut_long_answers(grace: int | None) -> None:
    [found] = told(built_in("pvc://a/b", terminationGracePeriodSeconds=grace))
    assert "is cut off after 30 s" in found


def test_gpus_without_bounds_are_told() -> None:
    found = told(built_in("pvc://a/b", maxReplicas=0, containerConcurrency=0))
    assert ["set maxReplicas" in found[0], "no containerConcurrency" in found[1]] == [True, True]


@pytest.mark.parametrize("image", ["m", "registry.example:5000/m", "m:latest"])
def test_an_image_that_may_change_under_its_name_is_told(image: str) -> None:
    box = {**IMAGE, "image": image, "readinessProbe": {"httpGet": {"path": "/up"}}}
    [found] = told(beta({"containers": [box], **GOOD}))
    assert "may change and keep its name" in found


@pytest.mark.parametrize(("default", "words"), [(0, "KServe would take 1"), (1, "as KServe has it")])
def test_which_minimum_was_taken_is_told(default: int, words: str) -> None:
    data = built_in("pvc://a/b")
    del data["spec"]["predictor"]["minReplicas"]
    [found] = told(data, **{"min-replicas-default": default})
    assert words in found
