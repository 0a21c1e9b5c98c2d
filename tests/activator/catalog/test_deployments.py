"""One Deployment: its annotations mean what the same keys mean in a file, and are refused by the same rules."""

from __future__ import annotations

from typing import Any

import pytest

from activator.catalog.annotations import ANNOTATIONS, BY_NAME, KNATIVE, KNATIVE_KEYS, LABEL, NOT_OFFERED, OWN, PROGRESS
from activator.catalog.deployments import inherited, is_ours, read
from activator.catalog.file import build
from activator.settings.autoscaling import AutoscalingOverrides
from activator.settings.problems import SettingsError
from activator.settings.running import Process, Requests
from tests.activator.catalog.deployed import SETTINGS, annotated, deployment
from tests.activator.catalog.test_catalog_of_a_file import CHANGES
from tests.activator.settings.files import loaded, written


def problems(found: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as error:
        read(found, {})
    return [str(problem) for problem in error.value.problems]


def test_a_deployment_is_the_service_that_a_file_would_have() -> None:
    found = deployment(
        "sentiment-v1",
        "sentiment",
        hosts="sentiment.example, www.sentiment.example",
        paths="/v1,/v2",
        show_revision="true",
        tag_header="false",
        percent="30",
        tag="stable",
        port="8000",
        readiness_path="/v2/health/ready",
        container_concurrency="1",
        hold_timeout="20m",
        scale_to_zero_grace_period="5m",
    )
    found["metadata"]["annotations"] |= {f"{KNATIVE}min-scale": "1", PROGRESS: "20m"}
    member = read(found, {})
    assert (member.name, member.percent) == ("sentiment-v1", 30)
    file = {
        "scaler": "memory",
        "services": [
            {
                "name": "sentiment",
                "hosts": ["sentiment.example", "www.sentiment.example"],
                "paths": ["/v1", "/v2"],
                "show-revision": True,
                "tag-header": False,
                "revisions": [
                    {
                        "name": "sentiment-v1",
                        "autoscaling": {
                            "min-scale": 1,
                            "scale-to-zero-grace-period": "5m",
                            "progress-deadline": "20m",
                        },
                        "requests": {"container-concurrency": 1, "hold-timeout": "20m"},
                        "process": {"port": 8000, "readiness-path": "/v2/health/ready"},
                    }
                ],
                "traffic": [{"revision": "sentiment-v1", "percent": 100, "tag": "stable"}],
            }
        ],
    }
    expected = loaded(written(file)).services[0]
    everything = member.service.traffic[0].model_copy(update={"percent": 100})
    service = member.service.model_copy(update={"traffic": (everything,)})
    settings = SETTINGS.model_copy(update={"services": (service,)})
    wanted = SETTINGS.model_copy(update={"services": (expected,)})
    assert build(settings).table == build(wanted).table
    plan, same = build(settings).plans["sentiment-v1"], build(wanted).plans["sentiment-v1"]
    assert (plan.spec, plan.bounds) == (same.spec, same.bounds)
    assert (plan.replica.port, plan.replica.readiness_path) == (8000, "/v2/health/ready")


def test_what_is_not_annotated_is_as_the_file_says_for_all() -> None:
    settings = loaded(written({"autoscaling": {"max-scale": 3}, "requests": {"queue-depth": 7}, "services": []}))
    service = read(deployment("m-1", "m", hosts="m.example"), inherited(settings)).service
    whole = settings.model_copy(update={"services": (service,)})
    assert build(whole).plans["m-1"].bounds.max_scale == 3
    assert build(whole).table.services[0].shares[0].revision.limits.queue_depth == 7


def test_a_contradiction_to_what_the_file_says_for_all_is_found() -> None:
    settings = loaded(written({"autoscaling": {"max-scale": 3}, "services": []}))
    with pytest.raises(SettingsError, match="max-scale 3 is less than min-scale 4") as error:
        read(annotated("m-1", "m", {f"{KNATIVE}min-scale": "4"}), inherited(settings))
    assert [problem.path for problem in error.value.problems] == [f"{KNATIVE}min-scale"]


@pytest.mark.parametrize(
    ("group", "key", "value", "beside"),
    [
        (group, key, *change)
        for group, keys in CHANGES.items()
        for key, change in keys.items()
        if key not in NOT_OFFERED
    ],
)
def test_every_annotation_has_the_effect_of_its_key(group: str, key: str, value: Any, beside: dict[str, Any]) -> None:
    def plans(keys: dict[str, Any]) -> Any:
        names = {each: (KNATIVE if each in KNATIVE_KEYS and group == "autoscaling" else OWN) + each for each in keys}
        found = annotated("m-1", "m", {names[each]: str(value) for each, value in keys.items()})
        service = read(found, {}).service
        return build(SETTINGS.model_copy(update={"services": (service,)}))

    assert plans({**beside, key: value}) != plans(beside)


@pytest.mark.parametrize("key", [key for key in KNATIVE_KEYS if "-" in key])
def test_camel_case_is_read_and_kebab_case_wins(key: str) -> None:
    first, *rest = key.split("-")
    kebab, camel = KNATIVE + key, KNATIVE + first + "".join(word.capitalize() for word in rest)
    values = {"metric-aggregation-algorithm": ("linear", "weightedExponential")}
    one, other = values.get(key, ("10s", "20s") if "period" in key or "delay" in key else ("150", "160"))
    if "window" in key or "utilization" in key:
        one, other = "50", "60"

    def keys(annotations: dict[str, str]) -> dict[str, Any]:
        return read(annotated("m-1", "m", annotations), {}).service.revisions[0].autoscaling.written()

    assert keys({camel: other}) == keys({kebab: other}) != keys({kebab: one})
    assert keys({kebab: one, camel: other}) == keys({kebab: one})
    assert keys({kebab: one, camel: "nonsense"}) == keys({kebab: one})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (f"{KNATIVE}minScale", "-1", f"{KNATIVE}minScale: is too small (got '-1'; allowed: 0 or more)"),
        (f"{KNATIVE}window", "5s", f"{KNATIVE}window: is too small (got '5s'; allowed: 6s to 1h, whole seconds)"),
        (f"{KNATIVE}activation-scale", "1", f"{KNATIVE}activation-scale: is too small (got '1'; allowed: 2 or more)"),
        (f"{KNATIVE}panic-threshold-percentage", "100", "is too small (got '100'; allowed: 110 to 1000)"),
        (f"{KNATIVE}class", "hpa.autoscaling.knative.dev", "names another autoscaler"),
        (f"{KNATIVE}scaleToZeroPodRetentionPeriod", "20", "must be a duration such as 10s"),
        (f"{OWN}hosts", "a.example,*.example", f"{OWN}hosts: is no host name: there are no wildcards"),
        (f"{OWN}hosts", "a.example,", f"{OWN}hosts: is no host name"),
        (f"{OWN}percent", "101", f"{OWN}percent: is too large (got '101'; allowed: 0 to 100)"),
        (f"{OWN}port", "http", f"{OWN}port: must be a whole number"),
        (f"{OWN}hots", "x", f"{OWN}hots: unknown annotation (did you mean {OWN}hosts?)"),
        (f"{OWN}min-scale", "1", f"{OWN}min-scale: unknown annotation (did you mean {KNATIVE}min-scale?)"),
        (f"{KNATIVE}min-scal", "1", f"{KNATIVE}min-scal: unknown annotation (did you mean {KNATIVE}min-scale?)"),
        (f"{OWN}max-scale-limit", "1", "is no annotation: it is the operator's bound on every Deployment"),
        (LABEL, "m", f"{LABEL}: is a label, not an annotation"),
    ],
)
def test_a_mistake_is_told_by_the_annotation_that_has_it(name: str, value: str, told: str) -> None:
    found = problems(annotated("m-1", "m", {name: value}))
    assert len(found) == 1
    assert told in found[0]


