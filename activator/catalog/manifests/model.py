"""What a manifest asks for, in neutral words: the same whether it runs as Deployments or as local processes.

An application is what one manifest describes. It has components: the entry, which its own hosts lead to, and what lies
behind it. A component has revisions, which share its traffic, and becomes a service of the edge.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from activator.settings.problems import Location, Problem

    Container = TypeVar("Container", bound=Mapping[str, Any])

HASH = 8
VISIBILITY = ("networking.kserve.io/visibility", "networking.knative.dev/visibility")
LONGEST_NAME = 63
BESIDE = "transformer-container"
"""KServe's name for a transformer that is in the pod of its predictor."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a component.

    `template` is a pod template: labels, annotations and spec, whose first container is the model. Its `front` is asked
    at `port`, and is ready when it answers GET of `readiness` with 200 ("" = when the port is open). `keys` are
    autoscaling, requests and process, as a configuration file has them, and what it says of its service and of itself
    as a canary. It `wakes` the components that it calls.
    `called` is the name the manifest gives it, `models` are the places of its model files, `assumed` tells in sentences
    what was taken for what is not there. `at` and `line` are where in the file it is described.
    """

    name: str
    template: Mapping[str, Any]
    port: int
    readiness: str
    keys: Mapping[str, Mapping[str, Any]]
    strategy: Mapping[str, Any] = field(default_factory=dict)
    percent: int = 100
    tag: str = ""
    wakes: tuple[str, ...] = ()
    called: str = ""
    models: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    at: Location = ()
    line: int | None = None

    @property
    def spec(self) -> Mapping[str, Any]:
        """Return the pod's spec."""
        spec: Mapping[str, Any] = self.template["spec"]
        return spec

    @property
    def container(self) -> Mapping[str, Any]:
        """Return the model's container."""
        container: Mapping[str, Any] = self.spec["containers"][0]
        return container

    @property
    def front(self) -> Mapping[str, Any]:
        """Return the container that takes the requests."""
        return front_of(self.spec["containers"])


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The share of a revision that another manifest describes: the one `called` so, or the last rolled-out one."""

    called: str
    percent: int
    tag: str
    at: Location


@dataclass(frozen=True, slots=True)
class Component:
    """Revisions that share the requests for `names`, host names without a domain, and for `paths` (none = all).

    `keys` are those of the service, as a configuration file has them (models, sticky, canary, ...). Shares of revisions
    of other manifests are `elsewhere`.
    """

    name: str
    role: str
    names: tuple[str, ...]
    revisions: tuple[Revision, ...]
    paths: tuple[str, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Application:
    """What one manifest describes; `labels` are its own, `file` where it was read. What is `internal` is not reached
    from outside the cluster.
    """

    name: str
    namespace: str
    components: tuple[Component, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    file: str = ""

    def revisions(self) -> Iterator[tuple[Component, Revision]]:
        """Yield every revision with its component."""
        for component in self.components:
            for revision in component.revisions:
                yield component, revision


@dataclass(frozen=True, slots=True)
class Manifests:
    """All that some files ask for, and what has no effect in them. `labelled` Deployments need not be rendered."""

    applications: tuple[Application, ...]
    warnings: tuple[Problem, ...]
    labelled: int = 0


def front_of(containers: Sequence[Container]) -> Container:
    """Return the container of a pod that takes the requests: a transformer beside the model, else the model's, which is
    the first one."""
    return next((each for each in containers if each.get("name") == BESIDE), containers[0])


def revision_name(component: str, template: Mapping[str, Any], port: int) -> str:
    """Return the name of a revision: its component and a hash of what its pods are. Scaling and traffic are not in it,
    since to change them needs no new pod."""
    text = json.dumps([template, port], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:HASH]
    return f"{component[: LONGEST_NAME - HASH - 1].rstrip('-')}-{digest}"


def application(metadata: Mapping[str, Any], components: tuple[Component, ...]) -> Application:
    """Return an application by its metadata."""
    labels = metadata.get("labels", {})
    internal = "cluster-local" in (labels.get(key) for key in VISIBILITY)
    return Application(metadata["name"], metadata.get("namespace", ""), components, labels, internal)
