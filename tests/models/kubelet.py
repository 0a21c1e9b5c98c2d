"""What happens in a stand-in cluster: ReplicaSets make and end pods, a scheduler finds nodes, a kubelet runs them.

All by the loop's timers, so it works in virtual time too. How a start goes is scripted; where pods really listen is up
to whoever subclasses `Kubelet`. The order in which a ReplicaSet ends pods is Kubernetes' (ActivePodsWithRanks).
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.models.cluster import COST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.models.cluster import Cluster, Event

Object = dict[str, Any]
BACK_OFF = 0.25


@dataclass(frozen=True)
class Life:
    """How a start goes. Times in seconds.

    The pod has no node for `unschedulable`, with the scheduler's `message`. Its image is pulled for `pulling`, or
    cannot be: `image` is the reason that the kubelet then gives. `delay` after its container runs it answers, and `lag`
    later the kubelet says so - or it ends with code 1 and the words `failure`. Told to end, it is gone after `ending`.
    """

    unschedulable: float = 0.0
    message: str = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    pulling: float = 0.0
    image: str = ""
    delay: float = 0.01
    lag: float = 0.0
    failure: str = ""
    code: int = 1
    ending: float = 0.01


@dataclass(eq=False)
class Actor:
    """A pod that lives. `answers` = its model would answer a probe now."""

    name: str
    lives: Iterator[Life]
    life: Life
    answers: bool = False
    deaths: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class Kubelet:
    """Runs the Deployments of a cluster. `nodes` are how many pods there is room for on each."""

    def __init__(self, cluster: Cluster, *, react: float = 0.001, nodes: Mapping[str, int] | None = None) -> None:
        self.actors: dict[str, Actor] = {}
        self.nodes = dict(nodes or {"node-1": 1000})
        self._cluster = cluster
        self._react = react
        self._scripts: dict[str, Iterator[Life]] = {}
        self._numbers = itertools.count(1)
        self._timers: set[asyncio.TimerHandle] = set()
        cluster.on_change.append(self._saw)

    def script(self, deployment: str, lives: Iterable[Life]) -> None:
        """Let the next starts of a Deployment's pods go like `lives`, later ones like the last of them."""
        self._scripts[deployment] = _endless(lives)

    def crash(self, pod: str, message: str = "crashed") -> None:
        """Let a pod's container end."""
        self._end_container(self.actors[pod], message)

    def close(self) -> None:
        """Stop time."""
        for timer in self._timers:
            timer.cancel()
        for actor in self.actors.values():
            _stop(actor)

    # -- where it listens: for subclasses

    def address(self, name: str, number: int) -> str:
        """Return the IP of a new pod."""
        return f"127.1.{number // 250}.{number % 250 + 1}"

    def listen(self, actor: Actor) -> None:
        """Begin to answer."""

    def deafen(self, actor: Actor) -> None:
        """Stop answering."""

    # -- Deployments and ReplicaSets

    def _saw(self, event: Event) -> None:
        name = event.item["metadata"]["name"]
        if event.plural == "deployments" and event.kind != "DELETED":
            if event.old is None or event.old["spec"] != event.item["spec"]:
                self._later(self._react, lambda: self._sync(name))
        elif event.plural == "pods":
            owner = event.item["metadata"]["labels"].get("app", "")
            if event.kind == "DELETED":
                self._bury(name)
                self._later(self._react, lambda: self._sync(owner))
            elif event.item["metadata"].get("deletionTimestamp") and not (
                event.old and event.old["metadata"].get("deletionTimestamp")
            ):
                actor = self.actors[name]
                _stop(actor)
                self._later(actor.life.ending, lambda: self._remove(name))
                self._later(self._react, lambda: self._sync(owner))

    def pods(self, deployment: str) -> list[Object]:
        """Return a Deployment's pods that count."""
        pods = self._cluster.objects.get("pods", {}).values()
        return [
            pod
            for pod in pods
            if pod["metadata"]["labels"].get("app") == deployment
            and not pod["metadata"].get("deletionTimestamp")
            and pod["status"]["phase"] not in {"Failed", "Succeeded"}
        ]

    def _sync(self, deployment: str) -> None:
        if deployment not in self._cluster.objects.get("deployments", {}):
            return
        item = self._cluster.get("deployments", deployment)
        wanted, pods = item["spec"].get("replicas", 1), self.pods(deployment)
        for pod in sorted(pods, key=_rank)[: max(0, len(pods) - wanted)]:
            self._cluster.end_pod(pod["metadata"]["name"])
        for _ in range(wanted - len(pods)):
            self._create(item)
        status = {"replicas": wanted, "updatedReplicas": wanted, "observedGeneration": item["metadata"]["generation"]}
        if item.get("status") != status:
            self._cluster.change("deployments", deployment, lambda item: item.update(status=status))

    def _create(self, deployment: Object) -> None:
        owner = deployment["metadata"]["name"]
        number = next(self._numbers)
        name = f"{owner}-{number}"
        lives = self._scripts.setdefault(owner, _endless([]))
        self.actors[name] = Actor(name, lives, next(lives))
        template = copy.deepcopy(deployment["spec"]["template"])
        created = (datetime.now(UTC) + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._cluster.put(
            "pods",
            {
                "metadata": {"name": name, "labels": template["metadata"]["labels"], "creationTimestamp": created},
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            },
        )
        self._schedule(name)

    # -- the scheduler

    def _schedule(self, name: str) -> None:
        actor = self.actors.get(name)
        if actor is None or name not in self._cluster.objects["pods"]:
            return
        node = self._free_node()
        if actor.life.unschedulable or not node:
            wait = actor.life.unschedulable or 0.05
            actor.life = Life(**{**actor.life.__dict__, "unschedulable": 0.0})
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            self._status(name, {"phase": "Pending", "conditions": [{**condition, "message": actor.life.message}]})
            self._act(actor, wait, lambda: self._schedule(name))
            return
        self._cluster.change("pods", name, lambda pod: pod["spec"].update(nodeName=node))
        ip = self.address(name, next(self._numbers))
        self._waiting(actor, "ContainerCreating", "", podIP="" if actor.life.pulling or actor.life.image else ip)
        if actor.life.image:
            self._waiting(actor, actor.life.image, f'image "{name}" not found')
            return
        self._act(actor, actor.life.pulling, lambda: self._run(actor, ip))

    def _free_node(self) -> str:
        taken = Counter(pod["spec"].get("nodeName") for pod in self._cluster.objects["pods"].values())
        return next((node for node, room in self.nodes.items() if taken[node] < room), "")

    # -- the kubelet

    def _run(self, actor: Actor, ip: str) -> None:
        self._container(actor, {"running": {"startedAt": _now()}}, phase="Running", podIP=ip)
        life = actor.life
        if life.failure:
            self._act(actor, life.delay, lambda: self._end_container(actor, life.failure, life.code))
        else:
            self._act(actor, life.delay, lambda: self._answer(actor))

    def _answer(self, actor: Actor) -> None:
        actor.answers = True
        self.listen(actor)
        self._act(actor, actor.life.lag, lambda: self._ready(actor))

    def _ready(self, actor: Actor) -> None:
        self._container(actor, {"running": {"startedAt": _now()}}, ready=True)

    def _end_container(self, actor: Actor, message: str, code: int = 1) -> None:
        self._stop_answering(actor)
        ended = {"exitCode": code, "reason": "Error", "message": message, "finishedAt": _now()}
        self._container(actor, {"terminated": ended})
        actor.deaths += 1
        wait = BACK_OFF * 2 ** (actor.deaths - 1)
        text = f"back-off {int(wait * 1000)}ms restarting failed container=model pod={actor.name}"
        self._waiting(actor, "CrashLoopBackOff", text, last={"terminated": ended})
        self._act(actor, wait, lambda: self._restart(actor, ended))

    def _restart(self, actor: Actor, ended: Object) -> None:
        actor.life = next(actor.lives)
        ip = self._cluster.get("pods", actor.name)["status"]["podIP"]
        self._cluster.change(
            "pods",
            actor.name,
            lambda pod: pod["status"]["containerStatuses"][0].update(
                restartCount=actor.deaths, lastState={"terminated": ended}
            ),
        )
        self._run(actor, ip)

    def _waiting(self, actor: Actor, reason: str, message: str, last: Object | None = None, **status: Any) -> None:
        state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self._container(actor, state, last=last, **status)

    def _container(
        self, actor: Actor, state: Object, *, ready: bool = False, last: Object | None = None, **status: Any
    ) -> None:
        def change(pod: Object) -> None:
            known = (pod["status"].get("containerStatuses") or [{"name": "model", "restartCount": 0}])[0]
            conditions = [{"type": "PodScheduled", "status": "True"}]
            conditions.append({"type": "Ready", "status": str(ready), "lastTransitionTime": _now()})
            container = {**known, "state": state, "ready": ready}
            if last is not None:
                container["lastState"] = last
            pod["status"] = {**pod["status"], "conditions": conditions, "containerStatuses": [container], **status}

        if actor.name in self._cluster.objects["pods"]:
            self._cluster.change("pods", actor.name, change)

    def _status(self, name: str, status: Object) -> None:
        self._cluster.change("pods", name, lambda pod: pod.update(status={**pod["status"], **status}))

    def _remove(self, name: str) -> None:
        if name in self._cluster.objects["pods"]:
            self._cluster.remove("pods", name)

    def _bury(self, name: str) -> None:
        if (actor := self.actors.pop(name, None)) is not None:
            _stop(actor)
            self._stop_answering(actor)

    def _stop_answering(self, actor: Actor) -> None:
        if actor.answers:
            actor.answers = False
            self.deafen(actor)

    def _act(self, actor: Actor, delay: float, action: Any) -> None:
        actor.timers.append(asyncio.get_running_loop().call_later(delay, action))

    def _later(self, delay: float, action: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(timer)


def deployment(name: str, replicas: int = 0, **spec: Any) -> Object:
    """Return a Deployment of one container, of which `spec` replaces or adds fields of the pod's spec."""
    container: Object = {"name": "model", "image": "model:1", "ports": [{"containerPort": 8080}]}
    container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 8080}}
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def _endless(lives: Iterable[Life]) -> Iterator[Life]:
    last = Life()
    for last in lives:
        yield last
    while True:
        yield last


def _rank(pod: Object) -> tuple[Any, ...]:
    """Return the order in which a ReplicaSet ends pods: the first first."""
    ready: Object = next((c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), {})
    cost = int((pod["metadata"].get("annotations") or {}).get(COST, 0))
    age = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}
    return (
        bool(pod["spec"].get("nodeName")),
        phases[pod["status"]["phase"]],
        ready.get("status") == "True",
        cost,
        -age,
    )


def _stop(actor: Actor) -> None:
    for timer in actor.timers:
        timer.cancel()
    actor.timers.clear()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