def test_an_annotation_that_is_near_none_but_for_its_prefix_is_told_without_a_guess() -> None:
    assert problems(annotated("m-1", "m", {f"{OWN}foo": "x"})) == [f"{OWN}foo: unknown annotation"]


def test_all_mistakes_are_told_at_once() -> None:
    found = problems(annotated("m-1", "m", {f"{KNATIVE}target": "0", f"{OWN}tag": "A", f"{OWN}nothing": ""}))
    assert len(found) == 3


@pytest.mark.parametrize(
    ("name", "service", "told"),
    [("a.b", "m", "metadata.name: is no valid name"), ("m-1", "a.b", f"{LABEL}: is no valid name")],
)
def test_names_must_be_names_of_revisions_and_services(name: str, service: str, told: str) -> None:
    assert told in problems(deployment(name, service, hosts="m.example"))[0]


def test_a_readiness_path_that_is_not_annotated_is_that_of_the_pods_own_probe() -> None:
    def path(**ours: str) -> str:
        service = read(deployment("m-1", "m", hosts="m.example", **ours), {}).service
        settings = SETTINGS.model_copy(update={"scaler": "kubernetes", "services": (service,)})
        return build(settings).plans["m-1"].replica.readiness_path

    assert (path(), path(readiness_path="/v2")) == ("", "/v2")


def test_a_deployment_without_the_label_or_being_deleted_is_none_of_ours() -> None:
    plain, going = deployment("m-1", "m"), deployment("m-2", "m")
    del plain["metadata"]["labels"]
    going["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    assert [is_ours(each) for each in (deployment("m-1", "m"), plain, going, {})] == [True, False, False, False]


def test_every_key_is_an_annotation_or_says_why_it_is_none() -> None:
    keys = {key for group in (AutoscalingOverrides, Requests, Process) for key in group.fields_by_key()}
    offered = {annotation.at[-1] for annotation in ANNOTATIONS if annotation.at[0] == "revisions"}
    reasons = set(NOT_OFFERED) - {"progress-deadline"}
    assert offered | reasons == keys | {"wakes"}
    assert not offered & reasons


def test_no_name_means_two_things() -> None:
    assert len(BY_NAME) == sum(len(annotation.names) for annotation in ANNOTATIONS)
    assert len({annotation.at for annotation in ANNOTATIONS}) == len(ANNOTATIONS)
