"""The fields of InferenceServices (v1beta1 of both groups, v1alpha2), and what becomes of them.

Sources: pkg/apis/serving of kserve/kserve, at v0.20 and in the releases of kubeflow/kfserving.
"""

from __future__ import annotations

from activator.catalog.manifests.annotations import ANNOTATIONS
from activator.catalog.manifests.pods import CONTAINER, CONTAINER_FIELDS, POD_FIELDS
from activator.catalog.manifests.shapes import Items, Mapping, Text, Texts
from activator.catalog.manifests.table import Fate, Field, Table
from activator.settings.numbers import Number, Whole

FRAMEWORKS = (
    "tensorflow",
    "pytorch",
    "sklearn",
    "xgboost",
    "lightgbm",
    "onnx",
    "triton",
    "pmml",
    "paddle",
    "huggingface",
)
EXPLAINERS = ("alibi", "art", "aix")
PREDICTOR, TRANSFORMER, EXPLAINER = ROLES = ("predictor", "transformer", "explainer")
_SERVER_FIELDS = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "ownerReferences",
    "finalizers",
)
_SCALE = (
    Field("minReplicas", Fate.TRANSLATED, "`min-scale`; missing = `manifests.min-replicas-default`", Whole(0)),
    Field("maxReplicas", Fate.TRANSLATED, "`max-scale`, 0 = none", Whole(0)),
)
_LOGGER = Field("logger", Fate.WARNED, "payloads are not logged; there is no agent beside the model")
_BATCHER = Field("batcher", Fate.WARNED, "requests are not batched here; let the model's server do it")
_CONCURRENCY = "`container-concurrency`: a hard limit per replica, and the target"

COMPONENT_FIELDS = (
    *_SCALE,
    Field("containerConcurrency", Fate.TRANSLATED, _CONCURRENCY, Whole(0)),
    Field("scaleTarget", Fate.TRANSLATED, "`target`", Number(0.01)),
    Field("scaleMetric", Fate.TRANSLATED, "`metric`: concurrency or rps; cpu and memory are warned of", Text()),
    Field("scaleMetricType", Fate.WARNED, "a target is always an average over the replicas"),
    Field("autoScaling", Fate.WARNED, "it is for HPA and KEDA; write scaleTarget and scaleMetric"),
    Field("timeout", Fate.TRANSLATED, "`total-timeout` and `first-byte-timeout`, seconds", Whole(0)),
    Field("canaryTrafficPercent", Fate.TRANSLATED, "share against the last rolled-out revision", Whole(0, 100)),
    Field("labels", Fate.HONOURED, "on the pods", Texts()),
    Field("annotations", Fate.TRANSLATED, "as those of the whole, and they win", inside=ANNOTATIONS),
    Field("deploymentStrategy", Fate.HONOURED, "of the Deployment", Mapping()),
    _LOGGER,
    _BATCHER,
)
_STORAGE_URIS = Field("storageUris", Fate.TRANSLATED, "several models, each at its mountPath", Items())
_STORAGE = Table(
    "Storage of a model",
    (
        Field("key", Fate.TRANSLATED, "key of the Secret storage-config", Text()),
        Field("path", Fate.TRANSLATED, "path in the bucket", Text()),
        Field("parameters", Fate.TRANSLATED, "type and bucket make the URI", Texts()),
        Field("schemaPath", Fate.WARNED, "it is for ModelMesh"),
    ),
)
_SERVED = (
    *CONTAINER_FIELDS,
    Field("storageUri", Fate.TRANSLATED, "pvc:// is a mount, others are fetched by an init container", Text()),
    Field("runtimeVersion", Fate.TRANSLATED, "tag of the runtime's image", Text()),
    Field("storage", Fate.TRANSLATED, "the place of the model, by Secret storage-config", inside=_STORAGE),
    Field("confidential", Fate.WARNED, "models are not decrypted"),
)
_PROTOCOL = Field("protocolVersion", Fate.TRANSLATED, "v1 or v2: the readiness path; gRPC is warned of", Text())
MODEL = Table("A built-in predictor", (*_SERVED, _PROTOCOL))
_PYTORCH = Table(
    "pytorch",
    (*_SERVED, _PROTOCOL, Field("modelClassName", Fate.WARNED, "TorchServe finds the class in the archive")),
)
_FORMAT = Table(
    "modelFormat",
    (
        Field("name", Fate.TRANSLATED, "the framework, whose image is a setting", Text()),
        Field("version", Fate.WARNED, "the framework's image is a setting; write runtimeVersion"),
    ),
)
_GENERAL = Table(
    "model",
    (
        *_SERVED,
        _PROTOCOL,
        Field("modelFormat", Fate.TRANSLATED, "the framework", inside=_FORMAT),
        Field("runtime", Fate.TRANSLATED, "the framework, where the name tells it (kserve-sklearnserver, ...)", Text()),
    ),
)
_EXPLAINER = Table(
    "A built-in explainer",
    (
        *_SERVED,
        Field("type", Fate.TRANSLATED, "the explainer's argument", Text()),
        Field("config", Fate.TRANSLATED, "arguments", Texts()),
    ),
)
_WORKER = Field("workerSpec", Fate.TRANSLATED, "refused: a replica is one pod", Mapping())
_PREDICTOR = (
    Field("name", Fate.TRANSLATED, "part of the revision's name and its tag", Text()),
    *(
        Field(key, Fate.TRANSLATED, "a container by the runtime's image", inside=MODEL)
        for key in FRAMEWORKS
        if key != "pytorch"
    ),
    Field("pytorch", Fate.TRANSLATED, "a container by the runtime's image", inside=_PYTORCH),
    Field("model", Fate.TRANSLATED, "a container by the framework's image", inside=_GENERAL),
    _STORAGE_URIS,
    Field("storageContainerName", Fate.WARNED, "the storage initializer's image is a setting"),
    _WORKER,
)
_PREDICTOR_TABLE = Table("Predictor", (*_PREDICTOR, *COMPONENT_FIELDS, *POD_FIELDS))
_CANARY = Table(
    "Canary",
    (
        Field("predictor", Fate.TRANSLATED, "another revision of the predictor", inside=_PREDICTOR_TABLE),
        Field("trafficPercent", Fate.TRANSLATED, "its share; they sum to 100 at most", Whole(0, 100)),
    ),
)
_BETA = Table(
    "spec of v1beta1",
    (
        Field("predictor", Fate.TRANSLATED, "a service", inside=_PREDICTOR_TABLE),
        Field(
            "transformer",
            Fate.TRANSLATED,
            "a service in front of the predictor, which it reaches through the edge",
            inside=Table("Transformer", (_STORAGE_URIS, *COMPONENT_FIELDS, *POD_FIELDS)),
        ),
        Field(
            "explainer",
            Fate.TRANSLATED,
            "a service for paths that end in :explain",
            inside=Table(
                "Explainer",
                (
                    *(Field(key, Fate.TRANSLATED, "a container by the image", inside=_EXPLAINER) for key in EXPLAINERS),
                    _STORAGE_URIS,
                    *COMPONENT_FIELDS,
                    *POD_FIELDS,
                ),
            ),
        ),
        Field("canary", Fate.TRANSLATED, "further revisions with their shares", each=_CANARY),
    ),
)

