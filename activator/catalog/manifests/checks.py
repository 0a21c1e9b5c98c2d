"""What must hold of a whole application: names and tags are unique, and hosts are not too long."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from activator.settings.problems import Finding, shown
from activator.settings.texts import LONGEST_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.catalog.manifests.model import Application, Component


def check(application: Application) -> Iterator[Finding]:
    """Yield what cannot be, with places in the file."""
    for component in application.components:
        yield from _twice(component)
        for revision in component.revisions:
            longest = max(component.names, key=len)
            if revision.tag[:1].isdigit():
                yield Finding(
                    revision.at, "the tag must begin with a letter: a Service is named after it", revision.tag
                )
            if revision.tag and len(revision.tag) + 1 + len(longest) > LONGEST_LABEL:
                yield Finding(revision.at, f"the tag is too long before {longest}", shown(revision.tag))


def _twice(component: Component) -> Iterator[Finding]:
    names = Counter(revision.name for revision in component.revisions)
    tags = Counter(revision.tag for revision in component.revisions if revision.tag)
    for revision in component.revisions[1:]:
        if names[revision.name] > 1:
            yield Finding(revision.at, "has pods that are the same as those of another revision beside it")
        if tags[revision.tag] > 1:
            yield Finding(revision.at, "has the name or tag of another revision beside it", shown(revision.tag))
