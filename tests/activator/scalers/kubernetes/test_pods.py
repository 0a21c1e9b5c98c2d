from __future__ import annotations

from typing import Any

import pytest

from activator.scalers.kubernetes.pods import COST, Death, Pod, Probe, Wish, read

HTTP = {"httpGet": {"path": "/ready", "port": "http"}}


def pod(
    *containers: dict[str, Any],
    init: list[dict[str, Any]] | None = None,
    spec: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": "m-x", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", **(meta or {})},
        "spec": {"nodeName": "n", "containers": [container()], **(spec or {})},
        "status": {"containerStatuses": list(containers), "initContainerStatuses": init or [], **status},
    }


def container(probe: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 9000}]
    return {"name": "model", "ports": ports, "readinessProbe": HTTP if probe is None else probe, **more}


def state(name: str = "model", restarts: int = 0, last: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": restarts, "state": state, "lastState": {"terminated": last} if last else {}}


def ended(code: int = 1, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"exitCode": code, "reason": reason, "message": message}


def seen(item: dict[str, Any], wish: Wish = Wish()) -> Pod:  # noqa: B008
    return read(item, wish)


CRASHED = state(
    waiting={"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container"}, restarts=3
)


def test_a_pod_that_says_nothing_yet_is_merely_there() -> None:
    found = seen({"metadata": {"name": "m-x"}})
    assert (found.name, found.node, found.ip, found.ready, found.stuck, found.active) == (
        "m-x",
        "",
        "",
        False,
        "",
        True,
    )


def test_conditions_and_addresses_are_read() -> None:
    found = seen(pod(podIP="10.0.0.7", phase="Running", conditions=[{"type": "Ready", "status": "True"}]))
    assert (found.ip, found.ready, found.running, found.node) == ("10.0.0.7", True, True, "n")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"status": "True"}, ""),
        ({}, ""),
        ({"status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}, "no node for it yet: 0/1 nodes"),
        ({"status": "False", "reason": "SchedulingGated"}, "held back by a scheduling gate"),
    ],
)
def test_the_schedulers_reason_is_told(condition: dict[str, str], said: str) -> None:
    assert seen(pod(conditions=[{"type": "PodScheduled", **condition}])).waits == said


def test_a_deleted_pod_is_ending_and_a_failed_one_is_not_counted() -> None:
    assert seen(pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})).ending
    evicted = seen(pod(phase="Failed", reason="Evicted", message="low on memory"))
    assert (evicted.active, evicted.message) == (False, "the pod has failed: Evicted low on memory")


@pytest.mark.parametrize(
    ("status", "deaths"),
    [
        (state(running={}), 0),
        (state(terminated=ended()), 1),
        (state(terminated=ended(), restarts=2), 3),
        (state(running={}, restarts=2), 2),
        (CRASHED, 4),
        (state(waiting={"reason": "ContainerCreating"}), 0),
    ],
)
def test_deaths_are_counted_through_restarts(status: dict[str, Any], deaths: int) -> None:
    assert seen(pod(status)).deaths == deaths


def test_an_init_container_that_has_done_its_work_has_not_died() -> None:
    assert seen(pod(init=[state("fetch", terminated=ended(0))])).deaths == 0
    assert seen(pod(init=[state("fetch", terminated=ended(1))])).deaths == 1


def test_how_long_the_kubelet_waits_is_read_from_its_words() -> None:
    assert seen(pod(CRASHED)).back_off == 80
    assert (
        seen(pod(state(waiting={"reason": "CrashLoopBackOff", "message": "back-off 250ms restarting"}))).back_off
        == 0.25
    )
    assert seen(pod(state(waiting={"reason": "CrashLoopBackOff"}))).back_off == 0


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("ErrImagePull", "its image cannot be pulled (ErrImagePull): no such tag"),
        ("InvalidImageName", "its image's name is not valid"),
        ("CreateContainerConfigError", "it cannot be configured"),
    ],
)
def test_what_a_container_is_stuck_at_is_told(reason: str, said: str) -> None:
    found = seen(pod(state(waiting={"reason": reason, "message": "no such tag"})))
    assert found.stuck == reason
    assert found.message.startswith("container model: ")
    assert said in found.message


def test_a_container_that_is_being_created_is_not_stuck() -> None:
    found = seen(pod(state(waiting={"reason": "ContainerCreating"})))
    assert (found.stuck, "being created" in found.message) == ("", True)


def test_an_init_container_that_runs_is_told() -> None:
    waiting = state(waiting={"reason": "PodInitializing"})
    assert seen(pod(waiting, init=[state("fetch", running={})])).message == "init container fetch runs"


def test_a_container_that_has_ended_is_stuck_until_it_runs_again() -> None:
    assert seen(pod(state(terminated=ended()))).stuck == "Terminated"
    assert seen(pod(state(running={}, restarts=1, last=ended()))).stuck == ""


class TestLastWords:
    def test_a_termination_message_is_told(self) -> None:
        death = seen(pod(state(terminated=ended(3, "loading\nout of memory\n")))).death
        assert death is not None
        assert death.told
        assert death.sentence("m-x", None) == (
            "container model of m-x exited with code 3; its last words: out of memory"
        )

    def test_the_log_speaks_for_a_container_that_left_no_message(self) -> None:
        death = Death("model", 1, "Error", "")
        assert not death.told
        assert death.sentence("m-x", "a\nb\n").endswith("its last words: b")
        assert death.sentence("m-x", "").endswith("it printed nothing")
        assert death.sentence("m-x", None) == "container model of m-x exited with code 1"

    def test_what_the_last_run_ended_by_is_remembered_in_the_loop(self) -> None:
        death = seen(pod({**CRASHED, "lastState": {"terminated": ended(137, "", "OOMKilled")}})).death
        assert death is not None
        said = death.sentence("m-x", None)
        assert "OOMKilled: more than its memory limit" in said
        assert "was killed by SIGKILL" in said


