"""What will hurt, though it is allowed: said before somebody waits for it or pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.catalog.manifests.components import gpus
from activator.catalog.manifests.storage import is_remote
from activator.settings.durations import parse_size
from activator.settings.problems import Problem, path_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from activator.catalog.manifests.model import Application, Revision

LARGE = 4 << 30
GRACE = 30


def advise(applications: Sequence[Application]) -> Iterator[Problem]:
    """Yield what will hurt, by application and revision, with the place of the revision."""
    for application in applications:
        for _, revision in application.revisions():
            for message in _told(revision):
                yield Problem(application.file, path_of(revision.at), message, revision.line, application.name)


def _told(revision: Revision) -> Iterator[str]:
    yield from revision.assumed
    yield from _of_start(revision)
    yield from _of_readiness(revision)
    if revision.spec.get("terminationGracePeriodSeconds", GRACE) <= GRACE:
        yield (
            "a pod that Kubernetes ends (a node that is drained, a deletion by hand) is cut off after 30 s; "
            "set terminationGracePeriodSeconds to the longest answer"
        )
    if gpus(revision.container, revision.template["annotations"]):
        if not revision.keys["autoscaling"].get("max-scale"):
            yield "has GPUs and no upper bound of replicas: set maxReplicas"
        if not revision.keys["requests"].get("container-concurrency"):
            yield "has GPUs and no containerConcurrency: a replica is sent any number of requests at a time"
    image = revision.container.get("image", "")
    if image.endswith(":latest") or ":" not in image.rpartition("/")[2]:
        yield f"the image {shown(image)} may change and keep its name: then this revision does so, too"


def _of_start(revision: Revision) -> Iterator[str]:
    remote = [uri for uri in revision.models if is_remote(uri)]
    if remote and not revision.keys["autoscaling"].get("min-scale") and _is_large(revision):
        yield f"may sleep, and fetches {shown(remote[0])} anew at each start: keep a large model on a volume (pvc://claim/path)"


def _of_readiness(revision: Revision) -> Iterator[str]:
    probe = revision.front.get("readinessProbe", {})
    if "exec" in probe or "grpc" in probe:
        yield "only the kubelet can make its readiness probe: with httpGet the edge sees at once when it is ready"
    elif not revision.readiness and "readiness-path" not in revision.keys["process"]:
        yield (
            "is ready for Kubernetes when its port is open, which does not mean that the model is loaded: "
            "set readinessProbe.httpGet to a path that answers 200 when it is"
        )


def _is_large(revision: Revision) -> bool:
    resources = revision.container.get("resources", {})
    amounts = [resources.get(key, {}).get("memory") for key in ("limits", "requests")]
    return gpus(revision.container, revision.template["annotations"]) or any(map(_at_least_large, amounts))


def _at_least_large(amount: Any) -> bool:
    try:
        return parse_size(str(amount).replace("G", "GB") if str(amount).endswith("G") else str(amount)) >= LARGE
    except ValueError:
        return False
