"""InferenceServices, and the Deployments that KServe makes of them, cut down to what is read."""

from __future__ import annotations

from typing import Any

from activator.catalog.kserve.adopt import Adopted, InferenceServices
from activator.catalog.manifests.annotations import MODE, SCALED_BY
from activator.settings.manifests import Manifests

Object = dict[str, Any]
OURS = {MODE: "RawDeployment", SCALED_BY: "external"}


def service(name: str = "m", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    """Return an InferenceService that is ours; `annotations` lie over those that make it so."""
    return {
        "metadata": {
            "name": name,
            "namespace": "models",
            "uid": f"uid-of-{name}",
            "annotations": {**OURS, **(annotations or {})},
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"predictor": {"model": {"modelFormat": {"name": "own"}}}, **spec},
    }


def made(name: str, of: str = "m", *, args: list[str] | None = None, replicas: int = 1, port: int = 8080) -> Object:
    """Return a Deployment as KServe makes it."""
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "controller": True}
    labels = {"app": f"isvc.{name}"}
    container = {"name": "kserve-container", "image": "model:1", "ports": [{"containerPort": port}]}
    if args is not None:
        container["args"] = args
    return {
        "metadata": {
            "name": name,
            "namespace": "models",
            "uid": f"uid-of-deployment-{name}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{**owner, "name": of, "uid": f"uid-of-{of}"}],
            "labels": {"serving.kserve.io/inferenceservice": of, "component": name.rpartition("-")[2]},
            "annotations": dict(OURS),
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def adopt(*objects: Object, known: InferenceServices | None = None, minimum: int = 0) -> Adopted:
    """Return what InferenceServices and Deployments amount to, told apart by what Deployments have."""
    services = [each for each in objects if "selector" not in each.get("spec", {})]
    deployments = [each for each in objects if "selector" in each.get("spec", {})]
    settings = Manifests.model_validate({"min-replicas-default": minimum})
    return (known or InferenceServices()).adopt(services, deployments, settings)
