"""From files to applications: documents, Lists, which kind each is, and everything that is wrong, with its place.

A file may have other objects beside (volume claims, secrets): they are named in a warning and left out. One mistake
anywhere, and nothing is read: half a set of services would take the other half down.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import LABEL as LABEL_OF_OURS
from activator.catalog.deployments import is_ours
from activator.catalog.deployments import read as read_deployment
from activator.catalog.manifests import inference, knative
from activator.catalog.manifests.annotations import MODE, SCALED_BY, STOP
from activator.catalog.manifests.checks import check
from activator.catalog.manifests.fields import ALPHA, BETA
from activator.catalog.manifests.knative import KNATIVE_SERVICE
from activator.catalog.manifests.model import Application, Manifests
from activator.catalog.manifests.notes import Notes
from activator.catalog.manifests.table import Table, clean
from activator.settings.problems import Finding, Location, Problem, SettingsError, shown
from activator.settings.source import Source, decoded, parse_documents, text_of
from activator.settings.texts import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from activator.settings import manifests

    Build = Callable[[Mapping[str, Any], Notes, manifests.Manifests], Application | None]

STDIN = "-"
LONGEST_NAME = 43
RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
KSERVE = "serving.kserve.io/"
NAME = "metadata.name"
DEPLOYMENT = ("apps/v1", "Deployment")
KINDS: dict[tuple[str, str], tuple[Table, Build]] = {
    ("serving.kubeflow.org/v1alpha2", "InferenceService"): (ALPHA, inference.alpha),
    ("serving.kubeflow.org/v1beta1", "InferenceService"): (BETA, inference.beta),
    ("serving.kserve.io/v1beta1", "InferenceService"): (BETA, inference.beta),
    ("serving.knative.dev/v1", "Service"): (KNATIVE_SERVICE, knative.service),
}
_NAME = re.compile(f"(?![0-9]){LABEL}")  # Services of Kubernetes begin with a letter (RFC 1035)


@dataclass(frozen=True, slots=True)
class Document:
    """An object of a file: at `at` of its document, which is the whole of it or an item of a List."""

    source: Source
    at: Location
    data: dict[str, Any]

    @property
    def kind(self) -> tuple[str, str]:
        """Return apiVersion and kind, "" where there is none."""
        api, kind = self.data.get("apiVersion"), self.data.get("kind")
        return api if isinstance(api, str) else "", kind if isinstance(kind, str) else ""

    @property
    def name(self) -> str:
        """Return metadata.name, "" if there is none."""
        metadata = self.data.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else ""

    def problem(self, finding: Finding) -> Problem:
        """Return a finding with its place, and the object's name."""
        return replace(self.source.problem(finding), subject=self.name)


def read(paths: Iterable[Path], settings: manifests.Manifests, namespace: str = "") -> Manifests:
    """Return the applications of all files; `namespace` is theirs where they name none. SettingsError with everything
    that is wrong."""
    return build([document for path in paths for document in documents(path)], settings, namespace)


def documents(path: Path) -> list[Document]:
    """Return the objects of a file, "-" = of standard input. SettingsError if it cannot be read, or has none."""
    return documents_of(given(path), str(path))


def given(path: Path) -> str:
    """Return the text of a file, "-" = of standard input. It may be a pipe, which can be read once. SettingsError if it
    cannot be read, or is no text."""
    return decoded(sys.stdin.buffer.read(), STDIN) if str(path) == STDIN else text_of(path)


def documents_of(text: str, file: str) -> list[Document]:
    """Return the objects of the text of a file. SettingsError if it is no YAML, or has none."""
    found = [each for source in parse_documents(text, file) for each in objects(source, source.data, ())]
    if not found:
        raise SettingsError([Problem(file, "", "is empty")])
    return found


def is_manifest(source: Source) -> bool:
    """Tell whether a document is an object of Kubernetes, or meant to be one, rather than a configuration file."""
    return isinstance(source.data, dict) and bool({"apiVersion", "kind"} & source.data.keys())


def build(found: list[Document], settings: manifests.Manifests, namespace: str = "") -> Manifests:
    """Return the applications of some documents. SettingsError with all that is wrong with them."""
    errors: list[Problem] = []
    warnings: list[Problem] = []
    applications: dict[tuple[str, str], Application] = {}
    for document in found:
        made = _application(document, settings, namespace, (errors, warnings))
        if made is None:
            continue
        key = (made.namespace, made.name)
        if key in applications:
            at = (*document.at, "metadata", "name")
            errors.append(document.problem(Finding(at, "is the name of another one already", shown(made.name))))
        applications[key] = made
    labelled = sum(map(_is_labelled, found))
    if not applications and not labelled and not errors:
        known, there = (_listed(kinds) for kinds in (KINDS, (each.kind for each in found)))
        errors.append(Problem(found[0].source.file, "", f"has nothing to serve: {there}", allowed=known))
    if errors:
        raise SettingsError(errors)
    return Manifests(tuple(applications.values()), tuple(warnings), labelled)


def _listed(kinds: Iterable[tuple[str, str]]) -> str:
    return ", ".join(dict.fromkeys(f"{kind} of {api}" for api, kind in kinds))


