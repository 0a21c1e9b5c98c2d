"""From one component's fields to a revision: the pod, how it is asked, and how it is scaled."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from activator.catalog.manifests import probes, runtimes, scaling, storage
from activator.catalog.manifests.annotations import (
    ACCELERATORS,
    CLOSED,
    GPU_TYPES,
    PROMETHEUS,
    READONLY,
)
from activator.catalog.manifests.fields import EXPLAINER, EXPLAINERS, FRAMEWORKS, PREDICTOR
from activator.catalog.manifests.model import Revision, front_of, revision_name
from activator.catalog.manifests.names import served_name
from activator.catalog.manifests.pods import POD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.manifests.notes import Notes
    from activator.settings.manifests import Manifests
    from activator.settings.problems import Location

_NAME = re.compile(r"\{\{ *\.Name *\}\}")
_ASKED = re.compile(r"\{\{.*?\}\}")
MAIN = ("kserve-container", "kfserving-container")
GPUS = ("nvidia.com/gpu", "nvidia.com/mig-", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi")
GKE = "cloud.google.com/gke-accelerator"
STORAGE_URI = "STORAGE_URI"
DEFAULT_TIMEOUT = 60
_POD_KEYS = {field.key for field in POD.all_fields()}
_SERVED_KEYS = {"storageUri", "runtimeVersion", "storage", "protocolVersion", "modelFormat", "runtime", "nthread"}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a component is part of: the manifest's name, labels and annotations, and the host of its predictor."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, Any]
    predictor: str
    settings: Manifests
    notes: Notes


@dataclass(slots=True)
class Pod:
    """A pod while it is made: its spec, with the model's container first, and what is known of that."""

    spec: dict[str, Any]
    models: list[storage.Model]
    readiness: str = ""
    unplaced: bool = False  # nothing has told so far where the model is


def revision(role: str, component: str, spec: Mapping[str, Any], origin: Origin, at: Location) -> Revision | None:
    """Return the revision that `spec`, at `at` of the manifest, describes; None if something is wrong with it."""
    notes, known = origin.notes, len(origin.notes.errors)
    annotations = {**origin.annotations, **spec.get("annotations", {})}
    keys = scaling.of_inference_service(spec, annotations, origin.settings.min_replicas_default, (notes, at))
    pod = _pod(role, spec, origin, at)
    if pod is None or len(notes.errors) > known:
        return None
    _select_accelerator(pod.spec, annotations, role, (notes, at))
    labels = {**origin.labels, **spec.get("labels", {})}
    made = finished(component, pod, labels, annotations, (origin, at, spec, keys))
    return made if "minReplicas" in spec else replace(made, assumed=(_assumed(origin.settings),))


def _assumed(settings: Manifests) -> str:
    low = settings.min_replicas_default
    kserve = "as KServe has it" if low == 1 else "KServe would take 1"
    return f"names no minReplicas: it is {low}, by manifests.min-replicas-default ({kserve})"


def finished(
    component: str,
    pod: Pod,
    labels: Mapping[str, str],
    annotations: Mapping[str, Any],
    rest: tuple[Origin, Location, Mapping[str, Any], scaling.Keys],
) -> Revision:
    """Return a revision of a pod: models mounted, probes and port set."""
    origin, at, spec, keys = rest
    for each in pod.spec["containers"]:
        if not all(variable.get("name") for variable in each.get("env", ())):
            origin.notes.refuse(at, "a variable of the environment has no name")
    writable = annotations.get(READONLY) == "false"
    models = [replace(each, writable=writable) for each in pod.models]
    storage.mount(pod.spec, models, origin.settings)
    account = pod.spec.get("serviceAccountName") or pod.spec.get("serviceAccount") or ""
    for told in dict.fromkeys(storage.keys_lost(model, account, origin.settings) for model in models):
        if told:
            origin.notes.warn(at, told, account or None)
    front = front_of(pod.spec["containers"])
    known = pod.readiness if front is pod.spec["containers"][0] else ""
    port, readiness = probes.complete(front, known, (origin.notes, at))
    template = {
        "labels": dict(labels),
        "annotations": _carried(annotations, port),
        "spec": pod.spec,
    }
    return Revision(
        name=revision_name(component, template, port),
        template=template,
        port=port,
        readiness=readiness,
        keys=keys,
        strategy=spec.get("deploymentStrategy", {}),
        models=tuple(model.uri for model in models),
        at=(*origin.notes.at, *at),
    )


