"""From applications to objects for `kubectl apply -f -`: a Deployment for each revision, Services for their names.

A Deployment is named after its revision and carries the label and annotations by which the edge takes it as one. It
has no `replicas`: what is left out is left alone when the file is applied again, and the edge is the one that scales.
(A new one starts with one replica, which goes when it has been idle.) The Services lead to the edge, not to the pods:
those may be asleep, and who calls a model by its name inside the cluster must be able to wake it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import ANNOTATIONS, CANARY, LABEL, OWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from activator.catalog.manifests.model import Application, Component, Revision
    from activator.settings.manifests import Manifests

REVISION = f"{OWN}revision"
NAME, PART_OF, COMPONENT, MANAGER = (
    f"app.kubernetes.io/{key}" for key in ("name", "part-of", "component", "managed-by")
)
MANAGED = "gpu-activator"
PORT = "http"
CLUSTER = ("svc", "svc.cluster.local")
DEFAULT_NAMESPACE = "default"

Objects = list[dict[str, Any]]


def render(applications: Sequence[Application], settings: Manifests) -> Objects:
    """Return the objects of all applications, in their order."""
    return [each for application in applications for each in _objects(application, settings)]


def hosts_of(application: Application, component: Component, settings: Manifests) -> tuple[str, ...]:
    """Return every host that a component is asked for by."""
    within = application.namespace or DEFAULT_NAMESPACE
    domain = (settings.domain,) if settings.domain and not application.internal else ()
    return tuple(
        host
        for name in component.names
        for host in (name, f"{name}.{within}", *(f"{name}.{within}.{each}" for each in (*CLUSTER, *domain)))
    )


def _objects(application: Application, settings: Manifests) -> Iterator[dict[str, Any]]:
    for component, revision in application.revisions():
        yield _deployment(application, component, revision, settings)
    names = (name for component in application.components for name in (*component.names, *_tagged(component)))
    for name in dict.fromkeys(names):
        yield _service(application, name, settings)


def _tagged(component: Component) -> Iterator[str]:
    for revision in component.revisions:
        if revision.tag:
            yield f"{revision.tag}-{component.names[0]}"


def _deployment(
    application: Application, component: Component, revision: Revision, settings: Manifests
) -> dict[str, Any]:
    template = revision.template
    labels = {**template["labels"], REVISION: revision.name}
    metadata: dict[str, Any] = {"labels": labels}
    if template["annotations"]:
        metadata["annotations"] = template["annotations"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **_named(revision.name, application),
            "labels": {**application.labels, LABEL: component.name, **_labels(application, component)},
            "annotations": annotations_of(component, revision, hosts_of(application, component, settings)),
        },
        "spec": {
            "selector": {"matchLabels": {REVISION: revision.name}},
            **({"strategy": revision.strategy} if revision.strategy else {}),
            "template": {"metadata": metadata, "spec": revision.spec},
        },
    }


def annotations_of(component: Component, revision: Revision, hosts: Sequence[str]) -> dict[str, str]:
    """Return what the edge must be told of a revision."""
    data: Mapping[str, Any] = {
        "hosts": hosts,
        "paths": component.paths,
        **_of_service(component, revision),
        "revisions": [_keys(revision)],
        "traffic": [{"percent": revision.percent, "tag": revision.tag}],
    }
    made = {}
    for annotation in ANNOTATIONS:
        value = _at(data, annotation.at)
        if value is not None and value not in ("", (), []):
            made[annotation.name] = ",".join(map(str, value)) if annotation.listed else _text(value)
    return made


def _of_service(component: Component, revision: Revision) -> dict[str, Any]:
    """Return the keys of the service that a revision's Deployment tells: what is about the canary only its own one, so
    that it goes with it."""
    canary = component.keys.get(CANARY, {})
    tells = canary.get("revision") == revision.name
    return {key: value for key, value in component.keys.items() if key != CANARY or tells}


def _keys(revision: Revision) -> dict[str, Any]:
    process = {"port": revision.port, **revision.keys["process"]}
    return {**revision.keys, "process": process, "wakes": revision.wakes}


def _at(data: Any, place: Sequence[str | int]) -> Any:
    for part in place:
        if isinstance(data, dict) and part not in data:
            return None
        data = data[part]
    return data


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def _service(application: Application, name: str, settings: Manifests) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_named(name, application), "labels": {PART_OF: application.name, MANAGER: MANAGED}},
        "spec": {
            "selector": {NAME: settings.edge},
            "ports": [{"name": PORT, "port": 80, "targetPort": PORT}],
        },
    }


def _named(name: str, application: Application) -> dict[str, str]:
    return {"name": name, **({"namespace": application.namespace} if application.namespace else {})}


def _labels(application: Application, component: Component) -> dict[str, str]:
    return {PART_OF: application.name, COMPONENT: component.role, MANAGER: MANAGED}
