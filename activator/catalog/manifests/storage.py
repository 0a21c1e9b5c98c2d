"""Where a model's files come from: a volume is mounted, everything else is fetched by an init container.

As KServe does it (pkg/webhook/admission/pod/storage_initializer_injector.go): the files are at /mnt/models.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from activator.catalog.manifests.model import front_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.manifests.notes import Notes
    from activator.settings.manifests import Manifests
    from activator.settings.problems import Location

MODELS = "/mnt/models"
SHARED = "/dev/shm"  # noqa: S108 - of the container
INITIALIZER = "storage-initializer"
FETCHED = ("s3", "gs", "https", "http", "hdfs", "webhdfs", "hf", "azure", "git")
ELSEWHERE = {
    "oci": "models in images need KServe's own helper; put the model on a volume or in a bucket",
    "file": "",
}
SECRETS = {"AWS_ACCESS_KEY_ID": "awsAccessKeyID", "AWS_SECRET_ACCESS_KEY": "awsSecretAccessKey"}
READ_ONLY = {"readOnly": True}
_URI = re.compile(r"([a-z0-9+]+)://(.*)", re.DOTALL)
_CLAIM = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Secret:
    """Where the keys of a `storage` are: the `key` of the Secret storage-config, which need not be there if it is
    `optional`; `parameters` overrule what is in it."""

    key: str
    optional: bool
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """Files from `uri` at `path` of the container, which may write there or not."""

    uri: str
    path: str = MODELS
    writable: bool = False
    secret: Secret | None = None


def uri_of(place: Mapping[str, Any]) -> str:
    """Return the URI of a `storage`, "" if it does not tell it. Only s3 has a bucket, as in KServe's
    pkg/credentials/service_account_credentials.go."""
    parameters, path = place.get("parameters", {}), place.get("path", "").removeprefix("/")
    kind, bucket = parameters.get("type"), parameters.get("bucket")
    if not kind or (kind == "s3" and not bucket):
        return ""
    return f"s3://{bucket}/{path}" if kind == "s3" else f"{kind}://{path}"


def secret_of(place: Mapping[str, Any]) -> Secret:
    """Return the keys of a `storage`; where it names none, they are those of its type, if there are any."""
    parameters = place.get("parameters", {})
    kind = parameters.get("type")
    return Secret(place.get("key") or (f"default_{kind}" if kind else "default"), not place.get("key"), parameters)


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI, "" for a plain path."""
    found = _URI.fullmatch(uri)
    return found[1] if found else ""


def is_remote(uri: str) -> bool:
    """Tell whether the files are fetched anew for each replica."""
    return scheme_of(uri) in FETCHED


def keys_lost(model: Model, account: str, settings: Manifests) -> str:
    """Return what is to be said of the keys of a bucket or site, which KServe takes from the Secrets of the pod's
    service `account`; "" where none are missed. A bucket of S3 is hardly ever without."""
    scheme, s3 = scheme_of(model.uri), scheme_of(model.uri) == "s3"
    if model.secret or (settings.storage_secret if s3 else not (account and is_remote(model.uri))):
        return ""
    where = "name the Secret that has them in manifests.storage-secret" if s3 else "keep the model on a volume (pvc://)"
    told = "may need keys, which KServe looks up by the service account and which cannot be looked up here"
    return f"{scheme}:// {told}: {where}"


def check(uri: str, notes: Notes, at: Location) -> bool:
    """Tell whether the files can be had; note why not."""
    scheme = scheme_of(uri)
    if scheme == "pvc":
        claim = uri.removeprefix("pvc://").partition("/")[0]
        if not _CLAIM.fullmatch(claim):
            notes.refuse(at, "names no volume claim", uri, "pvc://claim/path")
        return bool(_CLAIM.fullmatch(claim))
    if scheme in FETCHED:
        return True
    if scheme in {"", "file"}:
        notes.warn(at, "is a path in the image: nothing is mounted", uri)
        return False
    allowed = "pvc://, " + ", ".join(f"{each}://" for each in FETCHED)
    notes.refuse(at, ELSEWHERE.get(scheme.partition("+")[0]) or "is of no kind that can be fetched", uri, allowed)
    return False


def mount(pod: dict[str, Any], models: list[Model], settings: Manifests) -> None:
    """Put models into a pod whose first container serves them, also where a transformer is in front of it."""
    for number, model in enumerate(models):
        name = _free("model" if len(models) == 1 else f"model-{number}", pod)
        source = {"name": name, "mountPath": model.path}
        if scheme_of(model.uri) == "pvc":
            claim, _, path = model.uri.removeprefix("pvc://").partition("/")
            volume: dict[str, Any] = {"persistentVolumeClaim": {"claimName": claim}}
            inner = path.strip("/")
            source |= {"subPath": inner} if inner else {}
        else:
            volume = {"emptyDir": {}}
            initializer = _initializer(name if len(models) > 1 else "", model, settings)
            initializer["volumeMounts"] = [dict(source)]
            pod.setdefault("initContainers", []).append(initializer)
        pod.setdefault("volumes", []).append({"name": name, **volume})
        first, front = pod["containers"][0], front_of(pod["containers"])
        for container in (first,) if front is first else (first, front):
            container.setdefault("volumeMounts", []).append({**source, **({} if model.writable else READ_ONLY)})


def _free(name: str, pod: Mapping[str, Any]) -> str:
    """Return a name that no volume of the pod has: `name`, if it may be that."""
    taken = {each.get("name") for each in pod.get("volumes", ())}
    return next(each for each in (name, *(f"{name}-{tried}" for tried in range(len(taken)))) if each not in taken)


def share_memory(pod: dict[str, Any]) -> None:
    """Give the first container shared memory without the 64 MiB that containers have, unless the pod says something of
    it: the processes of a model on several GPUs talk by it."""
    container, name = pod["containers"][0], "devshm"
    mounts, volumes = container.setdefault("volumeMounts", []), pod.setdefault("volumes", [])
    if all(each.get("mountPath") != SHARED for each in mounts) and all(each.get("name") != name for each in volumes):
        mounts.append({"name": name, "mountPath": SHARED})
        volumes.append({"name": name, "emptyDir": {"medium": "Memory"}})


def _initializer(suffix: str, model: Model, settings: Manifests) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": f"{INITIALIZER}-{suffix}" if suffix else INITIALIZER,
        "image": settings.storage_initializer,
        "args": [model.uri, model.path],
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }
    env = []
    if settings.storage_secret:
        for variable, key in SECRETS.items():
            reference = {"name": settings.storage_secret, "key": key, "optional": True}
            env.append({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    if model.secret:
        reference = {"name": "storage-config", "key": model.secret.key}
        reference |= {"optional": True} if model.secret.optional else {}
        env.append({"name": "STORAGE_CONFIG", "valueFrom": {"secretKeyRef": reference}})
    if model.secret and model.secret.parameters:
        overrule = json.dumps(model.secret.parameters, sort_keys=True, separators=(",", ":"))
        env.append({"name": "STORAGE_OVERRIDE_CONFIG", "value": overrule})
    return {**container, "env": env} if env else container
