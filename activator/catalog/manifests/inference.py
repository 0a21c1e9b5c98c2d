"""From an InferenceService to an application: which components it has, who shares what, and who is reached by what.

The entry is the transformer, if there is one, else the predictor; it is the service that carries the manifest's name. A
predictor behind a transformer, and an explainer, are services of their own, by the names that KServe gives them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from activator.catalog.manifests.annotations import TAGS
from activator.catalog.manifests.canaries import tried
from activator.catalog.manifests.components import Origin, revision
from activator.catalog.manifests.fields import EXPLAINER, PREDICTOR, TRANSFORMER
from activator.catalog.manifests.model import Application, Component, Elsewhere, Revision, application
from activator.catalog.manifests.names import entry_keys, keys_behind
from activator.settings.problems import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.manifests.notes import Notes
    from activator.settings.manifests import Manifests
    from activator.settings.problems import Location

DEFAULT, CANARY = "default", "canary"
LATEST, PREVIOUS = "latest", "prev"
KUBEFLOW = "serving.kubeflow.org"


def beta(data: Mapping[str, Any], notes: Notes, settings: Manifests) -> Application | None:
    """Return what an InferenceService of v1beta1 asks for; None if something is wrong with it."""
    metadata, spec = data["metadata"], data.get("spec", {})
    name, older = metadata["name"], data["apiVersion"].startswith(KUBEFLOW)
    predictor = f"{name}-predictor-default" if older else f"{name}-predictor"
    origin = _origin(metadata, predictor, settings, notes)
    if PREDICTOR not in spec:
        notes.refuse(("spec", PREDICTOR), "is required", allowed="a predictor; default and canary are of v1alpha2")
        return None
    found: dict[str, tuple[Revision, ...]] = {}
    for role in (TRANSFORMER, PREDICTOR, EXPLAINER):
        if role in spec:
            called = f"{spec[role]['name']}-" if spec[role].get("name") else ""
            made = revision(role, f"{name}-{called}{role}", spec[role], origin, ("spec", role))
            found[role] = (_latest(made, metadata),) if made else ()
    found[PREDICTOR] = _with_canaries(found[PREDICTOR], spec, origin)
    if not all(found.values()):
        return None
    components = [_against_previous(each, spec[each.role]) for each in connected(name, found, predictor)]
    if len(found[PREDICTOR]) > 1 and "canaryTrafficPercent" in spec[PREDICTOR]:
        told = "has no effect: spec.canary says which part the canaries get, and this predictor has the rest"
        notes.warn(("spec", PREDICTOR, "canaryTrafficPercent"), told, spec[PREDICTOR]["canaryTrafficPercent"])
    if len(found[PREDICTOR]) > 1:
        components = [with_canary(each, notes) if each.role == PREDICTOR else each for each in components]
    return application(metadata, tuple(components))


def alpha(data: Mapping[str, Any], notes: Notes, settings: Manifests) -> Application | None:
    """Return what an InferenceService of v1alpha2 asks for; None if something is wrong with it."""
    metadata, spec = data["metadata"], data.get("spec", {})
    tracks = {track: spec[track] for track in (DEFAULT, CANARY) if track in spec}
    if DEFAULT not in tracks:
        notes.refuse(("spec", DEFAULT), "is required", allowed="default.predictor; spec.predictor is of v1beta1")
        return None
    canary = spec.get("canaryTrafficPercent", 0)
    if CANARY in tracks and "canaryTrafficPercent" not in spec:
        notes.warn(("spec", CANARY), "gets no traffic, only by its tag: there is no canaryTrafficPercent")
    if CANARY not in tracks and canary:
        notes.warn(("spec", "canaryTrafficPercent"), "has no effect: there is no canary", canary)
    shares = {DEFAULT: 100 - canary, CANARY: canary} if CANARY in tracks else {DEFAULT: 100}
    made = {track: _track(metadata, track, tracks[track], notes, settings) for track in tracks}
    found = {track: each for track, each in made.items() if each}
    if len(found) < len(tracks):
        return None
    components = _tracked(metadata["name"], found, shares)
    return application(metadata, components)


def _origin(metadata: Mapping[str, Any], predictor: str, settings: Manifests, notes: Notes) -> Origin:
    namespace = metadata.get("namespace", "")
    host = f"{predictor}.{namespace}" if namespace else predictor
    return Origin(metadata["name"], metadata.get("labels", {}), metadata.get("annotations", {}), host, settings, notes)


def _against_previous(component: Component, spec: Mapping[str, Any]) -> Component:
    """Leave what canaryTrafficPercent does not give to the newest revision to the last rolled-out one."""
    percent = spec.get("canaryTrafficPercent", 100)
    if "canaryTrafficPercent" not in spec or len(component.revisions) > 1:
        return component
    [latest] = component.revisions
    rest = Elsewhere("", 100 - percent, PREVIOUS, ("spec", component.role, "canaryTrafficPercent"))
    return replace(component, revisions=(replace(latest, percent=percent),), elsewhere=(rest,))


def with_canary(component: Component, notes: Notes) -> Component:
    """Return a predictor of several revisions with the first of spec.canary tried beside the stable one."""
    stable, canary, *others = component.revisions
    for each in others:
        told = (
            f"its share is served as it is: of several canaries only the first, {canary.tag}, is warm first and guarded"
        )
        notes.warnings.append(Finding(each.at, told))
    return tried(component, canary, stable)


def _latest(made: Revision, metadata: Mapping[str, Any]) -> Revision:
    return replace(made, tag=LATEST) if metadata.get("annotations", {}).get(TAGS) == "true" else made


def _with_canaries(stable: tuple[Revision, ...], spec: Mapping[str, Any], origin: Origin) -> tuple[Revision, ...]:
    """Return the predictor's revisions with those of spec.canary (v0.20), which take from the stable one's share."""
    made: list[Revision] = []
    for number, each in enumerate(spec.get("canary", ())):
        at: Location = ("spec", "canary", number)
        name = each.get(PREDICTOR, {}).get("name")
        if not name:
            origin.notes.refuse((*at, PREDICTOR, "name"), "is required: it is what the canary is told by")
            continue
        found = revision(PREDICTOR, f"{origin.name}-{name}-predictor", each[PREDICTOR], origin, (*at, PREDICTOR))
        if found:
            made.append(replace(found, percent=each.get("trafficPercent", 0), tag=name))
    rest = 100 - sum(each.percent for each in made)
    if rest < 0:
        origin.notes.refuse(
            ("spec", "canary"), f"the shares of the canaries sum to {100 - rest}", allowed="100 at most"
        )
    complete = len(made) == len(spec.get("canary", ())) and rest >= 0
    return (*(replace(each, percent=rest) for each in stable), *made) if complete else ()


def connected(name: str, found: Mapping[str, tuple[Revision, ...]], predictor: str) -> tuple[Component, ...]:
    """Return the components of v1beta1 by the revisions of each role, with what wakes what; `predictor` is the host of
    that one."""
    entry = TRANSFORMER if TRANSFORMER in found else PREDICTOR
    predictors = tuple(dict.fromkeys((predictor, f"{name}-predictor")))
    if entry == PREDICTOR:
        keys = entry_keys(name, found[PREDICTOR])
        components = [Component(name, PREDICTOR, (name, *predictors), found[PREDICTOR], keys=keys)]
    else:
        behind = f"{name}-predictor"
        transformers = tuple(replace(each, wakes=(behind,)) for each in found[TRANSFORMER])
        components = [
            Component(
                name, TRANSFORMER, (name, f"{name}-transformer"), transformers, keys=entry_keys(name, transformers)
            ),
            Component(behind, PREDICTOR, predictors, found[PREDICTOR], keys=keys_behind(*found[PREDICTOR])),
        ]
    if EXPLAINER in found:
        components.append(_explainer(name, found[EXPLAINER], components[-1].name))
    return tuple(components)


def _explainer(name: str, revisions: tuple[Revision, ...], predictor: str) -> Component:
    paths = (f"/v1/models/{name}:explain", f"/v2/models/{name}/explain")
    callers = tuple(replace(each, wakes=(predictor,)) for each in revisions)
    names = (name, f"{name}-explainer")
    return Component(f"{name}-explainer", EXPLAINER, names, callers, paths, keys=keys_behind(*callers))


def _track(
    metadata: Mapping[str, Any], track: str, spec: Mapping[str, Any], notes: Notes, settings: Manifests
) -> dict[str, Revision] | None:
    """Return the revisions of default or canary by role."""
    name, at = metadata["name"], ("spec", track)
    if PREDICTOR not in spec:
        notes.refuse((*at, PREDICTOR), "is required")
        return None
    origin = _origin(metadata, f"{name}-predictor-{track}", settings, notes)
    roles = [role for role in (TRANSFORMER, PREDICTOR, EXPLAINER) if role in spec]
    made = {role: revision(role, f"{name}-{role}", spec[role], origin, (*at, role)) for role in roles}
    found = {role: each for role, each in made.items() if each is not None}
    return found if len(found) == len(roles) else None


def _tracked(name: str, made: Mapping[str, Mapping[str, Revision]], shares: Mapping[str, int]) -> tuple[Component, ...]:
    """Return the components of v1alpha2: the entries of default and canary share the traffic, and what lies behind each
    is its own."""
    entries, explainers = list[Revision](), list[Revision]()
    behind = list[Component]()
    for track, found in made.items():
        role = TRANSFORMER if TRANSFORMER in found else PREDICTOR
        tag = "" if track == DEFAULT else track
        host = f"{name}-predictor-{track}"
        calls = (host,) if role == TRANSFORMER else ()
        entries.append(replace(found[role], percent=shares[track], tag=tag, wakes=calls))
        if role == TRANSFORMER:
            hosts = (host, f"{name}-predictor") if track == DEFAULT else (host,)
            served = found[PREDICTOR]
            behind.append(Component(host, PREDICTOR, hosts, (served,), keys=keys_behind(served)))
        if EXPLAINER in found:
            explainers.append(replace(found[EXPLAINER], percent=shares[track], tag=tag))
    alone = not behind
    more = ["predictor-default", "predictor"] if alone else ["transformer-default"]
    names = (name, *(f"{name}-{each}" for each in more))
    role = PREDICTOR if alone else TRANSFORMER
    components = [Component(name, role, names, tuple(entries), keys=entry_keys(name, entries)), *behind]
    if explainers:
        missing = 100 - sum(each.percent for each in explainers)
        explainers[0] = replace(explainers[0], percent=explainers[0].percent + missing)
        components.append(_explainer(name, tuple(explainers), components[-1].name))
    return tuple(tried(each, *reversed(each.revisions)) if len(each.revisions) > 1 else each for each in components)
