"""The last rolled-out revision beside the new one: what canaryTrafficPercent and a Knative Service's traffic count on.

In a cluster Knative remembers the revisions that were rolled out; here the manifest of the last one is named.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from activator.catalog.annotations import CANARY
from activator.catalog.manifests.canaries import idle, tried
from activator.catalog.manifests.inference import PREVIOUS
from activator.catalog.manifests.model import Application, Component, Elsewhere, Manifests, Revision
from activator.settings.problems import Problem, SettingsError, path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

HOW = "name the manifest of the last rolled-out revision by --previous"


def join(latest: Manifests, previous: Manifests | None) -> Manifests:
    """Return `latest` with the revisions of `previous` beside its own. SettingsError if a share belongs to a revision
    that is in neither."""
    errors: list[Problem] = []
    warnings = [*latest.warnings]
    applications = []
    for application in latest.applications:
        before = _same(application, previous.applications if previous else ())
        components = tuple(
            _joined(component, _component(component, before), (application, errors, warnings))
            for component in application.components
        )
        applications.append(_without_lost_calls(replace(application, components=components), warnings))
        warnings += idle(applications[-1])
    if previous is not None:
        warnings += previous.warnings
        warnings += [_unused(each) for each in previous.applications if _same(each, latest.applications) is None]
    if errors:
        raise SettingsError(errors)
    return Manifests(tuple(applications), tuple(warnings), latest.labelled)


def _without_lost_calls(application: Application, warnings: list[Problem]) -> Application:
    """Have no revision wake a component that only an earlier manifest has, and say so."""
    here = {component.name for component in application.components}
    for _, revision in application.revisions():
        for name in sorted(set(revision.wakes) - here):
            told = f"the former {revision.name} calls {name}, which is not kept: it is no part of the new manifest"
            warnings.append(Problem(application.file, "", told, subject=application.name))
    components = tuple(
        replace(
            component,
            revisions=tuple(
                replace(each, wakes=tuple(name for name in each.wakes if name in here)) for each in component.revisions
            ),
        )
        for component in application.components
    )
    return replace(application, components=components)


def _unused(before: Application) -> Problem:
    return Problem(
        before.file, "metadata.name", "is in none of the files beside it: it has no effect", subject=before.name
    )


def _same(application: Application, others: Sequence[Application]) -> Application | None:
    return next(
        (each for each in others if (each.namespace, each.name) == (application.namespace, application.name)), None
    )


def _component(component: Component, before: Application | None) -> Component | None:
    components = before.components if before else ()
    return next((each for each in components if each.name == component.name), None)


_Told = tuple[Application, list[Problem], list[Problem]]


def _joined(component: Component, before: Component | None, told: _Told) -> Component:
    known = {each.name for _, each in told[0].revisions()}  # one revision is of one component only
    old = [each for each in (before.revisions if before else ()) if each.name not in known]
    revisions = list(component.revisions)
    for share in component.elsewhere:
        found = _called(share, before.revisions if before else ())
        if found is None or found.name in known:
            revisions[0] = _alone(revisions[0], share, found, told)
        else:
            revisions.append(replace(found, percent=share.percent, tag=share.tag or PREVIOUS))
            old = [each for each in old if each.name != found.name]
    rolled_out = [each for each in old if each.percent] if not component.elsewhere else []
    tag = "" if PREVIOUS in {each.tag for each in revisions} else PREVIOUS
    revisions += [replace(each, percent=0, tag=tag) for each in rolled_out[:1]]
    made = replace(component, revisions=tuple(revisions), elsewhere=())
    if CANARY in component.keys or len(revisions) == 1:
        return made
    return tried(made, revisions[0], max(revisions[1:], key=lambda each: each.percent))


def _called(share: Elsewhere, revisions: Sequence[Revision]) -> Revision | None:
    if share.called:
        return next((each for each in revisions if share.called in (each.called, each.name)), None)
    return max(revisions, key=lambda each: each.percent, default=None)


def _alone(latest: Revision, share: Elsewhere, found: Revision | None, told: _Told) -> Revision:
    """Give the share of a revision that is not there to the newest one, or say that it cannot be."""
    application, errors, warnings = told
    path, name = path_of(share.at), application.name
    if share.called and found is None:
        errors.append(Problem(application.file, path, f"revision {share.called} is not described: {HOW}", subject=name))
    elif found is None and share.percent:
        told_so = f"the other {share.percent} % are of the last rolled-out revision, which is not known: {HOW}"
        warnings.append(Problem(application.file, path, f"{told_so}; until then the newest has all", subject=name))
    elif found is not None and found.name != latest.name and share.percent:
        told_so = f"the other {share.percent} % are of {found.name}, which is another component now: the newest has all"
        warnings.append(Problem(application.file, path, told_so, subject=name))
    return replace(latest, percent=latest.percent + share.percent)
