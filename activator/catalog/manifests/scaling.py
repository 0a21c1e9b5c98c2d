"""From a component's fields and annotations to the autoscaling and requests keys of a configuration file.

Which of the two counts is KServe's rule (SetAutoScalingAnnotations): a field is written over its annotation. Minimum:
always, a missing one with the default. Target and metric: if there is a field. Maximum: unless the field is 0. All
other annotations pass. Knative itself prefers the kebab-case name of an annotation to its camelCase one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import CANARY, KNATIVE, OWN, PROGRESS
from activator.catalog.manifests.annotations import (
    CLASS,
    METRIC,
    OUR_KEYS,
    SERVICE,
    SUFFIXES,
    camel,
    rule_of,
    rule_of_ours,
)
from activator.kpa.spec import Metric
from activator.settings.autoscaling import KPA, Autoscaling, AutoscalingOverrides
from activator.settings.durations import format_duration
from activator.settings.scaling_checks import clashes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.manifests.notes import Notes
    from activator.settings.problems import Location

Keys = dict[str, dict[str, Any]]
MIN, MAX, TARGET = "min-scale", "max-scale", "target"
METRICS = tuple(map(str, Metric))


def of_inference_service(
    spec: Mapping[str, Any], annotations: Mapping[str, Any], default_min: int, place: tuple[Notes, Location]
) -> Keys:
    """Return the keys of a component of an InferenceService at a place; `default_min` stands for no minReplicas."""
    notes, at = place
    autoscaling = _annotated(annotations, place)
    if "scaleTarget" in spec:
        autoscaling[TARGET] = spec["scaleTarget"]
    if "scaleMetric" in spec:
        autoscaling[METRIC] = spec["scaleMetric"]
    _without_resources(autoscaling, place)
    low = spec.get("minReplicas", default_min)
    if MIN in autoscaling and autoscaling[MIN] != low:
        why = "minReplicas is written over it" if "minReplicas" in spec else f"without minReplicas it is {low}"
        notes.warn(at, f"{KNATIVE}{MIN} has no effect: {why}; set minReplicas", autoscaling[MIN])
    autoscaling[MIN] = low
    if spec.get("maxReplicas"):
        autoscaling[MAX] = spec["maxReplicas"]
    requests = {}
    limit = spec.get("containerConcurrency", spec.get("parallelism") or None)
    if limit is not None:  # 0 of v1beta1 is no limit, whatever the default is; of v1alpha2 it is a field left out
        requests["container-concurrency"] = limit
    if "timeout" in spec:
        requests |= {key: format_duration(spec["timeout"]) for key in ("first-byte-timeout", "total-timeout")}
    return _checked(_with_ours({"autoscaling": autoscaling, "requests": requests}, annotations), place)


def of_knative(spec: Mapping[str, Any], annotations: Mapping[str, Any], place: tuple[Notes, Location]) -> Keys:
    """Return the keys of a revision template of a Knative Service."""
    autoscaling = _annotated(annotations, place)
    _without_resources(autoscaling, place)
    requests: dict[str, Any] = {}
    if "containerConcurrency" in spec:
        requests["container-concurrency"] = spec["containerConcurrency"]
    for field, key in (
        ("timeoutSeconds", "total-timeout"),
        ("responseStartTimeoutSeconds", "first-byte-timeout"),
        ("idleTimeoutSeconds", "idle-timeout"),
    ):
        if field in spec:
            requests[key] = format_duration(spec[field])
    return _checked(_with_ours({"autoscaling": autoscaling, "requests": requests}, annotations), place)


def _with_ours(keys: Keys, annotations: Mapping[str, Any]) -> Keys:
    """Return keys with what our own annotations say, which nobody writes by chance."""
    keys |= {"process": {}, SERVICE: {}, CANARY: {}}
    for name, (group, key) in OUR_KEYS.items():
        if name in annotations:
            keys[group][key] = rule_of_ours(name).write(annotations[name])
    return keys


def _annotated(annotations: Mapping[str, Any], place: tuple[Notes, Location]) -> dict[str, Any]:
    """Return the autoscaling keys that annotations say, as a file would have them."""
    notes, at = place
    keys = {}
    for suffix, _ in SUFFIXES:
        kebab, older = f"{KNATIVE}{suffix}", f"{KNATIVE}{camel(suffix)}"
        if kebab in annotations and older != kebab and older in annotations:
            notes.warn((*at, "annotations"), f"{older} has no effect: {kebab} is there, too")
        if kebab in annotations or older in annotations:
            keys[suffix] = rule_of(suffix).write(annotations.get(kebab, annotations.get(older)))
    if PROGRESS in annotations:
        keys["progress-deadline"] = format_duration(annotations[PROGRESS])
    return keys


def _without_resources(autoscaling: dict[str, Any], place: tuple[Notes, Location]) -> None:
    """Take out what only an autoscaler by CPU or memory could follow, and say so."""
    notes, at = place
    metric, scaler = autoscaling.get(METRIC), autoscaling.pop(CLASS, KPA)
    if scaler != KPA:
        notes.warn(at, f"{KNATIVE}{CLASS} has no effect: only {KPA} is implemented", scaler)
    if metric in METRICS or (metric is None and scaler == KPA):
        return
    autoscaling.pop(METRIC, None)
    target = autoscaling.pop(TARGET, None)
    also = "" if target is None else f", and neither has the target {target}, which is about it"
    told = "no metric is named, so it is CPU" if metric is None else f"metric {metric}"
    notes.warn(
        at, f"{told}: it has no effect{also}; requests at a time are counted instead (or requests per second: rps)"
    )


def _checked(keys: Keys, place: tuple[Notes, Location]) -> Keys:
    """Return keys, with a mistake noted if they contradict each other."""
    notes, at = place
    own = AutoscalingOverrides.model_validate(keys["autoscaling"])
    for _, message, allowed in clashes(Autoscaling.merged(own)):
        notes.refuse(at, message, allowed=allowed)
    steps = keys[CANARY].get("steps", ())
    if any(later <= before for before, later in pairwise(steps)):
        notes.refuse(at, f"{OWN}{CANARY}-steps must rise from one to the next")
    return keys
