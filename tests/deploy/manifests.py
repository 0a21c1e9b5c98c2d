"""What is in deploy/, as the API server would get it."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUSTOMIZATIONS = sorted(path.parent.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("kustomization.yaml"))
EDGE_POD = {"base": "gpu-activator", "overlays/single": "gpu-activator", "overlays/sidecar": "gateway"}


@functools.cache
def rendered(name: str) -> tuple[dict[str, Any], ...]:
    """Return the objects of a kustomization; skip where there is no kubectl that can render it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", str(DEPLOY / name)], capture_output=True, text=True, check=False)
    if "unknown command" in done.stderr:
        pytest.skip("this kubectl is older than 1.21 and has no kustomize of its own")
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(name: str, kind: str) -> list[dict[str, Any]]:
    return [item for item in rendered(name) if item["kind"] == kind]


def files() -> list[Path]:
    return sorted(DEPLOY.rglob("*.yaml"))


def edge_container(name: str) -> dict[str, Any]:
    """Return the container of the edge in a kustomization's pods."""
    (found,) = (item for item in of_kind(name, "Deployment") if item["metadata"]["name"] == EDGE_POD[name])
    containers = found["spec"]["template"]["spec"]["containers"]
    return next(container for container in containers if container["name"] == "edge")
