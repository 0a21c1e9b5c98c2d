from __future__ import annotations

from typing import Any

import pytest

from activator.scalers.kubernetes.nodes import could_run, gpus_of, machine

GPU = "nvidia.com/gpu"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
MINE = {"key": "tenant", "value": "me", "effect": "NoSchedule"}


def node(*taints: dict[str, str], name: str = "n1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"class": "a100", "memory": "80"}},
        "spec": {"taints": list(taints), **spec},
        "status": {"allocatable": {"cpu": "8", "memory": "64Gi", GPU: "4", "nvidia.com/mig-1g.10gb": "7"}},
    }


def pod(**spec: Any) -> dict[str, Any]:
    return {"containers": [{"resources": {"limits": {GPU: "1"}}}], **spec}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def wants(operator: str, *values: str, key: str = "class") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_a_machine_has_the_gpus_that_are_allocatable() -> None:
    assert machine(node()).gpus == {GPU: 4, "nvidia.com/mig-1g.10gb": 7}
    assert machine({"metadata": {"name": "plain"}}).gpus == {}


def test_a_pod_needs_what_its_containers_need_together_or_an_init_container_alone() -> None:
    containers = [{"resources": {"limits": {GPU: 1, "cpu": 4}}}, {"resources": {"requests": {GPU: "2"}}}, {}]
    assert gpus_of({"containers": containers}) == {GPU: 3}
    assert gpus_of({"containers": containers, "initContainers": [{"resources": {"limits": {GPU: "4"}}}]}) == {GPU: 4}
    assert gpus_of({"containers": [{"resources": {"limits": {GPU: "0"}}}]}) == {}
    assert gpus_of({}) == {}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, True),
        ({"nodeSelector": {"class": "a100"}}, True),
        ({"nodeSelector": {"class": "h100"}}, False),
        ({"affinity": affinity(wants("In", "a100"))}, True),
        ({"affinity": affinity(wants("In", "h100"))}, False),
        ({"affinity": affinity(wants("In", "h100"), wants("Exists"))}, True),
        ({"affinity": affinity({})}, False),
        ({"affinity": affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]})}, True),
        (
            {"affinity": affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]})},
            False,
        ),
        ({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}}, True),
    ],
)
def test_selectors_and_required_affinity_decide(spec: dict[str, Any], expected: bool) -> None:
    assert could_run(pod(**spec), node()) is expected


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (None, False),
        ({"key": "tenant", "value": "me", "effect": "NoSchedule"}, True),
        ({"key": "tenant", "value": "you", "effect": "NoSchedule"}, False),
        ({"key": "tenant", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "tenant", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_must_be_tolerated(toleration: dict[str, str] | None, expected: bool) -> None:
    spec = pod(tolerations=[toleration] if toleration else [])
    assert could_run(spec, node(MINE)) is expected


def test_a_gpus_own_taint_is_for_those_without_gpus() -> None:
    assert could_run(pod(), node(TAINT))
    assert not could_run({"containers": [{}]}, node(TAINT))


def test_a_soft_taint_rules_nothing_out() -> None:
    assert could_run(pod(), node({**MINE, "effect": "PreferNoSchedule"}))


def test_a_cordoned_node_takes_nothing() -> None:
    assert not could_run(pod(), node(unschedulable=True))
