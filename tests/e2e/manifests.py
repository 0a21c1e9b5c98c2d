"""The models' Deployments, as a tenant would write them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.load import host_of

if TYPE_CHECKING:
    from tests.e2e.api import Object
    from tests.e2e.options import Options

PROGRAM = (Path(__file__).parent / "pod_model.py").read_text()
PORT = 8080
SERVICE = "gpu-activator/service"
HOSTS = "gpu-activator/hosts"
CONCURRENCY = "gpu-activator/container-concurrency"
MIN_SCALE = "autoscaling.knative.dev/min-scale"
MAX_SCALE = "autoscaling.knative.dev/max-scale"


class Model(NamedTuple):
    """A model, which is also its service's and Deployment's name."""

    name: str
    replicas: int = 0
    least: int = 0  # min-scale
    start: float = 0.0  # seconds until a pod listens
    load: float = 0.0  # seconds from there until it is ready
    gpus: int = 0
    concurrency: int = 0
    annotations: dict[str, str] = {}  # noqa: RUF012 - never changed


def deployment(model: Model, options: Options) -> Object:
    """Return a model's Deployment."""
    environment = {"PORT": PORT, "START_SECONDS": model.start, "LOAD_SECONDS": model.load}
    container: dict[str, Any] = {
        "name": "model",
        "image": options.model_image,
        "command": [options.model_python, "-S", "-E", "-c", PROGRAM],
        "env": [{"name": name, "value": str(value)} for name, value in environment.items()],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 10},
        "resources": {"limits": {options.gpu: str(model.gpus)}} if model.gpus else {},
    }
    pod = {"containers": [container], "automountServiceAccountToken": False}
    annotations = {HOSTS: host_of(model.name), MIN_SCALE: str(model.least), **model.annotations}
    if model.concurrency:
        annotations[CONCURRENCY] = str(model.concurrency)
    return {
        "metadata": {"name": model.name, "labels": {SERVICE: model.name}, "annotations": annotations},
        "spec": {
            "replicas": model.replicas,
            "selector": {"matchLabels": {"app": model.name}},
            "template": {"metadata": {"labels": {"app": model.name}}, "spec": pod},
        },
    }


def sleeping(name: str, options: Options) -> Object:
    """Return a Deployment that is none of ours, and whose pods are never scheduled."""
    body = deployment(Model(name), options)
    del body["metadata"]["labels"]
    body["spec"]["template"]["spec"]["schedulingGates"] = [{"name": "e2e.test/never"}]
    return body