class TestProbes:
    def test_the_readiness_probe_says_what_to_ask(self) -> None:
        assert seen(pod()).probe == Probe(9000, "/ready")

    def test_a_path_that_was_wished_for_is_asked_at_the_port_that_is_used(self) -> None:
        assert seen(pod(), Wish(0, "/health")).probe == Probe(9000, "/health")
        assert seen(pod(), Wish(7000, "/health")).probe == Probe(7000, "/health")

    @pytest.mark.parametrize(
        "spec",
        [
            {"containers": [container(startupProbe=HTTP)]},
            {"containers": [container({"exec": {"command": ["true"]}})]},
            {"containers": [container({"grpc": {"port": 1}})]},
            {"containers": [container(), {"name": "sidecar", "readinessProbe": {"exec": {}}}]},
            {"containers": [container()], "initContainers": [{"name": "sidecar", "readinessProbe": {"exec": {}}}]},
            {"readinessGates": [{"conditionType": "x"}]},
        ],
    )
    def test_where_the_kubelet_may_know_more_nobody_asks_ahead(self, spec: dict[str, Any]) -> None:
        assert seen(pod(spec=spec), Wish(0, "/health")).probe is None

    @pytest.mark.parametrize("where", ["containers", "initContainers"])
    @pytest.mark.parametrize("other", [HTTP, {"tcpSocket": {"port": 1}}])
    def test_where_more_than_one_container_has_a_probe_one_of_them_does_not_say_that_the_pod_is_ready(
        self, where: str, other: dict[str, Any]
    ) -> None:
        spec: dict[str, Any] = {"containers": [container()], "initContainers": []}
        spec[where] = [{"name": "sidecar", "readinessProbe": other}, *spec[where]]
        assert seen(pod(spec=spec)).probe is None
        assert seen(pod(spec=spec), Wish(0, "/health")).probe == Probe(9000, "/health")

    @pytest.mark.parametrize(
        "probe",
        [
            {"tcpSocket": {"port": 9000}},
            {"httpGet": {"path": "/", "port": "unknown"}},
            {"httpGet": {"path": "/", "port": 1, "scheme": "HTTPS"}},
            {"httpGet": {"path": "/", "port": 1, "httpHeaders": [{"name": "Host", "value": "x"}]}},
            {"httpGet": {"path": "/", "port": 1, "host": "elsewhere"}},
        ],
    )
    def test_a_probe_that_we_cannot_ask_ourselves_is_left_to_the_kubelet(self, probe: dict[str, Any]) -> None:
        item = pod(spec={"containers": [container(probe)]})
        assert seen(item).probe is None
        assert seen(item, Wish(0, "/health")).probe == Probe(9000, "/health")


def having(name: str, *ports: tuple[str, int]) -> dict[str, Any]:
    return {"name": name, "ports": [{"name": called, "containerPort": number} for called, number in ports]}


@pytest.mark.parametrize(
    "containers",
    [
        [having("istio-proxy", ("http-envoy-prom", 15090)), having("model", ("", 9000))],
        [having("exporter", ("http", 9400)), having("main", ("", 9000))],
        [having("model", ("metrics", 9400), ("user-port", 9000))],
    ],
)
def test_a_port_is_not_that_of_a_mesh_or_of_one_before_the_default_container(containers: list[dict[str, Any]]) -> None:
    meta = {"annotations": {"kubectl.kubernetes.io/default-container": "main"}}
    assert seen(pod(meta=meta, spec={"containers": containers})).port == 9000


@pytest.mark.parametrize(
    "containers",
    [
        [having("model", ("", 9000)), having("exporter", ("http", 9400))],
        [having("model", ("api", 9000), ("metrics", 9001)), having("front", ("http1", 9400))],
        [having("model", ("", 9000), ("h2c", 9001))],
        [having("model"), having("front", ("api", 9000))],
        [having("authentication", ("", 9000)), having("model", ("http", 9001))],
        [having("kserve-container", ("http1", 9000)), having("agent", ("agent-port", 9081))],
    ],
)
def test_a_port_of_the_first_container_that_has_any_is_not_given_up_for_a_name_in_another_or_one_of_grpc(
    containers: list[dict[str, Any]],
) -> None:
    assert seen(pod(spec={"containers": containers})).port == 9000


def test_a_mesh_before_a_model_that_declares_no_port_leaves_it_the_usual_one() -> None:
    containers = [having("istio-proxy", ("http-envoy-prom", 15090)), having("model")]
    assert seen(pod(spec={"containers": containers})).port == 8080


def test_a_port_is_the_one_wished_for_or_the_first_one_declared() -> None:
    assert seen(pod()).port == 9000
    assert seen(pod(), Wish(7000)).port == 7000
    assert seen(pod(spec={"containers": [{"name": "model"}]})).port == 8080


@pytest.mark.parametrize(("text", "cost"), [("-5", -5), ("12", 12), ("much", 0), ("", 0), ("9" * 30, 0)])
def test_a_deletion_cost_is_a_number_or_nothing(text: str, cost: int) -> None:
    assert seen(pod(meta={"annotations": {COST: text}})).cost == cost
