"""Which of field and annotation counts, as KServe writes it and Knative reads it."""

from __future__ import annotations

from typing import Any

import pytest

from activator.settings.manifests import Manifests as Settings
from tests.activator.catalog.manifests.written import alpha, beta, custom, knative, only, problems, warnings

A = "autoscaling.knative.dev/"


def scaling(data: Any, settings: Settings | None = None) -> dict[str, Any]:
    return dict(only(data, settings).keys["autoscaling"])


@pytest.mark.parametrize(
    ("fields", "annotations", "expected"),
    [
        ({"minReplicas": 2}, {"min-scale": "5"}, {"min-scale": 2}),
        ({"minReplicas": 0}, {"minScale": "5"}, {"min-scale": 0}),
        ({}, {"min-scale": "5"}, {"min-scale": 1}),
        ({}, {}, {"min-scale": 1}),
        ({"maxReplicas": 4}, {"max-scale": "9"}, {"max-scale": 4}),
        ({"maxReplicas": 0}, {"max-scale": "9"}, {"max-scale": 9}),
        ({}, {"maxScale": "9"}, {"max-scale": 9}),
        ({"scaleTarget": 3}, {"target": "7"}, {"target": 3}),
        ({}, {"target": "7"}, {"target": 7}),
        ({"scaleMetric": "rps"}, {"metric": "concurrency"}, {"metric": "rps"}),
        ({}, {"metric": "rps"}, {"metric": "rps"}),
    ],
)
def test_a_field_of_an_inference_service_is_written_over_its_annotation(
    fields: dict[str, Any], annotations: dict[str, str], expected: dict[str, Any]
) -> None:
    data = beta(custom(**fields), annotations={A + key: value for key, value in annotations.items()})
    found = scaling(data, Settings.model_validate({"min-replicas-default": 1}))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("default", [0, 1, 3])
def test_a_missing_min_replicas_is_what_the_setting_says(default: int) -> None:
    settings = Settings.model_validate({"min-replicas-default": default})
    assert scaling(beta(), settings)["min-scale"] == default
    [told] = only(beta(), settings).assumed
    assert f"it is {default}" in told
    assert ("as KServe has it" in told) == (default == 1)
    assert only(beta(custom(minReplicas=default)), settings).assumed == ()


def test_an_annotation_that_is_written_over_is_told() -> None:
    [told] = warnings(beta(custom(), annotations={A + "minScale": "2"}))
    assert "min-scale has no effect: without minReplicas it is 0; set minReplicas" in told
    [told] = warnings(beta(custom(minReplicas=1), annotations={A + "min-scale": "0"}))
    assert "minReplicas is written over it" in told
    assert warnings(beta(custom(minReplicas=1), annotations={A + "min-scale": "1"})) == []


@pytest.mark.parametrize(
    "data", [beta(custom(minReplicas=0), annotations={A + "window": "3m", A + "panicWindowPercentage": "20"})]
)
def test_all_other_annotations_pass(data: Any) -> None:
    assert scaling(data) == {"min-scale": 0, "window": "3m", "panic-window-percentage": 20}


def test_kebab_case_wins_over_camel_case() -> None:
    data = knative(annotations={A + "minScale": "3", A + "min-scale": "1", A + "maxScale": "5"})
    assert scaling(data) == {"min-scale": 1, "max-scale": 5}
    assert "minScale has no effect: autoscaling.knative.dev/min-scale is there, too" in warnings(data)[0]


def test_a_components_annotation_wins_over_that_of_the_whole() -> None:
    data = beta(custom(annotations={A + "target": "5"}), annotations={A + "target": "2"})
    assert scaling(data)["target"] == 5


@pytest.mark.parametrize("metric", ["cpu", "memory"])
def test_cpu_and_memory_are_warned_of_and_take_their_target_with_them(metric: str) -> None:
    data = beta(custom(minReplicas=0, scaleMetric=metric, scaleTarget=60))
    assert scaling(data) == {"min-scale": 0}
    [told] = warnings(data)
    assert f"metric {metric}: it has no effect, and neither has the target 60" in told


def test_another_autoscaler_is_warned_of() -> None:
    data = knative(annotations={A + "class": "hpa.autoscaling.knative.dev", A + "target": "70"})
    assert scaling(data) == {}
    assert len(warnings(data)) == 2
    assert scaling(knative(annotations={A + "class": "kpa.autoscaling.knative.dev", A + "target": "7"})) == {
        "target": 7
    }


