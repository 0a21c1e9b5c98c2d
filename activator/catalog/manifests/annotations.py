"""The annotations of InferenceServices and Knative Services, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from activator.catalog.annotations import ANNOTATIONS as OF_DEPLOYMENTS
from activator.catalog.annotations import CANARY, KNATIVE, OWN, PROGRESS, SHARED
from activator.catalog.manifests.model import VISIBILITY
from activator.catalog.manifests.shapes import Listed, Text
from activator.catalog.manifests.table import Fate, Field, Table
from activator.settings.autoscaling import AutoscalingOverrides
from activator.settings.canary import Canary
from activator.settings.numbers import Duration
from activator.settings.rules import Rule
from activator.settings.running import Process, Requests
from activator.settings.schema import Service

if TYPE_CHECKING:
    from activator.catalog.annotations import Annotation
    from activator.settings.group import Group

CLASS, METRIC = "class", "metric"

SERVICE = "service"  # the group of the keys of a service itself
GROUPS: dict[str, type[Group]] = {
    "autoscaling": AutoscalingOverrides,
    "requests": Requests,
    "process": Process,
    SERVICE: Service,
    CANARY: Canary,
}
FOUND = {"hosts", "paths", "revision", "stable"}  # what the manifest itself tells
SUFFIXES = (
    (CLASS, "only Knative's own autoscaler is implemented; another one is warned of"),
    (METRIC, "`metric`; cpu and memory are warned of"),
    ("min-scale", "`min-scale`"),
    ("max-scale", "`max-scale`"),
    ("initial-scale", "`initial-scale`"),
    ("activation-scale", "`activation-scale`"),
    ("scale-down-delay", "`scale-down-delay`"),
    ("target", "`target`"),
    ("target-utilization-percentage", "`target-utilization-percentage`"),
    ("target-burst-capacity", "`target-burst-capacity`"),
    ("window", "`stable-window`"),
    ("panic-window-percentage", "`panic-window-percentage`"),
    ("panic-threshold-percentage", "`panic-threshold-percentage`"),
    ("metric-aggregation-algorithm", "`metric-aggregation-algorithm`"),
    ("scale-to-zero-pod-retention-period", "`scale-to-zero-pod-retention-period`: idle time of the last replica"),
)
OVERWRITTEN = {
    "min-scale": "; in an InferenceService minReplicas is written over it, the default if there is none",
    "max-scale": "; in an InferenceService maxReplicas wins, unless it is 0",
    "target": "; scaleTarget wins",
    METRIC: "; scaleMetric wins",
}
ACCELERATORS = ("serving.kserve.io/gke-accelerator", "serving.kubeflow.org/gke-accelerator")
HOSTS = f"{OWN}hosts"
STOP = "serving.kserve.io/stop"
MODE = "serving.kserve.io/deploymentMode"
SCALED_BY = "serving.kserve.io/autoscalerClass"
TAGS = "serving.kserve.io/enable-tag-routing"
PROMETHEUS = "serving.kserve.io/enable-prometheus-scraping"
READONLY = "storage.kserve.io/readonly"
GPU_TYPES = "serving.kserve.io/gpu-resource-types"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CLOSED = (
    OWN,
    KNATIVE,
    "serving.kserve.io/",
    "serving.kubeflow.org/",
    "serving.knative.dev/",
    "internal.serving.",
    "storage.kserve.io/",
    "networking.kserve.io/",
    "networking.knative.dev/",
    "features.knative.dev/",
    "queue.sidecar.serving.knative.dev/",
    "client.knative.dev/",
)

_ELSEWHERE = (
    ("serving.kserve.io/metrics", "there are no CPU and memory metrics here"),
    ("serving.kserve.io/targetUtilizationPercentage", "it is about CPU; write scaleTarget"),
    ("serving.knative.dev/rollout-duration", "shares take effect at once"),
    ("serving.kserve.io/disable-localmodel", "there is no cache of models on nodes"),
    ("serving.kserve.io/nodegroup", "there is no cache of models on nodes"),
    ("serving.kserve.io/enable-metric-aggregation", "there is no queue-proxy that would aggregate metrics"),
    ("serving.kserve.io/disable-auto-update", "it is about ServingRuntimes; images are settings here"),
    ("serving.kserve.io/inferencepool-migrated", "it is about LLMInferenceServices"),
    ("serving.kserve.io/storageSecretName", "the Secret with the keys is a setting; write manifests.storage-secret"),
    ("serving.kserve.io/logger-secret-name", "payloads are not logged"),
    ("serving.kserve.io/logger-secret-path", "payloads are not logged"),
    ("serving.kserve.io/logger-secret-file", "payloads are not logged"),
    ("serving.kserve.io/exp-dra-device-class", "write resourceClaims in the pod"),
    ("serving.kserve.io/exp-dra-cel-selector", "write resourceClaims in the pod"),
    ("serving.kserve.io/exp-dra-device-count", "write resourceClaims in the pod"),
    ("serving.kserve.io/exp-dra-container-name", "write resourceClaims in the pod"),
    ("networking.knative.dev/ingress-class", "there is no Knative ingress; the edge takes the requests"),
    ("sidecar.istio.io/inject", "Istio is not needed; remove it, or the mesh's sidecar joins each replica"),
    ("prometheus.kserve.io/port", "write prometheus.io/port"),
    ("prometheus.kserve.io/path", "write prometheus.io/path"),
)
_SERVER = (
    LAST_APPLIED,
    "serving.knative.dev/creator",
    "serving.knative.dev/lastModifier",
    "deployment.kubernetes.io/revision",
)


def camel(kebab: str) -> str:
    """Return the older form of an annotation's name: `min-scale` -> `minScale`."""
    first, *rest = kebab.split("-")
    return first + "".join(word.capitalize() for word in rest)


