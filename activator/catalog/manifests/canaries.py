"""Which revision of a component is the canary: what a manifest gives a part of the traffic is tried, not just served.

To KServe canaryTrafficPercent is a weight and nothing more: requests wait while the new revision starts, and go on
failing while it fails. Here it is the share that a canary ends with. No steps are taken on the way unless the manifest
asks for them, but nobody waits for a cold canary, and a bad one is taken out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from activator.catalog.annotations import CANARY, OWN
from activator.settings.problems import Problem, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.catalog.manifests.model import Application, Component, Revision


def tried(component: Component, canary: Revision, stable: Revision) -> Component:
    """Return a component whose `canary` is rolled out beside `stable`, as the canary's own annotations say."""
    keys = {"revision": canary.name, "stable": stable.name, **canary.keys.get(CANARY, {})}
    return replace(component, keys={**component.keys, CANARY: keys})


def idle(application: Application) -> Iterator[Problem]:
    """Yield a warning if annotations are about a canary that is not there."""
    if any(CANARY in component.keys for component in application.components):
        return
    for _, revision in application.revisions():
        for key in revision.keys.get(CANARY, {}):
            told = f"{OWN}{CANARY}-{key} has no effect: no other revision is beside this one"
            yield Problem(application.file, path_of(revision.at), told, revision.line, application.name)
        if revision.keys.get(CANARY):
            return
