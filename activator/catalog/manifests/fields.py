"""The fields of InferenceServices (v1beta1 of both groups, v1alpha2), and what becomes of them.

Sources: pkg/apis/serving of kserve/kserve, at v0.20 and in the releases of kubeflow/kfserving.
"""

from __future__ import annotations

from activator.catalog.manifests.annotations import ANNOTATIONS, LABELS
from activator.catalog.manifests.pods import CONTAINER, POD, RESOURCES
from activator.catalog.manifests.shapes import Mapping, Text, Texts
from activator.catalog.manifests.table import Fate, Field, Table
from activator.settings.numbers import Number, Whole
from activator.settings.texts import Label

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
_STORED = "pvc:// is a mount, others are fetched by an init container"
_BY_IMAGE = "a container of the image that is set for it"

_URI = Table(
    "Place of a model",
    (
        Field("uri", Fate.TRANSLATED, _STORED, Text(empty=False)),
        Field("mountPath", Fate.TRANSLATED, "where the files are in the container; /mnt/models if missing", Text()),
    ),
)
COMPONENT = Table(
    "Every component",
    (
        *_SCALE,
        Field("containerConcurrency", Fate.TRANSLATED, f"{_CONCURRENCY}; 0 = none", Whole(0)),
        Field("scaleTarget", Fate.TRANSLATED, "`target`", Number(0.01)),
        Field("scaleMetric", Fate.TRANSLATED, "`metric`: concurrency or rps; cpu and memory are warned of", Text()),
        Field("scaleMetricType", Fate.WARNED, "a target is always an average over the replicas"),
        Field("autoScaling", Fate.WARNED, "it is for HPA and KEDA; write scaleTarget and scaleMetric"),
        Field("timeout", Fate.TRANSLATED, "`total-timeout` and `first-byte-timeout`, seconds", Whole(0)),
        Field("canaryTrafficPercent", Fate.TRANSLATED, "share against the last rolled-out revision", Whole(0, 100)),
        Field("storageUris", Fate.TRANSLATED, "several models, each at its mountPath", each=_URI),
        Field("labels", Fate.HONOURED, "on the pods", Texts()),
        Field("annotations", Fate.TRANSLATED, "as those of the whole, and they win", inside=ANNOTATIONS),
        Field("deploymentStrategy", Fate.HONOURED, "of the Deployment", Mapping()),
        _LOGGER,
        _BATCHER,
    ),
    includes=(POD,),
)
_STORAGE = Table(
    "Storage of a model",
    (
        Field(
            "key", Fate.TRANSLATED, "key of the Secret storage-config; missing = default_TYPE, if it is there", Text()
        ),
        Field("path", Fate.TRANSLATED, "path in the bucket", Text()),
        Field(
            "parameters",
            Fate.TRANSLATED,
            "type and, for s3, bucket make the URI; all of them overrule the Secret",
            Texts(),
        ),
        Field("schemaPath", Fate.WARNED, "it is for ModelMesh"),
    ),
)
_SERVER = Table(
    "Built-in server",
    (
        Field("storageUri", Fate.TRANSLATED, _STORED, Text()),
        Field("runtimeVersion", Fate.TRANSLATED, "tag of the image", Text()),
        Field("storage", Fate.TRANSLATED, "the place of the model, by Secret storage-config", inside=_STORAGE),
        Field("confidential", Fate.WARNED, "models are not decrypted"),
    ),
    includes=(CONTAINER,),
)
_PROTOCOL = Field("protocolVersion", Fate.TRANSLATED, "v1 or v2: the readiness path; gRPC is warned of", Text())
_CLASS = Field("modelClassName", Fate.WARNED, "TorchServe finds the class in the archive")
_FRAMEWORK = Table("Framework", (_PROTOCOL,), includes=(_SERVER,))
_FORMAT = Table(
    "Format of a model",
    (
        Field("name", Fate.TRANSLATED, "the framework, whose image is a setting", Text()),
        Field("version", Fate.WARNED, "the framework's image is a setting; write runtimeVersion"),
    ),
)
_MODEL = Table(
    "Model",
    (
        Field("modelFormat", Fate.TRANSLATED, "the framework", inside=_FORMAT),
        Field("runtime", Fate.TRANSLATED, "the framework, where the name tells it (kserve-sklearnserver, ...)", Text()),
    ),
    includes=(_FRAMEWORK,),
)
_EXPLAINED = (
    Field("type", Fate.TRANSLATED, "the explainer's argument", Text()),
    Field("config", Fate.TRANSLATED, "arguments", Texts()),
)
_PREDICTOR = Table(
    "Predictor",
    (
        Field("name", Fate.TRANSLATED, "part of the revision's name; of a canary, its tag", Label()),
        *(Field(key, Fate.TRANSLATED, _BY_IMAGE, inside=_FRAMEWORK) for key in FRAMEWORKS if key != "pytorch"),
        Field("pytorch", Fate.TRANSLATED, _BY_IMAGE, inside=Table("PyTorch", (_CLASS,), includes=(_FRAMEWORK,))),
        Field("model", Fate.TRANSLATED, "a container of the image that is set for its format", inside=_MODEL),
        Field("storageContainerName", Fate.WARNED, "the storage initializer's image is a setting"),
        Field("workerSpec", Fate.REFUSED, "a replica is one pod here, models over several nodes are not run"),
    ),
    includes=(COMPONENT,),
)
_EXPLAINER = Table(
    "Explainer",
    tuple(
        Field(key, Fate.TRANSLATED, _BY_IMAGE, inside=Table("Built-in explainer", _EXPLAINED, includes=(_SERVER,)))
        for key in EXPLAINERS
    ),
    includes=(COMPONENT,),
)
_CANARY = Table(
    "Canary",
    (
        Field("predictor", Fate.TRANSLATED, "another revision of the predictor", inside=_PREDICTOR),
        Field("trafficPercent", Fate.TRANSLATED, "its share; they sum to 100 at most", Whole(0, 100)),
    ),
)
_IN_FRONT = "a service in front of the predictor, which it reaches through the edge"
_BETA = Table(
    "spec of v1beta1",
    (
        Field("predictor", Fate.TRANSLATED, "a service", inside=_PREDICTOR),
        Field("transformer", Fate.TRANSLATED, _IN_FRONT, inside=COMPONENT),
        Field("explainer", Fate.TRANSLATED, "a service for the paths of explanations", inside=_EXPLAINER),
        Field("canary", Fate.TRANSLATED, "further revisions with their shares", each=_CANARY),
    ),
)

