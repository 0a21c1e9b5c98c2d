"""What is read of InferenceServices, and of the Deployments that KServe made of them, as they are in the cluster.

The pod is KServe's affair: its image, its port and its arguments are read from the Deployment that is there, and never
worked out from the manifest. A Deployment belongs to the InferenceService that controls it, by uid
(LLMInferenceServices control theirs as another kind, and Knative's are controlled by revisions).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from activator.settings.rules import RefusedError
from activator.settings.texts import Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KIND, GROUP = "InferenceService", "serving.kserve.io"
MODEL = "kserve-container"
IN_FRONT = ("agent", "transformer-container")
"""Containers whose port takes requests where they are; else the first one's does (KServe's reconcilers/service)."""
PORT, AGENT_PORT = 8080, 9081
PREDICTOR_HOST = "--predictor_host"


class Made(NamedTuple):
    """What counts of a Deployment that KServe made: its `port`, the host by which it `calls` a predictor, "" = it calls
    none, and what the model's `container` is told. `owner` is the uid of its InferenceService."""

    name: str
    owner: str
    born: str
    port: int
    calls: str
    container: dict[str, Any]


def made_of(deployment: Mapping[str, Any]) -> Made | None:
    """Return what counts of a Deployment, None if no InferenceService controls it."""
    metadata = mapping(deployment.get("metadata"))
    owners = [each for each in items(metadata.get("ownerReferences")) if _controls(each)]
    if not owners or metadata.get("deletionTimestamp"):
        return None
    template = mapping(mapping(deployment.get("spec")).get("template"))
    containers = items(mapping(template.get("spec")).get("containers"))
    calls = next((host for each in containers if (host := _argument(each.get("args")))), "")
    created = str(metadata.get("creationTimestamp", ""))
    name, uid = str(metadata.get("name", "")), str(owners[0].get("uid", ""))
    return Made(name, uid, created, _port(containers), calls, _container(containers))


def read_of(service: Mapping[str, Any]) -> object:
    """Return all of an InferenceService that is read here: as long as it is equal, so is what comes of it."""
    metadata, status = mapping(service.get("metadata")), mapping(service.get("status"))
    kept = ("name", "uid", "deletionTimestamp", "labels", "annotations")
    urls = {role: mapping(each).get("url") for role, each in mapping(status.get("components")).items()}
    told = (status.get("url"), status.get("deploymentMode"), urls)
    return [metadata.get(key) for key in kept], service.get("spec"), told


def hosts_in(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the host of `status.url`, if it has one of its own and leads to no path below it."""
    url = status.get("url")
    if isinstance(url, str):
        try:
            found = urlsplit(url)
            if found.path in {"", "/"}:
                yield Host().read(found.hostname or "")
        except (RefusedError, ValueError):
            return


def mapping(value: object) -> dict[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[dict[str, Any]]:
    """Return the mappings of a list, and none for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _controls(owner: Mapping[str, Any]) -> bool:
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    return owner.get("kind") == KIND and group == GROUP and owner.get("controller") is True


def _port(containers: list[dict[str, Any]]) -> int:
    in_front = [each for name in IN_FRONT for each in containers if each.get("name") == name]
    found = [port.get("containerPort") for each in [*in_front, *containers][:1] for port in items(each.get("ports"))]
    return next((port for port in found if isinstance(port, int)), PORT)


def _container(containers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is said to the model's server."""
    found = next((each for each in containers if each.get("name") == MODEL), next(iter(containers), {}))
    told: dict[str, Any] = {key: _texts(found.get(key)) for key in ("command", "args")}
    variables = items(found.get("env"))
    told["env"] = [each for each in variables if isinstance(each.get("value"), str) and each.get("name")]
    return told


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _argument(args: object) -> str:
    """Return the value of the argument that names the predictor's host, without its port."""
    for word, following in pairwise([*_texts(args), ""]):
        name, equals, value = word.partition("=")
        if name == PREDICTOR_HOST:
            return (value if equals else following).partition(":")[0].lower()
    return ""
