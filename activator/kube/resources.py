"""The kinds of objects that are read or written, and where the API server has them.

There are no typed models: most of an object is none of our business and is passed on as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An object of the API, as decoded JSON."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects by its place in the API: `version` is `v1` or `GROUP/VERSION`."""

    version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, "" for the core."""
        return self.version.rpartition("/")[0]

    def path(self, namespace: str, name: str = "", sub: str = "") -> str:
        """Return the path of an object, of one of its subresources, or of the whole collection."""
        parts = ["/apis" if self.group else "/api", self.version]
        if self.namespaced:
            parts += ["namespaces", namespace]
        return "/".join(part for part in (*parts, self.plural, name, sub) if part)


DEPLOYMENTS = Resource("apps/v1", "deployments")
PODS = Resource("v1", "pods")
NODES = Resource("v1", "nodes", namespaced=False)
CONFIG_MAPS = Resource("v1", "configmaps")
EVENTS = Resource("events.k8s.io/v1", "events")
LEASES = Resource("coordination.k8s.io/v1", "leases")
INFERENCE_SERVICES = Resource("serving.kserve.io/v1beta1", "inferenceservices")


def name_of(item: Object) -> str:
    """Return an object's name."""
    return str(item["metadata"]["name"])


def uid_of(item: Object) -> str:
    """Return what tells an object from a later one of the same name."""
    return str(item["metadata"].get("uid", ""))


def version_of(item: Object) -> str:
    """Return an object's (or list's) resourceVersion."""
    return str(item["metadata"].get("resourceVersion", ""))


def annotations_of(item: Object) -> dict[str, str]:
    """Return an object's annotations."""
    return item["metadata"].get("annotations") or {}


def labels_of(item: Object) -> dict[str, str]:
    """Return an object's labels."""
    return item["metadata"].get("labels") or {}