_CUSTOM = Table("custom", (Field("container", Fate.HONOURED, "the pod's container", inside=CONTAINER),))
_OLD_COMPONENT = Table(
    "Every component of v1alpha2",
    (
        *_SCALE,
        Field("parallelism", Fate.TRANSLATED, _CONCURRENCY, Whole(0)),
        Field("serviceAccountName", Fate.HONOURED, "in the pod as it is", Text()),
        Field("custom", Fate.TRANSLATED, "the pod's container", inside=_CUSTOM),
        _LOGGER,
        _BATCHER,
    ),
)
_OLD_SERVER = Table(
    "Built-in server of v1alpha2",
    (
        Field("storageUri", Fate.TRANSLATED, _STORED, Text()),
        Field("runtimeVersion", Fate.TRANSLATED, "tag of the image", Text()),
        Field("resources", Fate.HONOURED, "in the container as it is", inside=RESOURCES),
    ),
)
_THREADS = Field("nthread", Fate.TRANSLATED, "argument --nthread", Whole(1))
_OLD_EXTRAS: dict[str, tuple[Field, ...]] = {
    "pytorch": (_CLASS,),
    "xgboost": (_THREADS,),
    "alibi": _EXPLAINED,
    "aix": _EXPLAINED,
}


def _old_server(kind: str) -> Table:
    extra = _OLD_EXTRAS.get(kind)
    return Table(f"{kind} of v1alpha2", extra, includes=(_OLD_SERVER,)) if extra else _OLD_SERVER


def _old(role: str, kinds: tuple[str, ...]) -> Field:
    servers = tuple(Field(kind, Fate.TRANSLATED, _BY_IMAGE, inside=_old_server(kind)) for kind in kinds)
    table = Table(f"{role.capitalize()} of v1alpha2", servers, includes=(_OLD_COMPONENT,))
    return Field(role, Fate.TRANSLATED, "a service, or a part of it", inside=table if servers else _OLD_COMPONENT)


_ENDPOINT = Table(
    "default and canary of v1alpha2",
    (_old(PREDICTOR, FRAMEWORKS), _old(TRANSFORMER, ()), _old(EXPLAINER, ("alibi", "aix"))),
)
_ALPHA = Table(
    "spec of v1alpha2",
    (
        Field("default", Fate.TRANSLATED, "the revisions that have the rest of the traffic", inside=_ENDPOINT),
        Field("canary", Fate.TRANSLATED, "revisions with canaryTrafficPercent of the traffic", inside=_ENDPOINT),
        Field("canaryTrafficPercent", Fate.TRANSLATED, "the canary's share", Whole(0, 100)),
    ),
)


def metadata(title: str, annotations: Table) -> Table:
    """Return the fields of an object's metadata."""
    return Table(
        title,
        (
            Field("name", Fate.HONOURED, "name of the service", Text()),
            Field("namespace", Fate.HONOURED, "namespace, and part of the host names", Label()),
            Field("labels", Fate.HONOURED, "", inside=LABELS),
            Field("annotations", Fate.TRANSLATED, "", inside=annotations),
            Field("generateName", Fate.WARNED, "a service needs a name of its own"),
            *(Field(key, Fate.SERVER, "written by the API server") for key in _SERVER_FIELDS),
        ),
    )


def manifest(title: str, about: Table, spec: Table) -> Table:
    """Return the fields of an object, with its metadata `about` it."""
    return Table(
        title,
        (
            Field("apiVersion", Fate.HONOURED, "which fields there are", Text()),
            Field("kind", Fate.HONOURED, "which fields there are", Text()),
            Field("metadata", Fate.HONOURED, "", inside=about),
            Field("spec", Fate.TRANSLATED, "", inside=spec),
            Field("status", Fate.SERVER, "written by the API server"),
        ),
    )


_METADATA = metadata("metadata of an InferenceService", ANNOTATIONS)
BETA = manifest("InferenceService v1beta1", _METADATA, _BETA)
ALPHA = manifest("InferenceService v1alpha2", _METADATA, _ALPHA)
