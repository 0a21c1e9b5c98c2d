"""From an InferenceService and its Deployments to neutral components: what scales them, who is reached by what.

Fields and annotations are read by the same table as those of manifests, and KServe's precedence between them is the
same. Only what is about replicas and requests is looked at: for all else there is KServe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import KNATIVE, OWN, PROGRESS
from activator.catalog.kserve.objects import AGENT_PORT, items, mapping
from activator.catalog.manifests import scaling
from activator.catalog.manifests.annotations import HOSTS
from activator.catalog.manifests.fields import BETA, EXPLAINER, PREDICTOR, ROLES, TRANSFORMER
from activator.catalog.manifests.inference import connected, with_canary
from activator.catalog.manifests.model import Application, Revision, application
from activator.catalog.manifests.table import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.kserve.objects import Made
    from activator.catalog.manifests.notes import Notes
    from activator.settings.manifests import Manifests
    from activator.settings.problems import Location

FIELDS = (
    "name",
    "minReplicas",
    "maxReplicas",
    "containerConcurrency",
    "scaleTarget",
    "scaleMetric",
    "scaleMetricType",
    "autoScaling",
    "timeout",
    "annotations",
)
CANARY = "canary"
PERCENT = "canaryTrafficPercent"
MIN = "min-scale"


@dataclass(frozen=True, slots=True)
class Found:
    """What an InferenceService amounts to; `predictor_hosts` are further names by which its predictor is called."""

    application: Application
    predictor_hosts: tuple[str, ...]


def found(service: Mapping[str, Any], made: Mapping[str, Made], settings: Manifests, notes: Notes) -> Found | None:
    """Return what an InferenceService of the Deployments `made` amounts to; None if something is wrong with it, which
    is noted, or not all of them are there yet."""
    cleaned = clean(_kept(service), BETA, ())
    notes.errors += cleaned.errors
    notes.warnings += cleaned.warnings
    spec = cleaned.data.get("spec", {})
    if notes.errors or PREDICTOR not in spec or "name" not in cleaned.data["metadata"]:
        return None
    metadata = cleaned.data["metadata"]
    reader = _Reader(service, metadata["annotations"], made, settings, notes)
    revisions = {role: reader.role(role, spec[role]) for role in (TRANSFORMER, PREDICTOR, EXPLAINER) if role in spec}
    if not all(revisions.values()):
        return None
    revisions[PREDICTOR] += reader.canaries(spec.get(CANARY, []))
    if PERCENT in mapping(mapping(service.get("spec")).get(PREDICTOR)):
        notes.warn(
            ("spec", PREDICTOR, PERCENT), f"has no effect in this mode of KServe: name a canary in spec.{CANARY}"
        )
    shared = {role: _shared(each) for role, each in revisions.items()}
    predictor = f"{metadata['name']}-{PREDICTOR}"
    hosts = _called(predictor, shared, made)
    if hosts is None:
        shared[PREDICTOR] = tuple(_kept_awake(each, notes) for each in shared[PREDICTOR])
    parts = connected(metadata["name"], shared, predictor)
    if len(shared[PREDICTOR]) > 1:
        parts = tuple(with_canary(each, notes) if each.role == PREDICTOR else each for each in parts)
    return Found(application(metadata, parts), hosts or ())


def _called(
    predictor: str, revisions: Mapping[str, tuple[Revision, ...]], made: Mapping[str, Made]
) -> tuple[str, ...] | None:
    """Return the names by which the others call a predictor; None if that is KServe's own, past the edge."""
    past = {"", predictor, *(each.name for each in revisions[PREDICTOR])}
    hosts = [made[each.name].calls for role in (TRANSFORMER, EXPLAINER) for each in revisions.get(role, ())]
    return None if any(each.partition(".")[0] in past for each in hosts) else tuple(hosts)


