"""What the command line does with manifests: render them, for a cluster or for this machine, and check them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.catalog.manifests import local, previous, read, render, write
from activator.catalog.manifests.advice import advise
from activator.settings.problems import Problem, SettingsError, counted
from activator.settings.rules import RefusedError
from activator.settings.source import parse_documents
from activator.settings.texts import Label

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from activator.catalog.manifests.model import Manifests
    from activator.settings.schema import Settings
    from activator.settings.source import Source


def joined(files: Sequence[Path], before: Sequence[Path], settings: Settings, namespace: str = "") -> Manifests:
    """Return what `files` ask for, beside what was last rolled out by the files `before`."""
    if namespace:
        _check_namespace(namespace)
    last = read.read(before, settings.manifests, namespace) if before else None
    return previous.join(read.read(files, settings.manifests, namespace), last)


def _check_namespace(namespace: str) -> None:
    try:
        Label().read(namespace)
    except RefusedError as error:
        problem = Problem("--namespace", "", str(error), value=repr(namespace), allowed=Label().allowed)
        raise SettingsError([problem]) from None


def for_cluster(manifests: Manifests, settings: Settings) -> str:
    """Return objects for kubectl, as YAML."""
    return write.documents(render.render(manifests.applications, settings.manifests))


def without_namespace(manifests: Manifests) -> list[Problem]:
    """Return a warning for each application whose namespace can only be guessed."""
    told = f"names no namespace: its hosts are those of {render.DEFAULT_NAMESPACE}; name another one by --namespace"
    guessed = (each for each in manifests.applications if not each.namespace)
    return [Problem(each.file, "metadata", told, subject=each.name) for each in guessed]


def for_here(manifests: Manifests, commands: Iterable[str], settings: Settings, config: Source | None) -> str:
    """Return a configuration file: that of `config`, which `settings` are of, with the services added; `commands` are
    NAME=COMMAND. SettingsError for one that is not, and as for `local`."""
    named = {}
    for each in commands:
        name, equals, command = each.partition("=")
        if not equals or not command.strip():
            raise SettingsError([Problem("--command", "", "must be NAME=COMMAND", value=repr(each))])
        named[name.strip()] = command.strip()
    services = local.local(manifests.applications, named, settings.listen.port)
    data = config.data if config else {"listen": str(settings.listen), "scaler": "process"}
    return write.document({**data, "services": [*(data.get("services") or []), *services]})


def advice(manifests: Manifests) -> list[Problem]:
    """Return what will hurt."""
    return list(advise(manifests.applications))


def is_manifest(text: str) -> bool:
    """Tell whether the text of a file has objects of Kubernetes. What is no YAML has not."""
    try:
        return any(read.is_manifest(source) for source in parse_documents(text, ""))
    except SettingsError:
        return False


def within(text: str, file: str, settings: Settings) -> Manifests:
    """Return what the text of a file asks for."""
    return previous.join(read.build(read.documents_of(text, file), settings.manifests), None)


def summary(manifests: Manifests) -> str:
    """Return in words what there is."""
    components = [component for application in manifests.applications for component in application.components]
    revisions = sum(len(component.revisions) for component in components)
    counts = {"application": len(manifests.applications), "service": len(components), "revision": revisions}
    counts = counts if manifests.applications else {}
    return f"good ({counted(counts | ({'Deployment': manifests.labelled} if manifests.labelled else {}))})"
