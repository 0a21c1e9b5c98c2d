"""All InferenceServices of a namespace: those that are ours as Deployments with our label and annotations.

What `render` would have written on a Deployment is laid over the one that KServe made, here in memory only. From there
on it goes the way of every other Deployment, so that nothing else needs to know where it came from. A mistake stays
with the InferenceService that has it; that goes on as it last was good.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import LABEL
from activator.catalog.kserve.component import found
from activator.catalog.kserve.objects import hosts_in, items, made_of, mapping
from activator.catalog.kserve.rights import is_absent, reasons
from activator.catalog.manifests.annotations import HOSTS
from activator.catalog.manifests.fields import EXPLAINER, PREDICTOR
from activator.catalog.manifests.notes import Notes
from activator.catalog.manifests.render import annotations_of, hosts_of
from activator.settings.problems import Problem, path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from activator.catalog.kserve.component import Found
    from activator.catalog.kserve.objects import Made
    from activator.catalog.manifests.model import Component
    from activator.catalog.merge import Merged
    from activator.settings.manifests import Manifests
    from activator.settings.problems import Finding

    Objects = tuple[dict[str, Any], ...]
    _Made = dict[str, tuple[Made, dict[str, Any]]]

SHORT = "inferenceservice"


@dataclass(frozen=True, slots=True)
class Adopted:
    """Deployments as if they were labelled, and by Deployment the InferenceService it is of. By InferenceService:
    what is wrong with it, which of them are not in force as they are written, and why others are left alone."""

    deployments: Objects
    owners: Mapping[str, str]
    problems: Mapping[str, tuple[Problem, ...]]
    refused: frozenset[str]
    left: Mapping[str, tuple[Problem, ...]]

    def told(self, merged: Merged) -> Merged:
        """Return `merged` with all problems where they can be mended: those of adopted Deployments and of their
        InferenceServices at `inferenceservice/NAME`."""
        problems: dict[str, tuple[Problem, ...]] = defaultdict(tuple)
        for name, each in self.problems.items():
            problems[called(name)] += each
        for name, each in merged.problems.items():
            problems[self._place(name)] += each
        refused = {called(name) for name in self.refused} | {self._place(name) for name in merged.refused}
        return replace(merged, problems=dict(problems), refused=frozenset(refused))

    def _place(self, deployment: str) -> str:
        owner = self.owners.get(deployment)
        return deployment if owner is None else called(owner)


def called(name: str) -> str:
    """Return how an InferenceService is told from a Deployment of the same name."""
    return f"{SHORT}/{name}"


def others(deployments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Deployments that no InferenceService controls: KServe copies labels to those, also ours."""
    return [each for each in deployments if made_of(each) is None]


def name_in(place: str) -> str:
    """Return the InferenceService that a place of problems is, "" if it is a Deployment."""
    kind, slash, name = place.partition("/")
    return name if slash and kind == SHORT else ""


