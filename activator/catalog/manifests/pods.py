"""The fields of pods and containers: passed on to the Deployment as they are, but for those it cannot have."""

from __future__ import annotations

from activator.catalog.manifests.shapes import Items, Mapping, Text, Texts
from activator.catalog.manifests.table import Fate, Field, Table
from activator.settings.numbers import Whole
from activator.settings.rules import Flag, Rule

INT64 = 2**63 - 1
_POD = "in the pod as it is"
_CONTAINER = "in the container as it is"
_POD_FIELDS: tuple[tuple[str, Rule], ...] = (
    ("volumes", Items()),
    ("initContainers", Items()),
    ("terminationGracePeriodSeconds", Whole(0, INT64)),
    ("dnsPolicy", Text()),
    ("dnsConfig", Mapping()),
    ("nodeSelector", Texts()),
    ("nodeName", Text()),
    ("affinity", Mapping()),
    ("tolerations", Items()),
    ("topologySpreadConstraints", Items()),
    ("schedulerName", Text()),
    ("schedulingGates", Items()),
    ("priorityClassName", Text()),
    ("priority", Whole(-(2**31))),
    ("preemptionPolicy", Text()),
    ("serviceAccountName", Text()),
    ("serviceAccount", Text()),
    ("automountServiceAccountToken", Flag()),
    ("imagePullSecrets", Items()),
    ("securityContext", Mapping()),
    ("runtimeClassName", Text()),
    ("hostNetwork", Flag()),
    ("hostPID", Flag()),
    ("hostIPC", Flag()),
    ("hostUsers", Flag()),
    ("hostname", Text()),
    ("hostnameOverride", Text()),
    ("subdomain", Text()),
    ("setHostnameAsFQDN", Flag()),
    ("hostAliases", Items()),
    ("shareProcessNamespace", Flag()),
    ("enableServiceLinks", Flag()),
    ("readinessGates", Items()),
    ("overhead", Mapping()),
    ("os", Mapping()),
    ("resourceClaims", Items()),
)
_PASSED: tuple[tuple[str, Rule], ...] = (
    ("name", Text()),
    ("image", Text()),
    ("command", Items(str)),
    ("args", Items(str)),
    ("workingDir", Text()),
    ("envFrom", Items()),
    ("resizePolicy", Items()),
    ("restartPolicy", Text()),
    ("restartPolicyRules", Items()),
    ("volumeMounts", Items()),
    ("volumeDevices", Items()),
    ("lifecycle", Mapping()),
    ("terminationMessagePath", Text()),
    ("terminationMessagePolicy", Text()),
    ("imagePullPolicy", Text()),
    ("securityContext", Mapping()),
    ("stdin", Flag()),
    ("stdinOnce", Flag()),
    ("tty", Flag()),
)
RESOURCES = Table(
    "Resources",
    (
        Field("limits", Fate.HONOURED, "in the pod as they are; GPUs are known by them", Texts()),
        Field("requests", Fate.HONOURED, "in the pod as they are", Texts()),
        Field("claims", Fate.HONOURED, "in the pod as they are", Items()),
    ),
)
_PORT = Table(
    "Port of a container",
    (
        Field("containerPort", Fate.HONOURED, "port that requests are sent to; 8080 if there is none", Whole(1, 65535)),
        Field("name", Fate.TRANSLATED, "h2c and grpc are warned of: requests are sent as HTTP/1.1", Text()),
        Field("protocol", Fate.HONOURED, _CONTAINER, Text()),
        Field("hostPort", Fate.HONOURED, _CONTAINER, Whole(1, 65535)),
        Field("hostIP", Fate.HONOURED, _CONTAINER, Text()),
    ),
)
_ENV = Table(
    "Environment variable of a container",
    (
        Field("name", Fate.HONOURED, _CONTAINER, Text(empty=False)),
        Field("value", Fate.TRANSLATED, "STORAGE_URI is the place of the model, mounted at /mnt/models", Text()),
        Field("valueFrom", Fate.HONOURED, _CONTAINER, Mapping()),
    ),
)

_FIELDS = (
    *(Field(key, Fate.HONOURED, _CONTAINER, rule) for key, rule in _PASSED),
    Field("resources", Fate.HONOURED, _CONTAINER, inside=RESOURCES),
    Field("ports", Fate.HONOURED, "the first one takes the requests", each=_PORT),
    Field("env", Fate.HONOURED, _CONTAINER, each=_ENV),
    Field("readinessProbe", Fate.TRANSLATED, "an httpGet path is what the edge asks; else TCP", Mapping()),
    Field("livenessProbe", Fate.TRANSLATED, "in the container, with its port where none is named", Mapping()),
    Field("startupProbe", Fate.TRANSLATED, "in the container, with its port where none is named", Mapping()),
)
CONTAINER = Table("Container", _FIELDS)
POD_FIELDS = (
    *(Field(key, Fate.HONOURED, _POD, rule) for key, rule in _POD_FIELDS),
    Field("resources", Fate.HONOURED, _POD, inside=RESOURCES),
    Field(
        "containers",
        Fate.HONOURED,
        "the first one is the model's; a transformer-container takes its requests",
        each=CONTAINER,
    ),
    Field("restartPolicy", Fate.WARNED, "the pods of a Deployment are always restarted"),
    Field("activeDeadlineSeconds", Fate.WARNED, "the pods of a Deployment have no deadline"),
    Field("ephemeralContainers", Fate.WARNED, "they cannot be part of a Deployment"),
)
POD = Table("Pod", POD_FIELDS)
