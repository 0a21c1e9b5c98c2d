"""What a pod's object says to whoever waits for it: where it is, whether it can be asked, and what is wrong with it.

Reasons and states are the kubelet's and the scheduler's (k8s.io/api/core/v1: PodStatus, ContainerStateWaiting).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from activator.kube.resources import annotations_of, name_of, uid_of
from activator.scalers.causes import ending, exit_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.kube.resources import Object

COST = "controller.kubernetes.io/pod-deletion-cost"
MAIN = "kubectl.kubernetes.io/default-container"
DEFAULT_PORT = 8080
FOR_REQUESTS = {"http1", "http", "user-port"}
"""Names that a port has which takes requests, which are sent as HTTP/1.1."""
PROXIES = {"istio-proxy", "linkerd-proxy"}
"""Containers that a mesh adds, maybe before all others; none of their ports is the model's."""
SIGNALLED = 128

CRASH_LOOP = "CrashLoopBackOff"
STUCK = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "RegistryUnavailable": "its image cannot be pulled",
    "ImageInspectError": "its image cannot be used",
    "InvalidImageName": "its image's name is not valid",
    "ErrImageNeverPull": "its image is not on the node, and may not be pulled",
    "CreateContainerConfigError": "it cannot be configured",
    "CreateContainerError": "it cannot be created",
    "RunContainerError": "it cannot be run",
}
IN_VAIN = {"InvalidImageName", "ErrImageNeverPull"}
_BACK_OFF = re.compile(r"back-off ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Probe(NamedTuple):
    """What we may ask a pod ourselves."""

    port: int
    path: str


class Death(NamedTuple):
    """How a container ended last, and whether what it wrote says more (`told` = it left a termination message)."""

    container: str
    code: int
    reason: str
    message: str

    @property
    def told(self) -> bool:
        """Whether the container left its last words itself."""
        return bool(self.message.strip())

    def sentence(self, pod: str, log: str | None) -> str:
        """Tell of it, with the container's last words or the end of its `log` (None = it is not known)."""
        code = SIGNALLED - self.code if self.code > SIGNALLED else self.code
        hint = " (OOMKilled: more than its memory limit)" if self.reason == "OOMKilled" else ""
        who, words = f"container {self.container} of {pod}{hint}", self.message if self.told else log
        return f"{who} {ending(code)}" if words is None else exit_sentence(who, code, words)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, as its object has it.

    `node` is "" until it is scheduled, and `waits` then says why, if the scheduler does. `active` = the ReplicaSet
    counts it. `stuck` is the kubelet's reason for trying again later, "" while it does not; `message` says the same, or
    what else is known, in a sentence. `deaths` counts the ends of its containers; `back_off` is how long the kubelet
    waits (seconds). `ready` is the kubelet's opinion; `probe` is what we may ask instead, None = that opinion counts.
    """

    name: str
    uid: str
    created: str
    node: str = ""
    waits: str = ""
    ip: str = ""
    port: int = DEFAULT_PORT
    active: bool = True
    running: bool = False
    ending: bool = False
    ready: bool = False
    stuck: str = ""
    message: str = ""
    deaths: int = 0
    death: Death | None = None
    back_off: float = 0.0
    probe: Probe | None = None
    cost: int = 0


class Wish(NamedTuple):
    """How the pods of a revision are to be reached: container `port` (0 = found in what containers declare) and
    readiness `path` ("" = that of the readiness probe, if it is one by HTTP)."""

    port: int = 0
    path: str = ""


def read(item: Object, wish: Wish) -> Pod:
    """Return what `item` says."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    ready = conditions.get("Ready", {})
    containers = list(_containers(status))
    stuck, complaint = _stuck(containers)
    port = wish.port or _port(spec, annotations_of(item).get(MAIN, ""))
    death = _death(containers)
    return Pod(
        name=name_of(item),
        uid=uid_of(item),
        created=str(item["metadata"].get("creationTimestamp", "")),
        node=str(spec.get("nodeName") or ""),
        waits=_waits(conditions.get("PodScheduled", {})),
        ip=str(status.get("podIP") or ""),
        port=port,
        active=status.get("phase") not in {"Failed", "Succeeded"},
        running=status.get("phase") == "Running",
        ending=bool(item["metadata"].get("deletionTimestamp")),
        ready=ready.get("status") == "True",
        stuck=stuck,
        message=complaint or _progress(containers) or _failure(status),
        deaths=sum(_deaths(*one) for one in containers),
        death=death,
        back_off=_back_off(containers),
        probe=_probe(spec, port, wish.path),
        cost=_cost(annotations_of(item).get(COST, "")),
    )


def _containers(status: Object) -> Iterator[tuple[Object, bool]]:
    """Yield container statuses, and whether they are of init containers, which are meant to end."""
    for one in status.get("initContainerStatuses") or []:
        yield one, True
    for one in status.get("containerStatuses") or []:
        yield one, False


def _state(container: Object, kind: str) -> Object:
    return (container.get("state") or {}).get(kind) or {}


def _ended(container: Object, init: bool) -> Object:
    """Return the state of a container that has come to an unwanted end, {} when it has not."""
    ended = _state(container, "terminated")
    return ended if ended and not (init and ended.get("exitCode") == 0) else {}


def _deaths(container: Object, init: bool) -> int:
    between = _state(container, "waiting").get("reason") == CRASH_LOOP or bool(_ended(container, init))
    return int(container.get("restartCount") or 0) + between


def _death(containers: list[tuple[Object, bool]]) -> Death | None:
    for container, init in containers:
        last = (container.get("lastState") or {}).get("terminated") or {}
        ended = _ended(container, init) or (last if not container.get("ready") else {})
        if ended:
            told = (str(ended.get("reason") or ""), str(ended.get("message") or ""))
            return Death(str(container.get("name")), int(ended.get("exitCode") or 0), *told)
    return None


def _stuck(containers: list[tuple[Object, bool]]) -> tuple[str, str]:
    for container, init in containers:
        waiting = _state(container, "waiting")
        reason, name = str(waiting.get("reason") or ""), container.get("name")
        if reason == CRASH_LOOP:
            return reason, f"container {name} crashes again and again; {waiting.get('message') or 'it is restarted'}"
        if reason in STUCK:
            return (
                reason,
                f"container {name}: {STUCK[reason]} ({reason}): {waiting.get('message') or 'no more is said'}",
            )
        if _ended(container, init):
            return "Terminated", f"container {name} has ended"
    return "", ""


def _progress(containers: list[tuple[Object, bool]]) -> str:
    for container, init in containers:
        if waiting := _state(container, "waiting"):
            reason = str(waiting.get("reason") or "")
            if reason != "PodInitializing":
                return f"container {container.get('name')} is being created, its image maybe pulled ({reason})"
        if init and "running" in (container.get("state") or {}):
            return f"init container {container.get('name')} runs"
    return ""


def _failure(status: Object) -> str:
    if status.get("phase") != "Failed":
        return ""
    return f"the pod has failed: {status.get('reason') or 'no reason is given'} {status.get('message') or ''}".strip()


def _waits(scheduled: Object) -> str:
    if scheduled.get("status") != "False":
        return ""
    reason, message = scheduled.get("reason") or "", scheduled.get("message") or ""
    if reason == "SchedulingGated":
        return f"held back by a scheduling gate: {message}".removesuffix(": ")
    return f"no node for it yet: {message or reason}"


def _back_off(containers: list[tuple[Object, bool]]) -> float:
    texts = [str(_state(container, "waiting").get("message") or "") for container, _ in containers]
    found = [match for text in texts if (match := _BACK_OFF.search(text))]
    return max(
        (sum(float(n) * _SECONDS[unit] for n, unit in _PART.findall(match.group(1))) for match in found), default=0.0
    )


def _port(spec: Object, main: str) -> int:
    """Return the port that takes requests: of the `main` container, or else of the first that declares any, which may
    be there to check requests before the model; in it, the one that is named so before the first."""
    declaring = [one for one in spec.get("containers") or [] if one.get("ports") and one.get("name") not in PROXIES]
    if not declaring:
        return DEFAULT_PORT
    taking = min(declaring, key=lambda one: one.get("name") != main)
    return int(min(taking["ports"], key=lambda port: port.get("name") not in FOR_REQUESTS)["containerPort"])


def _probe(spec: Object, port: int, path: str) -> Probe | None:
    """Return what may be asked ahead of the kubelet; None where only the kubelet can tell.

    Startup probes and readiness gates may know more than the readiness path, and exec probes always do. Of several
    probes each knows a part: the one of a sidecar says nothing about the model.
    """
    containers: list[Object] = spec.get("containers") or []
    asked = [one for one in (*containers, *(spec.get("initContainers") or [])) if one.get("readinessProbe")]
    if spec.get("readinessGates") or any(container.get("startupProbe") for container in containers):
        return None
    if any({"exec", "grpc"} & one["readinessProbe"].keys() for one in asked):
        return None
    if path:
        return Probe(port, path)
    return _own_probe(asked[0]) if len(asked) == 1 else None


def _own_probe(container: Object) -> Probe | None:
    """Return what a container's readiness probe asks for, if it is one that we can ask as the kubelet does."""
    asked = container["readinessProbe"].get("httpGet")
    if not asked or asked.get("httpHeaders") or asked.get("host") or asked.get("scheme") == "HTTPS":
        return None
    number = _number(asked.get("port"), container)
    return Probe(number, str(asked.get("path") or "/")) if number else None


def _number(port: Any, container: Object) -> int:
    if isinstance(port, int):
        return port
    named = {one.get("name"): one["containerPort"] for one in container.get("ports") or []}
    return int(named.get(port) or 0)


def _cost(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d{1,10}", text) else 0
