"""A Deployment that carries our label is a revision: its label and annotations say what a file would say of it.

One is read without regard to the others, through the rules of the configuration file, so that a mistake in it is found
here and stays with it. What several of them amount to is in `merge`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import LABEL, known, meant, name_at, refusal, unknown
from activator.settings.load import settings_of
from activator.settings.problems import Location, Problem, SettingsError, path_of
from activator.settings.scaling_checks import check_scaling
from activator.settings.source import Source
from activator.settings.tls_checks import check_tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from activator.settings.problems import Finding
    from activator.settings.schema import Service, Settings

INHERITED = {"autoscaling", "requests", "process"}


@dataclass(frozen=True, slots=True)
class Member:
    """A Deployment as a revision. `service` is what it says of its service, with itself as the only revision; `born`
    orders Deployments, the oldest first. `written` is all that was read of it, as a Deployment."""

    name: str
    born: tuple[str, str]
    service: Service
    written: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def percent(self) -> int | None:
        """Its part of the traffic as it is written; None = not."""
        share = self.service.traffic[0]
        return share.percent if "percent" in share.model_fields_set else None


def is_ours(deployment: Mapping[str, Any]) -> bool:
    """Tell whether a Deployment carries our label and is not being deleted."""
    metadata = _mapping(deployment.get("metadata"))
    return LABEL in _mapping(metadata.get("labels")) and not metadata.get("deletionTimestamp")


def name_of(deployment: Mapping[str, Any]) -> str:
    """Return a Deployment's name."""
    return str(_mapping(deployment.get("metadata")).get("name", ""))


def born_of(deployment: object) -> tuple[str, str]:
    """Return what orders a Deployment among others, and tells it from others of its name."""
    metadata = _mapping(_mapping(deployment).get("metadata"))
    return str(metadata.get("creationTimestamp", "")), str(metadata.get("name", ""))


def fingerprint(deployment: Mapping[str, Any]) -> object:
    """Return all of a Deployment that is read here: as long as it is equal, so is the revision."""
    metadata = _mapping(deployment.get("metadata"))
    labels = _mapping(metadata.get("labels"))
    return (
        name_of(deployment),
        metadata.get("creationTimestamp"),
        labels,
        metadata.get("annotations"),
    )


def inherited(settings: Settings) -> dict[str, Any]:
    """Return what the file says for all services, as it was written."""
    return settings.model_dump(by_alias=True, exclude_unset=True, include=INHERITED)


def read(deployment: Mapping[str, Any], defaults: Mapping[str, Any]) -> Member:
    """Return a Deployment as a revision; `defaults` is what it inherits. SettingsError with every mistake in it, whose
    paths are names of annotations."""
    name = name_of(deployment)
    metadata = _mapping(deployment.get("metadata"))
    annotations = _mapping(metadata.get("annotations"))
    data, written = _data(deployment, annotations)
    problems = [Problem("", each, refusal(each), suggestion=meant(each)) for each in unknown(annotations)]
    service: Service | None = None
    files: Sequence[Path] = ()
    try:
        source = Source("", {**defaults, "services": [data]})
        service = settings_of(source, Path("/"), _check_alone).services[0]
    except SettingsError as error:
        problems += [replace(problem, path=_written(problem.path, written), subject="") for problem in error.problems]
        files = error.files
    if problems or service is None:
        raise SettingsError(problems, files)
    return Member(name, born_of(deployment), service, _written_of(metadata, annotations))


def _written_of(metadata: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: metadata[key] for key in ("name", "creationTimestamp") if key in metadata}
    labels = {LABEL: _mapping(metadata.get("labels")).get(LABEL)}
    ours = {each: annotations[each] for _, each in known(annotations)}
    return {"metadata": {**kept, "labels": labels, "annotations": ours}}


def _check_alone(settings: Settings) -> Iterator[Finding]:
    yield from check_scaling(settings)
    yield from check_tls(settings)


def _data(deployment: Mapping[str, Any], annotations: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the data of the service, and by the path of each value the annotation that it is from."""
    name = name_of(deployment)
    revision: dict[str, Any] = {"name": name, "autoscaling": {}, "requests": {}, "process": {}}
    data: dict[str, Any] = {
        "name": _mapping(_mapping(deployment.get("metadata")).get("labels")).get(LABEL),
        "revisions": [revision],
        "traffic": [{"revision": name}],
    }
    written = {}
    for annotation, each in known(annotations):
        value = annotations[each]
        listed = annotation.listed and isinstance(value, str)
        _put(data, annotation.at, [item.strip() for item in value.split(",")] if listed else value)
        written[path_of(("services", 0, *annotation.at))] = each
    return data, written


def _put(data: Any, at: Location, value: Any) -> None:
    for part in at[:-1]:
        data = data.setdefault(part, {}) if isinstance(data, dict) else data[part]
    data[at[-1]] = value


def _written(path: str, written: Mapping[str, str]) -> str:
    """Return by which annotation (or else by what of the Deployment) the value at `path` was written."""
    found = next((name for place, name in written.items() if path == place or path.startswith(f"{place}[")), None)
    if found is None and not path.startswith("services[0]"):
        return path
    return found or name_at(("revisions", 0, "name") if "revision" in path else ("name",))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
