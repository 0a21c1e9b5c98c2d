"""Whose replicas are ours: only those that KServe was told to leave to somebody else.

Of an autoscalerClass other than `external`, KServe writes the replicas itself, or has an HPA or KEDA do it; in Knative
mode Knative does. Two writers would go on for ever, so such an InferenceService is left alone, and its owner is told
which annotation would change that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.catalog.kserve.objects import mapping
from activator.catalog.manifests.annotations import MODE, SCALED_BY, STOP
from activator.catalog.manifests.fields import ROLES
from activator.settings.problems import Problem, path_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OURS = "external"
STANDARD = ("Standard", "RawDeployment")
MULTI_NODE = "workerSpec"
_AT = ("metadata", "annotations")


def is_absent(service: Mapping[str, Any]) -> bool:
    """Tell whether an InferenceService is stopped or on its way out: KServe deletes its Deployments."""
    metadata = mapping(service.get("metadata"))
    return bool(metadata.get("deletionTimestamp")) or mapping(metadata.get("annotations")).get(STOP) == "true"


def reasons(service: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return why the replicas of an InferenceService are not ours; none = they are."""
    return tuple(_reasons(service))


def _reasons(service: Mapping[str, Any]) -> Iterator[Problem]:
    annotations = mapping(mapping(service.get("metadata")).get("annotations"))
    spec = mapping(service.get("spec"))
    mode = mapping(service.get("status")).get("deploymentMode") or annotations.get(MODE)  # KServe's own order
    if mode is not None and mode not in STANDARD:
        yield Problem("", path_of((*_AT, MODE)), _left("KServe has no Deployment of its own for it"), value=shown(mode),
                      allowed=_set(MODE, STANDARD[1]))  # fmt: skip
    for role in ROLES:
        own = mapping(mapping(spec.get(role)).get("annotations"))
        at = ("spec", role, "annotations") if SCALED_BY in own else _AT
        found = own.get(SCALED_BY, annotations.get(SCALED_BY))
        if role in spec and found != OURS:
            value = "none, which is hpa" if found is None else shown(found)
            why = _left("KServe has its replicas set by something else")
            yield Problem("", path_of((*at, SCALED_BY)), why, value=value, allowed=_set(SCALED_BY, OURS))
            break
    if MULTI_NODE in mapping(spec.get("predictor")):
        why = "is left alone: a replica is one pod here, models over several nodes are not scaled"
        yield Problem("", path_of(("spec", "predictor", MULTI_NODE)), why)


def _left(why: str) -> str:
    return f"is left alone, neither scaled nor served: {why}"


def _set(annotation: str, value: str) -> str:
    return f"annotate it with {annotation}: {value}"
