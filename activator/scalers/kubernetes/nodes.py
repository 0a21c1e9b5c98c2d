"""What nodes and pod templates say about GPUs: what is allocatable, what is needed, and where a pod could run.

Only what a scheduler would rule out for good is ruled out: nodeSelector, required node affinity, taints, cordons
(Kubernetes: NodeAffinity, TaintToleration, NodeUnschedulable).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from activator.gpus import Machine, is_gpu
from activator.kube.resources import labels_of, name_of
from activator.scalers.kubernetes.labels import meets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activator.kube.resources import Object

HARD = {"NoSchedule", "NoExecute"}


def machine(node: Object) -> Machine:
    """Return a node's allocatable GPUs."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return Machine(name_of(node), {name: _count(text) for name, text in allocatable.items() if is_gpu(name)})


def gpus_of(spec: Object) -> dict[str, int]:
    """Return the GPUs that a pod needs: its containers' together, or more if one of its init containers does."""
    total: dict[str, int] = {}
    for container in spec.get("containers") or []:
        for name, count in _wanted(container).items():
            total[name] = total.get(name, 0) + count
    for container in spec.get("initContainers") or []:
        for name, count in _wanted(container).items():
            total[name] = max(total.get(name, 0), count)
    return {name: count for name, count in total.items() if count > 0}


def wish_of(spec: Object) -> str:
    """Return all that `could_run` asks of a pod's spec, as a text to compare."""
    wish = [spec.get("nodeSelector"), spec.get("affinity"), spec.get("tolerations"), gpus_of(spec)]
    return json.dumps(wish, sort_keys=True)


def could_run(spec: Object, node: Object) -> bool:
    """Tell whether a pod of this spec could be scheduled to a node if there were room."""
    labels, about = labels_of(node), node.get("spec") or {}
    if about.get("unschedulable"):
        return False
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    if affinity and not any(_chosen(term, node) for term in affinity.get("nodeSelectorTerms") or []):
        return False
    tolerations = spec.get("tolerations") or []
    return all(
        _tolerated(taint, tolerations, spec) for taint in about.get("taints") or [] if taint.get("effect") in HARD
    )


def _chosen(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    names = {"metadata.name": name_of(node)}
    return all(meets(each, labels_of(node)) for each in expressions) and all(meets(each, names) for each in fields)


def _tolerated(taint: Object, tolerations: Iterable[Object], spec: Object) -> bool:
    """Tell whether a pod may be on a node in spite of a taint. A GPU's own taint is tolerated by whoever asks for the
    GPU: that is what the admission plugin ExtendedResourceToleration does."""
    if taint.get("key") in gpus_of(spec):
        return True
    return any(_tolerates(each, taint) for each in tolerations)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint.get("key")}
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")


def _wanted(container: Object) -> dict[str, int]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return {name: _count(text) for name, text in asked.items() if is_gpu(name)}


def _count(text: object) -> int:
    """Return a quantity of something that only comes in whole pieces."""
    digits = str(text)
    return int(digits) if digits.isdigit() else 0