_ALPHA_FIELDS = (
    *_SCALE,
    Field("parallelism", Fate.TRANSLATED, _CONCURRENCY, Whole(0)),
    Field("serviceAccountName", Fate.HONOURED, "in the pod as it is", Text()),
    _LOGGER,
    _BATCHER,
)
_CUSTOM = Field(
    "custom",
    Fate.TRANSLATED,
    "the pod's container",
    inside=Table("custom", (Field("container", Fate.HONOURED, "the pod's container", inside=CONTAINER),)),
)
_ALPHA_MODEL = Table(
    "A built-in predictor of v1alpha2",
    (
        Field("storageUri", Fate.TRANSLATED, "pvc:// is a mount, others are fetched by an init container", Text()),
        Field("runtimeVersion", Fate.TRANSLATED, "tag of the runtime's image", Text()),
        Field("resources", Fate.HONOURED, "in the container as it is", Mapping()),
        Field("modelClassName", Fate.WARNED, "TorchServe finds the class in the archive"),
        Field("nthread", Fate.TRANSLATED, "argument --nthread of xgboost's server", Whole(1)),
        Field("type", Fate.TRANSLATED, "the explainer's argument", Text()),
        Field("config", Fate.TRANSLATED, "the explainer's arguments", Texts()),
    ),
)
_ENDPOINT = Table(
    "default and canary of v1alpha2",
    tuple(
        Field(
            role,
            Fate.TRANSLATED,
            "a revision",
            inside=Table(
                f"{role} of v1alpha2",
                (
                    _CUSTOM,
                    *(Field(key, Fate.TRANSLATED, "a container by the image", inside=_ALPHA_MODEL) for key in kinds),
                    *_ALPHA_FIELDS,
                ),
            ),
        )
        for role, kinds in ((PREDICTOR, FRAMEWORKS), (TRANSFORMER, ()), (EXPLAINER, EXPLAINERS))
    ),
)
_ALPHA = Table(
    "spec of v1alpha2",
    (
        Field("default", Fate.TRANSLATED, "the revisions that have the rest of the traffic", inside=_ENDPOINT),
        Field("canary", Fate.TRANSLATED, "revisions with canaryTrafficPercent of the traffic", inside=_ENDPOINT),
        Field("canaryTrafficPercent", Fate.TRANSLATED, "the canary's share", Whole(0, 100)),
    ),
)


def metadata(annotations: Table) -> Table:
    """Return the fields of an object's metadata."""
    return Table(
        "metadata",
        (
            Field("name", Fate.HONOURED, "name of the service", Text()),
            Field("namespace", Fate.HONOURED, "namespace, and part of the host names", Text()),
            Field("labels", Fate.HONOURED, "on the pods", Texts()),
            Field("annotations", Fate.TRANSLATED, "see there", inside=annotations),
            Field("generateName", Fate.WARNED, "a service needs a name of its own"),
            *(Field(key, Fate.SERVER, "written by the API server") for key in _SERVER_FIELDS),
        ),
    )


def _object(title: str, spec: Table) -> Table:
    return Table(
        title,
        (
            Field("apiVersion", Fate.HONOURED, "which fields there are", Text()),
            Field("kind", Fate.HONOURED, "which fields there are", Text()),
            Field("metadata", Fate.HONOURED, "see there", inside=metadata(ANNOTATIONS)),
            Field("spec", Fate.TRANSLATED, "see there", inside=spec),
            Field("status", Fate.SERVER, "written by the API server"),
        ),
    )


BETA = _object("InferenceService v1beta1", _BETA)
ALPHA = _object("InferenceService v1alpha2", _ALPHA)