def pod_keys(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a component's fields is the pod's."""
    return {key: deepcopy(value) for key, value in spec.items() if key in _POD_KEYS}


def gpus(container: Mapping[str, Any], annotations: Mapping[str, Any]) -> bool:
    """Tell whether a container is limited to some GPUs, so that it has them."""
    kinds = (*GPUS, *(each.strip(' []"') for each in annotations.get(GPU_TYPES, "").split(",") if each.strip(' []"')))
    limits = container.get("resources", {}).get("limits", {})
    return any(name.startswith(kinds) for name in limits)


def _pod(role: str, spec: Mapping[str, Any], origin: Origin, at: Location) -> Pod | None:
    """Return the pod with the container of a built-in server, or the custom one, in front."""
    kinds = FRAMEWORKS if role == PREDICTOR else EXPLAINERS if role == EXPLAINER else ()
    named = [key for key in (*kinds, "model", "custom") if key in spec]
    if len(named) > 1 or not (named or spec.get("containers")):
        told = "names several models: " + ", ".join(named) if named else "names no model"
        allowed = "exactly one of " + ", ".join((*kinds, "containers")) if kinds else "containers"
        origin.notes.refuse(at, told, allowed=allowed)
        return None
    pod = Pod(pod_keys(spec), [])
    containers = pod.spec.get("containers", [])
    if not named:
        _custom(role, pod, spec, origin, (*at, "containers"))
    elif named == ["custom"]:
        pod.spec["containers"] = [deepcopy(spec["custom"].get("container", {})), *containers]
        _custom(role, pod, spec, origin, (*at, "custom", "container"))
    elif role == EXPLAINER:
        _explainer(named[0], pod, spec, origin, (*at, named[0]))
    else:
        _built_in(named[0], pod, spec, origin, (*at, named[0]))
    if not pod.spec.get("containers"):
        return None
    _more_models(pod, spec, origin.notes, (*at, "storageUris"))
    if pod.unplaced and not pod.models:
        origin.notes.warn((*at, named[0]), f"names no storageUri: its server finds no model at {storage.MODELS}")
    pod.spec["containers"][0].setdefault("name", MAIN[0])
    return pod


def _custom(role: str, pod: Pod, spec: Mapping[str, Any], origin: Origin, at: Location) -> None:
    containers = pod.spec["containers"]
    number = next((index for index, each in enumerate(containers) if each.get("name") in MAIN), 0)
    containers.insert(0, containers.pop(number))
    container = containers[0]
    if not container.get("image"):
        origin.notes.refuse(at, "the container has no image")
    if role != PREDICTOR:
        arguments = container.setdefault("args", [])
        for name, value in _told(spec, origin, probes.port_of(container)):
            if not any(each.partition("=")[0] == name for each in arguments):
                arguments += [name, value]
    for number, variable in enumerate(container.get("env", ())):
        if variable.get("name") == STORAGE_URI and variable.get("value"):
            if storage.check(variable["value"], origin.notes, (*at, "env", number, "value")):
                pod.models.append(storage.Model(variable["value"]))
            variable["value"] = storage.MODELS


def _built_in(kind: str, pod: Pod, spec: Mapping[str, Any], origin: Origin, at: Location) -> None:
    served, notes = spec[kind], origin.notes
    framework = _framework(kind, served, notes, at)
    if framework is None:
        return
    protocol = _protocol(framework, served, notes, at)
    timeout = spec.get("timeout") or DEFAULT_TIMEOUT
    base = runtimes.container(framework, protocol, origin.name, served, timeout)
    gpu = gpus(served, origin.annotations)
    picture = runtimes.image(framework, served, origin.settings.runtimes, protocol=protocol, gpu=gpu)
    _merge(pod, base, picture, served)
    _fill_in(pod.spec["containers"][0], origin, at)
    pod.readiness = runtimes.readiness(framework, served_name(pod.spec["containers"][0], origin.name), protocol)
    _stored(pod, served, notes, at)
    if framework == "huggingface":
        pod.unplaced = False  # it fetches by --model_id
        storage.share_memory(pod.spec)


def _told(spec: Mapping[str, Any], origin: Origin, port: int) -> list[tuple[str, str]]:
    """Return the arguments that KServe gives to transformers and explainers that do not write them themselves."""
    told = [("--model_name", origin.name), ("--predictor_host", origin.predictor), ("--http_port", str(port))]
    limit = spec.get("containerConcurrency") or spec.get("parallelism")
    return [*told, ("--workers", str(limit))] if limit else told


def _explainer(kind: str, pod: Pod, spec: Mapping[str, Any], origin: Origin, at: Location) -> None:
    served = spec[kind]
    base = runtimes.explainer(kind, served, _told(spec, origin, runtimes.PORT))
    picture = runtimes.image(kind, served, origin.settings.runtimes, protocol="", gpu=False)
    _merge(pod, base, picture, served)
    _stored(pod, served, origin.notes, at)
    pod.unplaced = False  # what it explains is with the predictor; some kinds have no files of their own


def _merge(pod: Pod, base: Mapping[str, Any], picture: str, served: Mapping[str, Any]) -> None:
    """Put the server's container in front: what the manifest writes counts, arguments are joined, and
    so are variables of the environment, each of which is there once."""
    own = {key: deepcopy(value) for key, value in served.items() if key not in _SERVED_KEYS | {"type", "config"}}
    container = {"name": MAIN[0], **base, **own, "image": picture}
    for key in ("args", "env"):
        if key in base or key in own:
            container[key] = [*deepcopy(base.get(key, [])), *own.get(key, [])]
    if "env" in container:
        container["env"] = [*{each.get("name"): each for each in container["env"]}.values()]
    pod.spec["containers"] = [container, *pod.spec.get("containers", [])]


def _fill_in(container: dict[str, Any], origin: Origin, at: Location) -> None:
    """Put the manifest's name where arguments and variables ask for it, as KServe does for the servers of models. What
    else they ask for stays as it is."""

    def filled(text: Any) -> Any:
        if not isinstance(text, str) or "{{" not in text:
            return text
        text = _NAME.sub(lambda _: origin.name, text)
        if found := _ASKED.search(text):
            origin.notes.warn(at, "is passed on as it is: of these, only {{.Name}} is filled in", found[0])
        return text

    for key in ("command", "args"):
        if key in container:
            container[key] = [filled(word) for word in container[key]]
    for variable in container.get("env", ()):
        if "value" in variable:
            variable["value"] = filled(variable["value"])


def _framework(kind: str, served: Mapping[str, Any], notes: Notes, at: Location) -> str | None:
    if kind != "model":
        return kind
    name = served.get("modelFormat", {}).get("name", "") or runtimes.BY_RUNTIME.get(served.get("runtime", ""), "")
    runtime = served.get("runtime")
    if runtime and runtime not in runtimes.BY_RUNTIME:
        notes.warn((*at, "runtime"), "is no runtime that is known here: the format's image is a setting", runtime)
    elif runtime:
        name = name if name in runtimes.BY_FORMAT.get(runtime, ()) else runtimes.BY_RUNTIME[runtime]
    if name in (*FRAMEWORKS, "mlflow"):
        return name
    known = ", ".join((*FRAMEWORKS, "mlflow"))
    notes.refuse((*at, "modelFormat"), "is no format that is known here", name, f"{known}; else write containers")
    return None


def _protocol(framework: str, served: Mapping[str, Any], notes: Notes, at: Location) -> str:
    by_format = framework in runtimes.BY_FORMAT.get(served.get("runtime", ""), ())
    protocol = str(served.get("protocolVersion", runtimes.V2 if by_format else ""))
    spoken = (runtimes.V2,) if by_format else runtimes.protocols(framework)
    if protocol and protocol not in spoken:
        told = f"has no effect: of {framework}, {' and '.join(spoken)} over HTTP can be passed on"
        notes.warn((*at, "protocolVersion"), told, protocol)
        return runtimes.V2 if by_format else ""
    return protocol


def _stored(pod: Pod, served: Mapping[str, Any], notes: Notes, at: Location) -> None:
    uri, place = served.get("storageUri", ""), served.get("storage") or None
    secret = None if place is None else storage.secret_of(place)
    if place is not None and uri and place.get("path"):
        notes.refuse((*at, "storage"), "and storageUri each name a place of the model: write one of them")
        return
    if place is not None and not uri:
        uri = storage.uri_of(place)
        if not uri:
            allowed = "parameters.type, and parameters.bucket for s3; what the Secret has is not known here"
            notes.refuse((*at, "storage"), "does not tell the place of the model", allowed=allowed)
            return
    if uri and storage.check(uri, notes, (*at, "storageUri")):
        pod.models.append(storage.Model(uri, secret=secret))
    if not uri and not pod.spec["containers"][0].get("volumeMounts"):
        pod.unplaced = True


def _more_models(pod: Pod, spec: Mapping[str, Any], notes: Notes, at: Location) -> None:
    for number, each in enumerate(spec.get("storageUris", ())):
        uri, path = each.get("uri"), each.get("mountPath", storage.MODELS)
        if not isinstance(uri, str) or not isinstance(path, str) or not path.startswith("/"):
            notes.refuse((*at, number), "needs a uri and an absolute mountPath")
        elif path in {model.path for model in pod.models}:
            notes.refuse((*at, number), "has its files where another model has them: write another mountPath", path)
        elif storage.check(uri, notes, (*at, number, "uri")):
            pod.models.append(storage.Model(uri, path))


def _select_accelerator(
    pod: dict[str, Any], annotations: Mapping[str, Any], role: str, place: tuple[Notes, Location]
) -> None:
    notes, at = place
    key = next((key for key in ACCELERATORS if annotations.get(key)), "")
    if key and any(gpus(each, annotations) for each in pod["containers"]):
        pod["nodeSelector"] = {**pod.get("nodeSelector", {}), GKE: annotations[key]}
    elif key and role == PREDICTOR:
        notes.warn(at, f"{key} has no effect: no container has a limit of GPUs", annotations[key])


def _carried(annotations: Mapping[str, Any], port: int) -> dict[str, str]:
    """Return the annotations that are for the pods: those that mean nothing here."""
    carried = {key: value for key, value in annotations.items() if not key.startswith(CLOSED)}
    if annotations.get(PROMETHEUS) == "true":
        carried = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), **carried}
    return carried
