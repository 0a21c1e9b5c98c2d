"""Manifests that together write every field that counts, so that it can be seen what each of them does."""

from __future__ import annotations

from typing import Any

from activator.catalog.manifests.annotations import (
    ACCELERATORS,
    ANNOTATIONS,
    GPU_TYPES,
    KNATIVE_ANNOTATIONS,
    MODE,
    PROMETHEUS,
    READONLY,
    SCALED_BY,
    STOP,
    TAGS,
)
from activator.catalog.manifests.fields import EXPLAINERS, FRAMEWORKS
from activator.catalog.manifests.pods import CONTAINER, POD
from activator.catalog.manifests.runtimes import protocols
from activator.catalog.manifests.shapes import Items, Mapping, Text, Texts
from activator.catalog.manifests.table import Fate, Field, Table
from activator.settings.numbers import Duration, Number, Size, Whole
from activator.settings.places import File
from activator.settings.rules import Choice, Flag
from activator.settings.texts import Host, Target
from tests.activator.catalog.manifests.written import ALPHA, BETA, KNATIVE, OLD_BETA
from tests.certificates import CA

Data = dict[str, Any]
COUNTS = {Fate.HONOURED, Fate.TRANSLATED}
ENV = [
    {"name": "STORAGE_URI", "value": "pvc://claim/m"},
    {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
]
PORT = {"containerPort": 81, "name": "h2c", "protocol": "TCP", "hostPort": 8081, "hostIP": "127.0.0.1"}
RESOURCES = {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "1"}, "claims": [{"name": "x"}]}
SPECIAL: Data = {
    "env": ENV,
    "ports": [PORT],
    "readinessProbe": {"httpGet": {"path": "/up"}},
    "livenessProbe": {"tcpSocket": {}},
    "startupProbe": {"tcpSocket": {}},
    "autoscaling.knative.dev/metric": "rps",
    "autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev",
    "gpu-activator/container-concurrency": "9",
    "gpu-activator/models": "asked, other",
    "gpu-activator/sticky": "address",
    "gpu-activator/canary-steps": "3, 7",
    ACCELERATORS[0]: "one",
    ACCELERATORS[1]: "two",
    STOP: "true",
    MODE: "ModelMesh",
    SCALED_BY: "keda",
    TAGS: "true",
    PROMETHEUS: "true",
    READONLY: "false",
    GPU_TYPES: "example.com/npu",
}
BY_RULE: tuple[tuple[type, Any], ...] = (
    (Duration, "7s"),
    (Size, "77KiB"),
    (Flag, True),
    (Texts, {"x": "y"}),
    (Mapping, {"x": "y"}),
    (Target, "/asked"),
    (File, str(CA)),
    (Host, "asked.example"),
    (Text, "asked"),
)


def value(field: Field) -> Any:
    """Return a value for a field that is unlike what its absence means."""
    if field.key in SPECIAL:
        return SPECIAL[field.key]
    rule = field.rule
    if isinstance(rule, Items):
        return ["x"] if rule.of is str else [{"name": "x"}]
    if isinstance(rule, Choice):
        return rule.words[-1]
    if isinstance(rule, (Whole, Number)):
        return 111 if rule.low > 100 else 3
    if isinstance(rule, Flag):
        return not field.key.startswith("gpu-activator")
    return next(made for kind, made in BY_RULE if isinstance(rule, kind))


def every(table: Table, *without: str) -> Data:
    """Return a mapping with every plain field of a table that counts."""
    fields = [each for each in table.all_fields() if each.fate in COUNTS and each.inside is None]
    made = {each.key: value(each) for each in fields if each.key not in without}
    return {**made, "resources": RESOURCES} if table is CONTAINER else made


def notes_of(table: Table, *without: str) -> Data:
    """Return annotations, as text, but for those that are tried alone, and those that begin with `without`."""
    made = every(table, STOP, MODE, GPU_TYPES, ACCELERATORS[1], "autoscaling.knative.dev/class")
    kept = {key: each for key, each in made.items() if not key.startswith(without or "\0")}
    return {key: str(each).lower() if isinstance(each, bool) else str(each) for key, each in kept.items()}


CONTAINERS = [{**every(CONTAINER, "image"), "image": "m:1"}]
POD_FIELDS = every(POD, "containers", "serviceAccount")
STORED = {"storageUri": "s3://a/b", "runtimeVersion": "9", "protocolVersion": "v2"}
PLACE = {"key": "k", "path": "p", "parameters": {"type": "s3", "bucket": "b"}}
COMPONENT = {
    "maxReplicas": 9,
    "containerConcurrency": 2,
    "scaleTarget": 2,
    "scaleMetric": "rps",
    "timeout": 77,
    "storageUris": [{"uri": "pvc://a/b", "mountPath": "/mnt/more"}],
    "labels": {"of": "component"},
    "annotations": {"example.com/of": "component"},
    "deploymentStrategy": {"type": "Recreate"},
}


def stored(kind: str) -> Data:
    """Return what a framework is told, without a protocol where it makes no difference."""
    return {key: each for key, each in STORED.items() if key != "protocolVersion" or len(protocols(kind)) > 1}


def of(api: str, kind: str, spec: Data, **metadata: Any) -> Data:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "m", "namespace": "ml", **metadata}, "spec": spec}