@dataclass(frozen=True, slots=True)
class _Reader:
    service: Mapping[str, Any]
    annotations: Mapping[str, Any]
    made: Mapping[str, Made]
    settings: Manifests
    notes: Notes

    @property
    def name(self) -> str:
        """Return the InferenceService's name."""
        return str(self.service["metadata"]["name"])

    def role(self, role: str, spec: Mapping[str, Any]) -> tuple[Revision, ...]:
        """Return the revision of a component, none as long as its Deployment is not there."""
        called = f"{self.name}-{spec['name']}-{role}" if spec.get("name") else f"{self.name}-{role}"
        names = (called, f"{self.name}-{role}", f"{self.name}-{role}-default")
        name = next((each for each in names if each in self.made), "")
        return (self._revision(name, spec, ("spec", role)),) if name else ()

    def canaries(self, canaries: list[dict[str, Any]]) -> tuple[Revision, ...]:
        """Return the canaries whose Deployments are there."""
        revisions = []
        for number, each in enumerate(canaries):
            spec, at = each.get(PREDICTOR, {}), ("spec", CANARY, number, PREDICTOR)
            name = f"{self.name}-{spec.get('name')}-{PREDICTOR}"
            if name in self.made:
                made = self._revision(name, spec, at)
                revisions.append(replace(made, percent=each.get("trafficPercent", 0), tag=spec["name"]))
        return tuple(revisions)

    def _revision(self, name: str, spec: Mapping[str, Any], at: Location) -> Revision:
        annotations = {**self.annotations, **spec.get("annotations", {})}
        keys = scaling.of_inference_service(spec, annotations, self.settings.min_replicas_default, (self.notes, at))
        made = self.made[name]
        template = {"labels": {}, "annotations": {}, "spec": {"containers": [made.container]}}
        return Revision(name, template, AGENT_PORT if self._has_agent(at) else made.port, "", keys, at=at)

    def _has_agent(self, at: Location) -> bool:
        """Tell whether KServe puts an agent before the model (into the pods: the Deployment does not show it)."""
        found: Any = self.service
        for part in at:
            found = items(found)[part] if isinstance(part, int) else mapping(found).get(part)
        return any(mapping(found).get(key) is not None for key in ("logger", "batcher"))


def _shared(revisions: tuple[Revision, ...]) -> tuple[Revision, ...]:
    """Give the first one what the canaries leave."""
    stable, *canaries = revisions
    rest = max(0, 100 - sum(each.percent for each in canaries))
    return (replace(stable, percent=rest), *canaries)


def _kept_awake(predictor: Revision, notes: Notes) -> Revision:
    """Return a predictor that is called past the edge: what is not counted must not be taken for idle."""
    told = (
        "is called past the edge, which can neither count nor hold that: at least one replica is kept, and none is "
        "added for load; give whoever calls it the argument --predictor_host with a name that leads to the edge"
    )
    notes.warn(predictor.at, told)
    scaled = {**predictor.keys["autoscaling"], MIN: max(1, predictor.keys["autoscaling"][MIN])}
    return replace(predictor, keys={**predictor.keys, "autoscaling": scaled})


def _kept(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an InferenceService is about replicas and requests."""
    metadata, spec = mapping(service.get("metadata")), mapping(service.get("spec"))
    kept: dict[str, Any] = {role: _fields(spec[role]) for role in ROLES if spec.get(role) is not None}
    if CANARY in spec:
        canaries = items(spec[CANARY])
        kept[CANARY] = [
            {**{key: each[key] for key in ("trafficPercent",) if key in each}, PREDICTOR: _fields(each.get(PREDICTOR))}
            for each in canaries
        ]
    named = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    annotations = _annotations(mapping(metadata.get("annotations")))
    return {"metadata": {**named, "annotations": annotations}, "spec": kept}


def _fields(spec: object) -> dict[str, Any]:
    fields = {key: value for key, value in mapping(spec).items() if key in FIELDS}
    if "annotations" in fields:
        fields["annotations"] = _annotations(mapping(fields["annotations"]))
    return fields


def _annotations(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that are ours to read; the others are KServe's, and hosts are read where the others are."""
    read = {name: value for name, value in annotations.items() if name.startswith((OWN, KNATIVE)) or name == PROGRESS}
    read.pop(HOSTS, None)
    return read