def _is_labelled(document: Document) -> bool:
    """Tell whether an object is a Deployment that is a model by our label."""
    return document.kind == DEPLOYMENT and is_ours(document.data)


def objects(source: Source, data: Any, at: Location) -> Iterator[Document]:
    """Yield the objects of a document: itself, or the items of a List. SettingsError for what is no object."""
    items = data.get("items") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(items, list) and str(data.get("kind", "")).endswith("List"):
        for number, item in enumerate(items):
            yield from objects(source, item, (*at, "items", number))
    elif isinstance(data, dict):
        yield Document(source, at, data)
    else:
        finding = Finding(at, "must be a mapping with apiVersion and kind", shown(data))
        raise SettingsError([source.problem(finding)])


def _application(
    document: Document, settings: manifests.Manifests, namespace: str, told: tuple[list[Problem], list[Problem]]
) -> Application | None:
    errors, warnings = told
    notes = Notes(document.at)
    made = None
    if _is_labelled(document):
        _labelled(document, notes)
    elif document.kind not in KINDS:
        _other(document, notes)
    else:
        table, build_from = KINDS[document.kind]
        notes.errors += [each for each in document.source.findings if _within(each.at, document.at)]
        cleaned = clean(document.data, table, document.at)
        notes.errors += cleaned.errors
        notes.warnings += cleaned.warnings
        _check_name(cleaned.data, notes)
        if not notes.errors and not _left_out(cleaned.data, notes):
            cleaned.data["metadata"].setdefault("namespace", namespace)
            made = build_from(cleaned.data, notes, settings)
        if made is not None:
            made = _placed(made, document.source)
            notes.errors += check(made)
    errors += map(document.problem, notes.errors)
    warnings += map(document.problem, notes.warnings)
    return made


def _placed(application: Application, source: Source) -> Application:
    """Return an application that knows the file, and the lines of its revisions."""
    components = tuple(
        replace(each, revisions=tuple(replace(one, line=source.line(one.at)) for one in each.revisions))
        for each in application.components
    )
    return replace(application, file=source.file, components=components)


def _labelled(document: Document, notes: Notes) -> None:
    """Note what an edge would say of a Deployment by itself, by its defaults, and which annotations are no text: an API
    server takes none of it then."""
    notes.errors += [each for each in document.source.findings if _within(each.at, document.at)]
    annotations = document.data["metadata"].get("annotations")
    if annotations is not None and not isinstance(annotations, dict):
        notes.refuse(("metadata", "annotations"), "must be a mapping of keys", annotations)
        return
    for name, value in (annotations or {}).items():
        if not isinstance(value, str):
            notes.refuse(("metadata", "annotations", name), "must be in quotes: annotations are text", value)
    try:
        read_deployment(document.data, {})
    except SettingsError as error:
        for each in error.problems:
            by_label = each.path == LABEL_OF_OURS and each.value  # which an annotation of that name is refused without
            place = ("name",) if each.path == NAME else ("labels" if by_label else "annotations", each.path)
            at = (*document.at, "metadata", *place)
            notes.errors.append(Finding(at, each.message, each.value, each.allowed, each.suggestion))


def _other(document: Document, notes: Notes) -> None:
    api, kind = document.kind
    if not api or not kind:
        lacks = " and ".join(name for name, value in (("apiVersion", api), ("kind", kind)) if not value)
        notes.refuse((), f"has no {lacks}: it is no object of Kubernetes")
    elif any(kind == each and api.partition("/")[0] == known.partition("/")[0] for known, each in KINDS):
        notes.refuse(("apiVersion",), "is no version that is known here", api, ", ".join(known for known, _ in KINDS))
    else:
        named = f"{kind} {document.name}".strip()
        notes.warn((), f"{named} is left out: {_what_to_do(api, kind)}")


def _what_to_do(api: str, kind: str) -> str:
    if not api.startswith(KSERVE):
        return "apply it yourself"
    if kind in RUNTIMES:
        return "only KServe reads it; write its containers in the predictor, or name its image in manifests.runtimes"
    return "only KServe can run it"


def _within(at: Location, place: Location) -> bool:
    return at[: len(place)] == place


def _check_name(data: Mapping[str, Any], notes: Notes) -> None:
    metadata = data.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        allowed = f"up to {LONGEST_NAME} of a-z, 0-9 and -, which begin with a letter and end with a letter or digit"
        notes.refuse(("metadata", "name"), "is no name for a service", name or None, allowed)


def _left_out(data: Mapping[str, Any], notes: Notes) -> bool:
    annotations = data["metadata"].get("annotations", {})
    at = ("metadata", "annotations")
    if annotations.get(SCALED_BY) in {"hpa", "keda"}:
        notes.warn((*at, SCALED_BY), "has no effect here; with KServe it must be external", annotations[SCALED_BY])
    if annotations.get(MODE) == "ModelMesh":
        notes.refuse((*at, MODE), "ModelMesh keeps many models in one pod; that cannot be rendered")
    if annotations.get(STOP) == "true":
        notes.warn((*at, STOP), "the service is stopped: it is left out")
        return True
    return False
