"""From a Knative Service to an application: one component, whose template is a revision."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from activator.catalog.manifests import scaling
from activator.catalog.manifests.annotations import KNATIVE_ANNOTATIONS, LAST_APPLIED
from activator.catalog.manifests.components import Origin, Pod, finished, pod_keys
from activator.catalog.manifests.fields import manifest, metadata
from activator.catalog.manifests.model import Application, Component, Elsewhere, Revision, application
from activator.catalog.manifests.names import keys_alone
from activator.catalog.manifests.pods import POD
from activator.catalog.manifests.shapes import Text, Texts
from activator.catalog.manifests.table import Fate, Field, Table
from activator.settings.numbers import Whole
from activator.settings.rules import Flag
from activator.settings.texts import Label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.manifests.notes import Notes
    from activator.settings.manifests import Manifests

_OWN_ANNOTATIONS = Table(
    "Annotations of a Knative Service itself",
    (
        Field(LAST_APPLIED, Fate.SERVER, "written by tools and the API server"),
        Field("serving.knative.dev/creator", Fate.SERVER, "written by tools and the API server"),
        Field("serving.knative.dev/lastModifier", Fate.SERVER, "written by tools and the API server"),
    ),
    rest=Field("*", Fate.WARNED, "those of the Service itself reach no pod; write them in spec.template.metadata"),
)
_METADATA = metadata("metadata of a Knative Service", _OWN_ANNOTATIONS)
_TEMPLATE_METADATA = Table(
    "metadata of a Knative Service's template",
    (
        Field("name", Fate.TRANSLATED, "name by which traffic may call this revision", Text()),
        Field("labels", Fate.HONOURED, "on the pods", Texts()),
        Field("annotations", Fate.TRANSLATED, "", inside=KNATIVE_ANNOTATIONS),
        Field("creationTimestamp", Fate.SERVER, "written by the API server"),
    ),
)
_POD = Table(
    "spec of a Knative Service's template",
    (
        Field("containerConcurrency", Fate.TRANSLATED, "`container-concurrency`; 0 = none", Whole(0)),
        Field("timeoutSeconds", Fate.TRANSLATED, "`total-timeout`", Whole(0)),
        Field("responseStartTimeoutSeconds", Fate.TRANSLATED, "`first-byte-timeout`", Whole(0)),
        Field("idleTimeoutSeconds", Fate.TRANSLATED, "`idle-timeout`", Whole(0)),
    ),
    includes=(POD,),
)
_TRAFFIC = Table(
    "traffic of a Knative Service",
    (
        Field("latestRevision", Fate.TRANSLATED, "the template of this manifest", Flag()),
        Field("revisionName", Fate.TRANSLATED, "the template of that name, here or in --previous", Text()),
        Field("percent", Fate.TRANSLATED, "the revision's share", Whole(0, 100)),
        Field("tag", Fate.TRANSLATED, "the revision's tag", Label()),
        Field("configurationName", Fate.WARNED, "a Service has only one configuration"),
        Field("url", Fate.SERVER, "written by the API server"),
    ),
)
_TEMPLATE = Table(
    "template of a Knative Service",
    (
        Field("metadata", Fate.TRANSLATED, "", inside=_TEMPLATE_METADATA),
        Field("spec", Fate.TRANSLATED, "the pod", inside=_POD),
    ),
)
_SPEC = Table(
    "spec of a Knative Service",
    (
        Field("template", Fate.TRANSLATED, "a revision", inside=_TEMPLATE),
        Field("traffic", Fate.TRANSLATED, "who gets which share", each=_TRAFFIC),
    ),
)
KNATIVE_SERVICE = manifest("Knative Service", _METADATA, _SPEC)


TEMPLATE = ("spec", "template", "spec")


def service(data: Mapping[str, Any], notes: Notes, settings: Manifests) -> Application | None:
    """Return what a Knative Service asks for; None if something is wrong with it."""
    meta, spec = data["metadata"], data.get("spec", {})
    made = _revision(meta, spec.get("template", {}), notes, settings)
    if made is None:
        return None
    name = meta["name"]
    shared, elsewhere = _shared(made, spec.get("traffic", []), notes)
    keys = keys_alone(shared, notes, ("spec", "template", "metadata"))
    component = Component(name, "service", (name,), (shared,), elsewhere=elsewhere, keys=keys)
    return None if notes.errors else application(meta, (component,))


def _revision(
    meta: Mapping[str, Any], template: Mapping[str, Any], notes: Notes, settings: Manifests
) -> Revision | None:
    spec, own = template.get("spec", {}), template.get("metadata", {})
    annotations, labels = own.get("annotations", {}), own.get("labels", {})
    keys = scaling.of_knative(spec, annotations, (notes, ("spec", "template", "metadata")))
    containers = deepcopy(spec.get("containers", []))
    if not containers or not all(each.get("image") for each in containers):
        notes.refuse((*TEMPLATE, "containers"), "has no container with an image", allowed="containers with an image")
        return None
    serving = next((number for number, each in enumerate(containers) if each.get("ports")), 0)
    containers.insert(0, containers.pop(serving))
    for number, each in enumerate(containers):
        each.setdefault("name", f"user-container-{number}" if number else "user-container")
    pod = Pod({**pod_keys(spec), "containers": containers}, [])
    origin = Origin(meta["name"], labels, annotations, "", settings, notes)
    made = finished(meta["name"], pod, labels, annotations, (origin, TEMPLATE, spec, keys))
    return replace(made, called=own.get("name", ""))


def _shared(made: Revision, traffic: list[Mapping[str, Any]], notes: Notes) -> tuple[Revision, tuple[Elsewhere, ...]]:
    """Return the template's revision with its share, and the shares of revisions that are not described here."""
    if not traffic:
        return made, ()
    percent, tags, elsewhere = 0, [], []
    for number, entry in enumerate(traffic):
        if not entry.get("latestRevision") and not entry.get("revisionName"):
            notes.refuse(("spec", "traffic", number), "names no revision", allowed="latestRevision or revisionName")
        share, tag, called = entry.get("percent", 0), entry.get("tag", ""), entry.get("revisionName", "")
        if called and called != made.called and not entry.get("latestRevision"):
            elsewhere.append(Elsewhere(called, share, tag, ("spec", "traffic", number)))
            continue
        percent += share
        tags += [tag] if tag else []
    for tag in tags[1:]:
        notes.warn(("spec", "traffic"), f"the tag {tag} has no effect: a revision has one, which is {tags[0]}")
    total = percent + sum(each.percent for each in elsewhere)
    if total != 100:
        notes.refuse(("spec", "traffic"), f"the percentages sum to {total}, not to 100")
    return replace(made, percent=percent, tag=tags[0] if tags else ""), tuple(elsewhere)