def beta(predictor: Data, api: str = BETA, notes: Data | None = None, **spec: Any) -> Data:
    labels = {"networking.kserve.io/visibility": "cluster-local", "team": "vision"}
    spec = {"predictor": {"minReplicas": 2, **predictor}, **spec}
    return of(api, "InferenceService", spec, labels=labels, annotations=notes or {})


def alpha(**endpoint: Any) -> Data:
    return of(ALPHA, "InferenceService", {"default": endpoint})


OLD = {"minReplicas": 2, "maxReplicas": 9, "parallelism": 2, "serviceAccountName": "s"}
OLD_SERVER = {"storageUri": "s3://a/b", "runtimeVersion": "9", "resources": RESOURCES}
OLD_BOX = {"container": CONTAINERS[0]}
TEMPLATE = {
    "containerConcurrency": 2,
    "timeoutSeconds": 77,
    "responseStartTimeoutSeconds": 66,
    "idleTimeoutSeconds": 55,
    "containers": CONTAINERS,
    **POD_FIELDS,
}
TRAFFIC = [
    {"latestRevision": True, "percent": 60, "tag": "new"},
    {"revisionName": "m-one", "percent": 40, "tag": "old"},
]

ALONE = (STOP, MODE, *ACCELERATORS)
# manifests of which only one field is looked at, since it makes all others idle
FOCUS = {f"annotation {key}": key for key in ALONE}
MANIFESTS: dict[str, Data] = {
    "custom": beta({"containers": CONTAINERS, **COMPONENT, **POD_FIELDS, "canaryTrafficPercent": 40, "name": "blue"}),
    "pod resources": beta({"containers": [{"image": "m:1"}], "resources": RESOURCES, "serviceAccount": "s"}),
    "annotations": beta(
        {"containers": CONTAINERS},
        notes=notes_of(ANNOTATIONS),
    ),
    **{f"annotation {key}": beta({"containers": CONTAINERS}, notes={key: SPECIAL[key]}) for key in ALONE},
    "gpu types": beta(
        {"containers": [{"image": "m:1", "resources": {"limits": {"example.com/npu": 1}}}]},
        notes={GPU_TYPES: "example.com/npu", ACCELERATORS[0]: "npu"},
    ),
    **{
        f"framework {kind}": beta({kind: {**every(CONTAINER, "image", "readinessProbe"), **stored(kind)}})
        for kind in FRAMEWORKS
    },
    "readonly": beta({"sklearn": STORED}, notes={READONLY: "false"}),
    "storage": beta({"sklearn": {"storage": PLACE}}),
    "format": beta({"model": {"modelFormat": {"name": "sklearn"}, **STORED}}),
    "runtime": beta({"model": {"runtime": "kserve-xgbserver", **STORED}}),
    "canary": beta({"sklearn": STORED}, canary=[{"predictor": {"name": "c", "xgboost": STORED}, "trafficPercent": 9}]),
    "transformer": beta({"sklearn": STORED}, OLD_BETA, transformer={"containers": CONTAINERS, "minReplicas": 2}),
    **{
        f"explainer {kind}": beta(
            {"sklearn": STORED},
            explainer={"minReplicas": 2, kind: {**STORED, "type": "x", "config": {"a": "b"}}},
        )
        for kind in EXPLAINERS
    },
    "alpha custom": alpha(
        predictor={**OLD, "custom": OLD_BOX},
        transformer={**OLD, "custom": OLD_BOX},
        explainer={**OLD, "custom": OLD_BOX},
    ),
    **{f"alpha {kind}": alpha(predictor={**OLD, kind: {**OLD_SERVER, "nthread": 3}}) for kind in FRAMEWORKS},
    **{
        f"alpha explainer {kind}": alpha(
            predictor={"sklearn": OLD_SERVER}, explainer={kind: {**OLD_SERVER, "type": "x", "config": {"a": "b"}}}
        )
        for kind in ("alibi", "aix")
    },
    "alpha canary": of(
        ALPHA,
        "InferenceService",
        {
            "default": {"predictor": {"sklearn": OLD_SERVER}},
            "canary": {"predictor": {"xgboost": OLD_SERVER}},
            "canaryTrafficPercent": 9,
        },
    ),
    "knative": of(
        KNATIVE,
        "Service",
        {
            "template": {
                "metadata": {"labels": {"a": "b"}, "annotations": notes_of(KNATIVE_ANNOTATIONS, "gpu-activator/")},
                "spec": TEMPLATE,
            },
            "traffic": TRAFFIC,
        },
        labels={"networking.knative.dev/visibility": "cluster-local", "team": "vision"},
    ),
    "knative class": of(
        KNATIVE,
        "Service",
        {
            "template": {
                "metadata": {"annotations": {"autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev"}},
                "spec": {"containers": [{"image": "m:1"}]},
            }
        },
    ),
    "knative by name": of(
        KNATIVE,
        "Service",
        {
            "template": {"metadata": {"name": "m-two"}, "spec": {"containers": [{"image": "m:1"}]}},
            "traffic": [{"revisionName": "m-two", "percent": 60}, {"revisionName": "m-one", "percent": 40}],
        },
    ),
}
BEFORE = of(
    KNATIVE,
    "Service",
    {"template": {"metadata": {"name": "m-one"}, "spec": {"containers": [{"image": "m:0"}]}}},
)
