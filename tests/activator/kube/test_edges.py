"""The other edges, from the pods of their Deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from activator.kube.edges import EdgePods
from activator.kube.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection

EDGE = {"app.kubernetes.io/name": "gpu-activator"}


def pod(name: str, ip: str | None, labels: dict[str, str] = EDGE, version: int = 1, **status: Any) -> dict[str, Any]:
    own = {**labels, "pod-template-hash": name}
    where = {} if ip is None else {"podIP": ip}
    meta = {"name": name, "uid": name, "resourceVersion": str(version), "labels": own}
    return {"metadata": meta, "status": {"phase": "Running", **where, **status}}


def conditions(**status: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": value} for kind, value in status.items()]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    monkeypatch.setenv("POD_NAME", "edge-1")
    return []


def follow(told: list[list[str]], *pods: dict[str, Any]) -> Store:
    store = Store()

    def tell(names: Collection[str]) -> None:
        told.append(sorted(names))

    EdgePods(store, 7000, tell)
    store.replace(pods)
    return store


def test_pods_of_all_replica_sets_are_told_with_the_port(told: list[list[str]]) -> None:
    follow(told, pod("edge-1", "10.0.0.1"), pod("edge-2", "fd00::2"), pod("model", "10.0.0.3", {"app": "model"}))
    assert told[-1] == ["10.0.0.1:7000", "[fd00::2]:7000"]


def test_a_change_is_told_and_nothing_twice(told: list[list[str]]) -> None:
    store = follow(told, pod("edge-1", "10.0.0.1"), pod("edge-2", None))
    assert told == [["10.0.0.1:7000"]]
    store.put(pod("model", "10.0.0.9", {"app": "model"}))
    store.put(pod("edge-2", "10.0.0.2", version=2))
    store.put(pod("edge-2", "10.0.0.2", version=3, startTime="now"))
    store.remove(pod("edge-2", "10.0.0.2"))
    assert told == [["10.0.0.1:7000"], ["10.0.0.1:7000", "10.0.0.2:7000"], ["10.0.0.1:7000"]]


def test_nothing_is_told_before_our_own_pod_is_known(told: list[list[str]]) -> None:
    store = follow(told, pod("edge-2", "10.0.0.2"))
    assert told == []
    store.put(pod("edge-1", "10.0.0.1"))
    assert told == [["10.0.0.1:7000", "10.0.0.2:7000"]]


@pytest.mark.parametrize(
    "status",
    [{"phase": "Failed"}, {"phase": "Succeeded"}, {"conditions": conditions(Ready="False", ContainersReady="True")}],
    ids=["failed", "ended", "its node is gone"],
)
def test_pods_that_have_ended_are_not_told(told: list[list[str]], status: dict[str, Any]) -> None:
    follow(told, pod("edge-1", "10.0.0.1"), pod("edge-2", "10.0.0.2", **status))
    assert told[-1] == ["10.0.0.1:7000"]


def test_a_pod_that_waits_for_a_readiness_gate_is_one_of_them(told: list[list[str]]) -> None:
    waiting = conditions(Ready="False", ContainersReady="True")
    waiting[0]["reason"] = "ReadinessGatesNotReady"
    follow(told, pod("edge-1", "10.0.0.1"), pod("edge-2", "10.0.0.2", conditions=waiting))
    assert told[-1] == ["10.0.0.1:7000", "10.0.0.2:7000"]


def test_a_pod_that_drains_is_still_one_of_them(told: list[list[str]]) -> None:
    draining = conditions(Ready="False", ContainersReady="False")
    follow(told, pod("edge-1", "10.0.0.1"), pod("edge-2", "10.0.0.2", conditions=draining))
    assert told[-1] == ["10.0.0.1:7000", "10.0.0.2:7000"]