def rule_of(suffix: str) -> Rule:
    """Return what an annotation may be: what Knative allows."""
    return Text(empty=False) if suffix in {CLASS, METRIC} else _rule(AutoscalingOverrides, suffix)


def _rule(group: type[Group], key: str) -> Rule:
    field = group.model_fields[group.fields_by_key()[key]]
    found = next((item for item in field.metadata if isinstance(item, Rule)), None)
    if found is not None:
        return found
    item = get_args(field.annotation)[0]  # of a tuple
    return Listed(next(each for each in get_args(item) if isinstance(each, Rule)))


def _group_of(annotation: Annotation) -> tuple[str, str]:
    """Return the group of keys and the key that one of our own annotations is; "" for what a manifest tells itself."""
    at = [str(part) for part in annotation.at if not isinstance(part, int)]
    group, key = at[-2:] if len(at) > 1 else (SERVICE, at[0])
    known = group in GROUPS and key not in FOUND and (group != SERVICE or key in SHARED)
    return (group, key) if known else ("", "")


# our own annotations that may be on a manifest: name -> group of keys and key
OURS = tuple(each for each in OF_DEPLOYMENTS if each.name.startswith(OWN) and _group_of(each)[0])
OUR_KEYS = {name: _group_of(each) for each in OURS for name in reversed(each.names)}


def rule_of_ours(name: str) -> Rule:
    """Return what one of our own annotations may be."""
    group, key = OUR_KEYS[name]
    return _rule(GROUPS[group], key)


def _knative() -> tuple[Field, ...]:
    found = []
    for suffix, what in SUFFIXES:
        told = what + OVERWRITTEN.get(suffix, "")
        older = () if camel(suffix) == suffix else (f"{KNATIVE}{camel(suffix)}",)
        found.append(Field(f"{KNATIVE}{suffix}", Fate.TRANSLATED, told, rule_of(suffix), also=older))
    deadline = Duration(0, above=True)
    return (*found, Field(PROGRESS, Fate.TRANSLATED, "`progress-deadline`: time that one start may take", deadline))


_COMMON = (
    *_knative(),
    *(
        Field(
            each.name,
            Fate.TRANSLATED,
            "our own key; it wins over all else",
            rule_of_ours(each.name),
            also=each.names[1:],
        )
        for each in OURS
    ),
    *(Field(key, Fate.WARNED, why) for key, why in _ELSEWHERE),
    *(Field(key, Fate.SERVER, "written by tools and the API server") for key in _SERVER),
)
_REST = Field("*", Fate.HONOURED, "any other: copied to the pods", Text())

KNATIVE_ANNOTATIONS = Table("Annotations that both have", _COMMON, rest=_REST, closed=CLOSED)
ANNOTATIONS = Table(
    "Annotations of an InferenceService",
    (
        *(
            Field(
                key, Fate.TRANSLATED, "a node selector for cloud.google.com/gke-accelerator, with a GPU limit", Text()
            )
            for key in ACCELERATORS
        ),
        Field(STOP, Fate.TRANSLATED, '"true": the manifest is left out, with a warning', Text()),
        Field(MODE, Fate.TRANSLATED, "the same for all modes but ModelMesh, which is refused", Text()),
        Field(SCALED_BY, Fate.TRANSLATED, "external and none are as here; hpa and keda are warned of", Text()),
        Field(TAGS, Fate.TRANSLATED, '"true": the newest revision is reached by the tag `latest`', Text()),
        Field(PROMETHEUS, Fate.TRANSLATED, '"true": prometheus.io annotations on the pods', Text()),
        Field(READONLY, Fate.TRANSLATED, '"false": volumes of models are mounted writable', Text()),
        Field(GPU_TYPES, Fate.TRANSLATED, "resource names that count as GPUs, too", Text()),
        Field(HOSTS, Fate.WARNED, "what is rendered has the manifest's hosts; with kserve: true these are added"),
    ),
    includes=(KNATIVE_ANNOTATIONS,),
    closed=CLOSED,
)
LABELS = Table(
    "Labels",
    (
        Field(
            VISIBILITY[0],
            Fate.TRANSLATED,
            "cluster-local: no host below `manifests.domain`",
            Text(),
            also=VISIBILITY[1:],
        ),
    ),
    rest=Field("*", Fate.HONOURED, "on the Deployments, and those of an InferenceService also on the pods", Text()),
)
