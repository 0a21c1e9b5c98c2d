"""Manifests for tests, written as people write them, and what reading them gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from activator.catalog.manifests import previous, read
from activator.settings.manifests import Manifests as Settings
from activator.settings.problems import SettingsError
from activator.settings.source import parse_documents

if TYPE_CHECKING:
    from activator.catalog.manifests.model import Application, Component, Manifests, Revision

ALPHA = "serving.kubeflow.org/v1alpha2"
OLD_BETA = "serving.kubeflow.org/v1beta1"
BETA = "serving.kserve.io/v1beta1"
KNATIVE = "serving.knative.dev/v1"
IMAGE = {"name": "kserve-container", "image": "registry.example/m:1"}

Data = dict[str, Any]


def custom(**predictor: Any) -> Data:
    """Return a predictor with one container."""
    return {"containers": [dict(IMAGE)], **predictor}


def beta(predictor: Data | None = None, api: str = BETA, annotations: Data | None = None, **spec: Any) -> Data:
    """Return an InferenceService `m` of v1beta1."""
    metadata: Data = {"name": "m", "namespace": "ml"}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": api,
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": custom() if predictor is None else predictor, **spec},
    }


def alpha(default: Data, canary: Data | None = None, **spec: Any) -> Data:
    """Return an InferenceService `m` of v1alpha2."""
    spec = {"default": default, **({"canary": canary} if canary else {}), **spec}
    return {"apiVersion": ALPHA, "kind": "InferenceService", "metadata": {"name": "m", "namespace": "ml"}, "spec": spec}


def knative(template: Data | None = None, annotations: Data | None = None, name: str = "", **spec: Any) -> Data:
    """Return a Knative Service `m`; `template` adds to its pod."""
    metadata: Data = {"annotations": annotations or {}}
    if name:
        metadata["name"] = name
    pod = {"containers": [{"image": "registry.example/m:1"}], **(template or {})}
    return {
        "apiVersion": KNATIVE,
        "kind": "Service",
        "metadata": {"name": "m", "namespace": "ml"},
        "spec": {"template": {"metadata": metadata, "spec": pod}, **spec},
    }


def written(*objects: Any) -> str:
    """Return objects as a file."""
    return str(yaml.safe_dump_all(objects, sort_keys=False))


def loaded(text: str, settings: Settings | None = None, namespace: str = "") -> Manifests:
    """Return what a file's text asks for."""
    sources = parse_documents(text, "m.yaml")
    documents = [each for source in sources for each in read.objects(source, source.data, ())]
    return read.build(documents, settings or Settings(), namespace)


def read_one(data: Any, settings: Settings | None = None) -> Application:
    """Return the only application of an object."""
    [application] = loaded(written(data), settings).applications
    return application


def only(data: Any, settings: Settings | None = None) -> Revision:
    """Return the only revision of an object."""
    [(_, revision)] = read_one(data, settings).revisions()
    return revision


def component(data: Any, name: str) -> Component:
    """Return a component of an object by name."""
    return next(each for each in read_one(data).components if each.name == name)


def joined(latest: Any, before: Any) -> Manifests:
    """Return an object beside what was rolled out before."""
    return previous.join(loaded(written(latest)), loaded(written(before)) if before else None)


def warnings(*objects: Any) -> list[str]:
    """Return the warnings as they are printed, without the file's name."""
    return [str(each).removeprefix("m.yaml:") for each in loaded(written(*objects)).warnings]


def problems(*objects: Any) -> list[str]:
    """Return the problems as they are printed, without the file's name."""
    return told(written(*objects))


def told(text: str) -> list[str]:
    """Return the problems of a file's text."""
    try:
        loaded(text)
    except SettingsError as error:
        return [str(problem).removeprefix("m.yaml:") for problem in error.problems]
    return []
