"""The annotations of a Deployment, and the key of the configuration file that each of them is.

They are not checked here: a Deployment's annotations become the data of a service with one revision, as a file would
have it, and go through the file's own rules. Knative's annotations keep their names; what Knative has no annotation for
has the file's own key under our prefix. Every name may be written in camelCase, too; kebab-case wins, as in Knative
(pkg/apis/autoscaling/register.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from activator.settings.autoscaling import AutoscalingOverrides
from activator.settings.canary import Canary
from activator.settings.running import Process, Requests
from activator.settings.schema import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from activator.settings.problems import Location

OWN = "gpu-activator/"
KNATIVE = "autoscaling.knative.dev/"
LABEL = f"{OWN}service"
CANARY = "canary"
LONGEST = 128  # of names that are compared
CLOSE = 0.8
PROGRESS = "serving.knative.dev/progress-deadline"

KNATIVE_KEYS = (
    "class",
    "metric",
    "min-scale",
    "max-scale",
    "initial-scale",
    "activation-scale",
    "scale-down-delay",
    "target",
    "target-utilization-percentage",
    "target-burst-capacity",
    "window",
    "panic-window-percentage",
    "panic-threshold-percentage",
    "metric-aggregation-algorithm",
    "scale-to-zero-pod-retention-period",
)
NOT_OFFERED = {
    "progress-deadline": f"is {PROGRESS}",
    "pod-autoscaler-class": f"is {KNATIVE}class",
    "stable-window": f"is {KNATIVE}window",
    "max-scale-limit": "is the operator's bound on every Deployment",
    "allow-zero-initial-scale": "is the operator's permission for every Deployment",
    "activator-capacity": "has no effect",
    "container-concurrency-target-percentage": f"is the default of {KNATIVE}target-utilization-percentage",
    "container-concurrency-target-default": f"is the default of {KNATIVE}target",
    "requests-per-second-target-default": f"is the default of {KNATIVE}target",
    "termination-grace-period": "is the pod's own terminationGracePeriodSeconds",
    "log-bytes": "is about log files, and pods have their own",
}

SHARED = {
    key: name
    for key, name in Service.fields_by_key().items()
    if key not in {"name", "autoscaling", "requests", "process", "revisions", "traffic"}
}
"""The keys of a service that all its Deployments share, and their fields."""

_REVISION: Location = ("revisions", 0)
_TRAFFIC: Location = ("traffic", 0)


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation, and where its value belongs in the data of a service. `listed` = items with commas between."""

    name: str
    at: Location
    listed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names it may be written by; the first that is there counts."""
        prefix, _, key = self.name.partition("/")
        camel = re.sub(r"-([a-z])", lambda found: found[1].upper(), key)
        return tuple(dict.fromkeys((self.name, f"{prefix}/{camel}")))


def _all() -> Iterator[Annotation]:
    for key, name in SHARED.items():
        if key != CANARY:
            yield Annotation(f"{OWN}{key}", (key,), listed=isinstance(Service.model_fields[name].default, tuple))
    for key, name in Canary.fields_by_key().items():
        listed = isinstance(Canary.model_fields[name].default, tuple)
        yield Annotation(f"{OWN}{CANARY}-{key}", (CANARY, key), listed=listed)
    yield Annotation(f"{OWN}percent", (*_TRAFFIC, "percent"))
    yield Annotation(f"{OWN}tag", (*_TRAFFIC, "tag"))
    yield Annotation(f"{OWN}wakes", (*_REVISION, "wakes"), listed=True)
    for group, keys in (("requests", Requests), ("process", Process), ("autoscaling", AutoscalingOverrides)):
        for key in keys.fields_by_key():
            if key not in NOT_OFFERED and not (group == "autoscaling" and key in KNATIVE_KEYS):
                yield Annotation(f"{OWN}{key}", (*_REVISION, group, key))
    for key in KNATIVE_KEYS:
        yield Annotation(f"{KNATIVE}{key}", (*_REVISION, "autoscaling", key))
    yield Annotation(PROGRESS, (*_REVISION, "autoscaling", "progress-deadline"))


ANNOTATIONS = tuple(_all())
BY_NAME = {name: annotation for annotation in ANNOTATIONS for name in annotation.names}


def known(annotations: Mapping[str, str]) -> Iterator[tuple[Annotation, str]]:
    """Yield what is annotated, each with the name that counts."""
    for annotation in ANNOTATIONS:
        name = next((name for name in annotation.names if name in annotations), None)
        if name is not None:
            yield annotation, name


def unknown(annotations: Mapping[str, str]) -> list[str]:
    """Return the names under our and Knative's prefix that are none."""
    return [name for name in annotations if name.startswith((OWN, KNATIVE)) and name not in BY_NAME]


def meant(name: str) -> str:
    """Return the annotation that was meant by `name`, or ""."""
    key = name.partition("/")[2]
    same = [each for each in BY_NAME if each.partition("/")[2] == key]
    return same[0] if same else near(name, BY_NAME)


def near(name: str, known: Iterable[str]) -> str:
    """Return which of the known names is nearest to `name`, or "". A prefix that is theirs counts for nothing: all that
    have it would be near."""
    known = list(known)
    prefix = name[: name.find("/") + 1]
    same = [each.removeprefix(prefix) for each in known if prefix and each.startswith(prefix)]
    if not same:
        return "".join(get_close_matches(name[:LONGEST], known, 1, CLOSE))
    found = get_close_matches(name.removeprefix(prefix)[:LONGEST], same, 1, CLOSE)
    return prefix + found[0] if found else ""


def refusal(name: str) -> str:
    """Return what is wrong with an unknown annotation."""
    reason = NOT_OFFERED.get(name.removeprefix(OWN))
    if name == LABEL:
        return "is a label, not an annotation"
    return f"is no annotation: it {reason}" if reason else "unknown annotation"


def name_at(at: Location) -> str:
    """Return what is written at `at` of a service's data: an annotation, the label, or the Deployment's name."""
    plain = tuple(0 if isinstance(part, int) else part for part in at)
    for annotation in ANNOTATIONS:
        if plain[: len(annotation.at)] == annotation.at:
            return annotation.name
    return {("name",): LABEL, ("revisions", 0, "name"): "metadata.name"}.get(plain, LABEL)
