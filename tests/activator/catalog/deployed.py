"""Deployments for tests, as the API server has them, cut down to what is read."""

from __future__ import annotations

from typing import Any

from activator.catalog.annotations import LABEL, OWN
from activator.settings.load import settings_of
from activator.settings.source import Source
from tests.activator.settings.files import BASE

SETTINGS = settings_of(
    Source(
        "test.yaml",
        {
            "scaler": "memory",
            "services": [{"name": "filed", "hosts": ["filed.example"], "revisions": [{"name": "filed-1"}]}],
        },
    ),
    BASE,
)


def deployment(name: str, service: str, born: str = "2026-01-01T00:00:00Z", /, **ours: str) -> dict[str, Any]:
    """Return a Deployment with our label; `ours` are annotations under our prefix, `min_scale` as min-scale."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "models",
            "uid": f"uid-of-{name}",
            "creationTimestamp": born,
            "labels": {LABEL: service},
            "annotations": {OWN + key.replace("_", "-"): value for key, value in ours.items()},
        },
        "spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "model", "image": "model:1"}]}}},
    }


def annotated(name: str, service: str, annotations: dict[str, str]) -> dict[str, Any]:
    """Return a Deployment with a host, and `annotations` by their whole names."""
    found = deployment(name, service, hosts=f"{service}.example")
    found["metadata"]["annotations"] |= annotations
    return found