def test_no_limit_of_concurrency_is_one_that_is_named_so_that_no_default_stands_for_it() -> None:
    assert only(beta(custom(containerConcurrency=0))).keys["requests"] == {"container-concurrency": 0}
    assert only(knative({"containerConcurrency": 0})).keys["requests"] == {"container-concurrency": 0}


def test_concurrency_and_timeouts_are_keys_of_requests() -> None:
    found = only(beta(custom(containerConcurrency=2, timeout=90)))
    expected = {"container-concurrency": 2, "first-byte-timeout": "1m30s", "total-timeout": "1m30s"}
    assert found.keys["requests"] == expected
    data = knative(
        {"containerConcurrency": 1, "timeoutSeconds": 600, "responseStartTimeoutSeconds": 60, "idleTimeoutSeconds": 9}
    )
    assert only(data).keys["requests"] == {
        "container-concurrency": 1,
        "total-timeout": "10m",
        "first-byte-timeout": "1m",
        "idle-timeout": "9s",
    }
    assert only(alpha({"predictor": {"custom": {"container": {"image": "m:1"}}, "parallelism": 3}})).keys[
        "requests"
    ] == {"container-concurrency": 3}


def test_our_own_annotations_win_over_everything() -> None:
    own = {
        "gpu-activator/total-timeout": "2h",
        "gpu-activator/holdTimeout": "1m",
        "gpu-activator/readiness-path": "/up",
    }
    found = only(beta(custom(timeout=90), annotations=own))
    assert found.keys["requests"] == {"first-byte-timeout": "1m30s", "total-timeout": "2h", "hold-timeout": "1m"}
    assert found.keys["process"] == {"readiness-path": "/up"}


def test_what_only_an_edge_beside_kserve_takes_of_a_service_is_said_to_have_no_effect_here() -> None:
    [told] = warnings(beta(custom(minReplicas=0), annotations={"gpu-activator/hosts": "x"}))
    assert "has no effect" in told
    assert "kserve: true" in told


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            beta(custom(minReplicas=3, maxReplicas=2)),
            "max-scale 2 is less than min-scale 3 (allowed: max-sc",
        ),
        (knative(annotations={A + "min-scale": "3", A + "max-scale": "2"}), "max-scale 2 is less than min-scale 3"),
        (
            beta(custom(minReplicas=3), annotations={A + "activation-scale": "2"}),
            "activation-scale 2 is less than min",
        ),
        (beta(custom(minReplicas=-1)), "is too small (got -1; allowed: 0 or more)"),
        (beta(custom(containerConcurrency="many")), "must be a whole number (got 'many'"),
        (knative(annotations={A + "window": "1s"}), "is too small (got '1s'; allowed: 6s to 1h, whole seconds)"),
        (knative(annotations={A + "panic-threshold-percentage": "50"}), "is too small"),
        (knative(annotations={A + "target": "no"}), "must be a number"),
        (beta(custom(), annotations={"gpu-activator/hold-timeout": "5"}), "must be a duration such as"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(data: Any, expected: str) -> None:
    [told] = problems(data)
    assert expected in told


@pytest.mark.parametrize("prefix", ["networking.knative.dev", "features.knative.dev", "storage.kserve.io"])
def test_an_unknown_annotation_of_knative_or_kserve_is_not_passed_on_in_silence(prefix: str) -> None:
    data = knative(annotations={f"{prefix}/novel": "x", "example.com/novel": "y"})
    [told] = warnings(data)
    assert f"{prefix}/novel (m): unknown field, it has no effect" in told
    assert only(data).template["annotations"] == {"example.com/novel": "y"}


def test_a_misspelt_annotation_is_told_with_the_one_that_was_meant() -> None:
    [told] = warnings(knative(annotations={A + "max-scales": "2"}))
    assert "unknown field, it has no effect (did you mean autoscaling.knative.dev/max-scale?)" in told


def test_an_annotation_that_is_near_none_but_for_its_prefix_is_told_without_a_guess() -> None:
    [told] = warnings(beta(custom(minReplicas=0), annotations={"gpu-activator/foo": "x"}))
    assert told.endswith("unknown field, it has no effect")