class InferenceServices:
    """Adopts again and again, and remembers each InferenceService as it last was good."""

    def __init__(self) -> None:
        self._good: dict[str, Objects] = {}
        self._refused: frozenset[str] = frozenset()
        self._saved: Mapping[str, Any] = {}

    def dump(self) -> dict[str, Any]:
        """Return what the Deployments of those that are not in force as they are written last were, by uid and in
        JSON's types."""
        good = self._good
        return {uid: [_written(each) for each in good[uid]] for uid in sorted(self._refused & good.keys())}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on with what `dump` gave at another edge, or in an earlier run, where nothing is known here."""
        self._saved = saved

    def adopt(
        self, services: Iterable[Mapping[str, Any]], deployments: Iterable[dict[str, Any]], settings: Manifests
    ) -> Adopted:
        """Return what `services` and the `deployments` that KServe made of them amount to."""
        made = _by_owner(deployments)
        good, self._good = self._good, {}
        refused = set()
        told = _Told()
        for service in services:
            name, uid = _identity(service)
            if is_absent(service):
                continue
            if why := reasons(service):
                told.left[name] = why
                continue
            notes = Notes(())
            dressed = _dressed(service, made[uid], settings, notes)
            if notes.errors:
                refused.add(uid)
                known = good.get(uid) or tuple(_restored(items(self._saved.get(uid)), made[uid]))
                dressed = tuple(each for each in known if each["metadata"]["name"] in made[uid])
            self._good[uid] = dressed
            told.take(name, dressed, notes)
        self._refused = frozenset(refused)
        return Adopted(tuple(told.deployments), told.owners, told.problems, frozenset(told.refused), told.left)


@dataclass(slots=True)
class _Told:
    deployments: list[dict[str, Any]] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    left: dict[str, tuple[Problem, ...]] = field(default_factory=dict)

    def take(self, name: str, dressed: Objects, notes: Notes) -> None:
        """Take what has become of an InferenceService."""
        self.deployments += dressed
        self.owners |= {each["metadata"]["name"]: name for each in dressed}
        if found_wrong := [*notes.errors, *notes.warnings]:
            self.problems[name] = tuple(dict.fromkeys(map(_problem, found_wrong)))
        if notes.errors:
            self.refused.add(name)


def _identity(service: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and uid."""
    metadata = mapping(service.get("metadata"))
    return str(metadata.get("name", "")), str(metadata.get("uid", ""))


def _by_owner(deployments: Iterable[dict[str, Any]]) -> Mapping[str, _Made]:
    """Return the Deployments of each InferenceService, by its uid and their names."""
    made: dict[str, _Made] = defaultdict(dict)
    for deployment in deployments:
        if (one := made_of(deployment)) is not None:
            made[one.owner][one.name] = one, deployment
    return made


def _dressed(
    service: Mapping[str, Any],
    made: _Made,
    settings: Manifests,
    notes: Notes,
) -> Objects:
    """Return the Deployments of an InferenceService with what the edge must be told of them."""
    result = found(service, {name: one for name, (one, _) in made.items()}, settings, notes)
    if result is None or notes.errors:
        return ()
    dressed = []
    for component, revision in result.application.revisions():
        hosts = _hosts(service, component, result, settings)
        annotations = annotations_of(component, revision, hosts)
        deployment = made[revision.name][1]
        metadata = {**deployment["metadata"], "labels": {LABEL: component.name}, "annotations": annotations}
        dressed.append({**deployment, "metadata": metadata})
    return tuple(dressed)


def _written(dressed: Mapping[str, Any]) -> dict[str, Any]:
    return {"metadata": {key: dressed["metadata"][key] for key in ("name", "labels", "annotations")}}


def _restored(saved: Iterable[Mapping[str, Any]], made: _Made) -> Iterator[dict[str, Any]]:
    """Yield Deployments with what `_written` gave."""
    for each in saved:
        metadata = mapping(each.get("metadata"))
        deployment = made.get(str(metadata.get("name")), (None, None))[1]
        if deployment is not None:
            over = {key: mapping(metadata.get(key)) for key in ("labels", "annotations")}
            yield {**deployment, "metadata": {**deployment["metadata"], **over}}


def _hosts(service: Mapping[str, Any], component: Component, result: Found, settings: Manifests) -> list[str]:
    """Return the hosts of a component: those that a rendered one would have, and those that clients call already."""
    status = mapping(service.get("status"))
    entry = component is result.application.components[0]
    hosts = [*hosts_of(result.application, component, settings)]
    if entry:
        annotations = mapping(mapping(service.get("metadata")).get("annotations"))
        hosts += [each.strip() for each in str(annotations.get(HOSTS, "")).split(",") if each.strip()]
    if entry or component.role == EXPLAINER:
        hosts += hosts_in(status)
    hosts += hosts_in(mapping(mapping(status.get("components")).get(component.role)))
    if component.role == PREDICTOR:
        hosts += result.predictor_hosts
    return list(dict.fromkeys(hosts))


def _problem(finding: Finding) -> Problem:
    return Problem(
        "",
        path_of(finding.at),
        finding.message,
        value=finding.value,
        allowed=finding.allowed,
        suggestion=finding.suggestion,
    )
