"""From keys to what decides, routes and runs: Knative's target resolution, the layers, and every key's effect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from activator.catalog.file import build
from activator.catalog.plan import panic_window, targets
from activator.kpa.spec import Algorithm, Bounds, Metric, Spec
from activator.scalers.base import ReplicaSpec
from activator.settings.autoscaling import Autoscaling, AutoscalingOverrides
from activator.settings.running import EdgeLimits, Process, Requests
from router import table
from router.ports import UpstreamTls
from router.table import Limits, OnDisconnect, Share
from tests.activator.settings.files import BASE, FULL, loaded, small, written
from tests.certificates import CA

if TYPE_CHECKING:
    from activator.catalog.model import Catalog


def catalog(data: dict[str, Any]) -> Catalog:
    return build(loaded(written(data)))


def service(**keys: Any) -> dict[str, Any]:
    data = small()
    data["services"][0] |= keys
    return data


def test_a_minimal_file_gives_the_projects_defaults() -> None:
    plan = catalog(small()).plans["m-1"]
    assert plan.spec == Spec()
    assert plan.bounds == Bounds(initial_scale=0)
    assert plan.replica == ReplicaSpec(command=("model",), directory=BASE)
    assert catalog(small()).table.services[0].shares[0].revision.limits == Limits()


def test_a_revision_wakes_the_largest_share_of_the_services_it_calls() -> None:
    text = FULL.replace(
        "command: [python, -m, generator]", "command: [python, -m, generator]\n        wakes: [sentiment]"
    )
    plans = build(loaded(text)).plans
    assert plans["generator-v1"].wakes == ("sentiment-v1",)
    assert plans["sentiment-v1"].wakes == ()


def test_a_full_file_gives_routes_and_plans() -> None:
    found = build(loaded(FULL))
    sentiment, generator = found.table.services
    assert (sentiment.hosts, sentiment.paths) == (("sentiment.localhost",), ("/v1",))
    assert [(share.revision.name, share.percent, share.tag) for share in sentiment.shares] == [
        ("sentiment-v1", 90, "stable"),
        ("sentiment-v2", 10, None),
    ]
    assert [share.revision.limits.hold for share in sentiment.shares] == [600, 1200]
    assert generator.shares == (Share(generator.shares[0].revision, 100),)
    assert set(found.plans) == {"sentiment-v1", "sentiment-v2", "generator-v1"}
    plan = found.plans["sentiment-v1"]
    assert (plan.service, plan.bounds.max_scale, plan.bounds.idle_period) == ("sentiment", 4, 300)
    assert (plan.spec.target, plan.spec.total) == (1, 1)
    assert plan.replica.env == {"MODEL": "small"}
    assert found.plans["generator-v1"].bounds.idle_period == 1800


RESOLVED = [
    (0, {}, 100, 100),
    (1, {}, 1, 1),
    (10, {}, 10, 10),
    (10, {"container-concurrency-target-percentage": 70}, 7, 10),
    (10, {"container-concurrency-target-percentage": 0.7}, 7, 10),
    (10, {"container-concurrency-target-percentage": 1}, 10, 10),
    (0, {"container-concurrency-target-percentage": 70}, 70, 100),
    (0, {"container-concurrency-target-default": 20}, 20, 20),
    (10, {"container-concurrency-target-default": 20}, 10, 10),
    (0, {"target": 5}, 5, 5),
    (10, {"target": 5}, 5, 5),
    (10, {"target": 50}, 10, 10),
    (10, {"target-utilization-percentage": 50}, 5, 10),
    (10, {"target-utilization-percentage": 1}, 0.1, 10),
    (10, {"target-utilization-percentage": 50, "container-concurrency-target-percentage": 70}, 5, 10),
    (10, {"target": 0.01, "target-utilization-percentage": 1}, 0.01, 0.01),
    (0, {"metric": "rps"}, 140, 200),
    (10, {"metric": "rps"}, 140, 200),
    (10, {"metric": "rps", "container-concurrency-target-percentage": 90}, 140, 200),
    (10, {"metric": "rps", "target": 50}, 35, 50),
    (10, {"metric": "rps", "target": 50, "target-utilization-percentage": 100}, 50, 50),
    (0, {"metric": "rps", "requests-per-second-target-default": 10}, 7, 10),
]


@pytest.mark.parametrize(("concurrency", "keys", "target", "total"), RESOLVED)
def test_the_target_is_resolved_as_knative_does(
    concurrency: int, keys: dict[str, Any], target: float, total: float
) -> None:
    assert targets(Autoscaling.model_validate(keys), concurrency) == pytest.approx((target, total))


@pytest.mark.parametrize(
    ("window", "percentage", "seconds"),
    [
        ("120s", 25, 30),
        ("60s", 10, 6),
        ("180s", 16.667, 30),
        ("6s", 25, 2),
        ("10s", 25, 3),
        ("6s", 1, 1),
        ("1h", 100, 3600),
    ],
)
def test_the_panic_window_is_whole_seconds_and_at_least_one(window: str, percentage: float, seconds: float) -> None:
    keys = Autoscaling.model_validate({"stable-window": window, "panic-window-percentage": percentage})
    assert panic_window(keys) == seconds


@pytest.mark.parametrize(
    ("grace", "retention", "period"), [("30m", "0s", 1800), ("30s", "1h", 3600), ("1s", "0s", 1), ("2h", "1h", 7200)]
)
def test_a_revision_is_idle_after_the_longer_of_grace_and_retention(grace: str, retention: str, period: float) -> None:
    keys = {"scale-to-zero-grace-period": grace, "scale-to-zero-pod-retention-period": retention}
    assert catalog(service(autoscaling=keys)).plans["m-1"].bounds.idle_period == period


def test_only_revisions_with_a_share_are_reachable() -> None:
    names = ("m-1", "m-2", "m-3", "m-4")
    revisions = [{"name": name, "command": ["model"]} for name in names]
    traffic = [
        {"revision": "m-1", "percent": 100},
        {"revision": "m-2", "percent": 0},
        {"revision": "m-3", "tag": "old"},
    ]
    found = catalog(service(revisions=revisions, traffic=traffic))
    assert [found.plans[name].spec.reachable for name in names] == [True, False, False, False]
    assert [share.revision.name for share in found.table.services[0].shares] == ["m-1", "m-2", "m-3"]


def test_a_revision_with_one_share_of_zero_and_another_above_is_reachable() -> None:
    traffic = [{"revision": "m-1", "percent": 0, "tag": "a"}, {"revision": "m-1", "percent": 100}]
    assert catalog(service(traffic=traffic)).plans["m-1"].spec.reachable


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, OnDisconnect.CANCEL),
        ({"container-concurrency": 1}, OnDisconnect.FINISH),
        ({"container-concurrency": 1, "on-disconnect": "cancel"}, OnDisconnect.CANCEL),
        ({"on-disconnect": "finish"}, OnDisconnect.FINISH),
    ],
)
def test_a_replica_with_slots_finishes_what_a_client_left(keys: dict[str, Any], expected: OnDisconnect) -> None:
    assert catalog(service(requests=keys)).table.services[0].shares[0].revision.limits.on_disconnect is expected


CHANGES: dict[str, dict[str, tuple[Any, dict[str, Any]]]] = {
    "autoscaling": {
        "enable-scale-to-zero": (False, {}),
        "initial-scale": (2, {}),
        "min-scale": (1, {}),
        "max-scale": (7, {}),
        "activation-scale": (3, {}),
        "metric": ("rps", {}),
        "target": (5, {}),
        "target-utilization-percentage": (50, {}),
        "container-concurrency-target-percentage": (50, {}),
        "container-concurrency-target-default": (50, {}),
        "requests-per-second-target-default": (50, {"metric": "rps"}),
        "target-burst-capacity": (10, {}),
        "metric-aggregation-algorithm": ("weightedExponential", {}),
        "stable-window": ("60s", {}),
        "window": ("60s", {}),
        "panic-window-percentage": (50, {}),
        "panic-threshold-percentage": (300, {}),
        "max-scale-up-rate": (2, {}),
        "max-scale-down-rate": (3, {}),
        "scale-to-zero-grace-period": ("1m", {}),
        "scale-to-zero-pod-retention-period": ("45m", {}),
        "scale-down-delay": ("1m", {}),
        "tick": ("1s", {}),
        "progress-deadline": ("5m", {}),
        "start-attempts": (1, {}),
        "gpu-limit": (False, {}),
        "evictable": (True, {}),
        "min-residency": ("1m", {}),
    },
    "requests": {
        "container-concurrency": (2, {}),
        "hold-timeout": ("1s", {}),
        "first-byte-timeout": ("1s", {}),
        "idle-timeout": ("1s", {}),
        "total-timeout": ("1s", {}),
        "queue-depth": (1, {}),
        "queue-bytes": ("1KiB", {}),
        "max-request-bytes": ("1KiB", {}),
        "max-wakes-per-minute": (9, {}),
        "retry-unanswered": (False, {}),
        "on-disconnect": ("finish", {}),
    },
    "process": {
        "port": (8000, {}),
        "readiness-path": ("/health", {}),
        "startup-probe-period": ("1s", {}),
        "readiness-probe-period": ("1s", {}),
        "probe-timeout": ("2s", {}),
        "failure-threshold": (1, {}),
        "termination-grace-period": ("1s", {}),
        "scale-down-timeout": ("1m", {}),
        "log-bytes": ("1MiB", {}),
        "upstream-tls": ("insecure", {}),
        "upstream-ca": (str(CA), {"upstream-tls": "on"}),
        "upstream-name": ("m.example", {"upstream-tls": "on"}),
    },
}
WITHOUT_EFFECT = {
    "activator-capacity": "no number of activators is computed, for the edge and the autoscaler are one",
    "pod-autoscaler-class": "there is only one",
    "class": "there is only one",
    "allow-zero-initial-scale": "permits another key",
    "max-scale-limit": "bounds another key",
}
EVERY = [(group, key, *change) for group, keys in CHANGES.items() for key, change in keys.items()]


def test_the_table_of_changes_has_every_key() -> None:
    for group, kind in (("autoscaling", AutoscalingOverrides), ("requests", Requests), ("process", Process)):
        expected = set(kind.fields_by_key()) - set(WITHOUT_EFFECT)
        assert set(CHANGES[group]) == expected


@pytest.mark.parametrize(
    ("level", "group", "key", "value", "beside"),
    [
        (level, *change)
        for change in EVERY
        for level in ("file", "service", "revision")
        if not (level == "file" and change[1] in AutoscalingOverrides.synonyms)
    ],
)
def test_every_key_has_an_effect_at_every_level(
    level: str, group: str, key: str, value: Any, beside: dict[str, Any]
) -> None:
    before, after = small(), small()
    for data, keys in ((before, beside), (after, {**beside, key: value})):
        first = data["services"][0]
        {"file": data, "service": first, "revision": first["revisions"][0]}[level][group] = keys
    assert catalog(before) != catalog(after)
    assert catalog(before) == catalog(before)


@pytest.mark.parametrize(("group", "key", "value", "beside"), EVERY)
def test_a_key_of_a_revision_wins_over_its_service_and_the_file(
    group: str, key: str, value: Any, beside: dict[str, Any]
) -> None:
    alone, covered = small(), small()
    for data in (alone, covered):
        data["services"][0]["revisions"][0][group] = {**beside, key: value}
    defaults = {"autoscaling": Autoscaling, "requests": Requests, "process": Process}[group]()
    proper = "stable-window" if key == "window" else key
    default = defaults.model_dump(by_alias=True)[proper]
    covered["services"][0][group] = {} if default is None else {proper: default}
    covered[group] = {} if default is None else {proper: default}
    assert catalog(alone) == catalog(covered)


def test_an_ipv6_address_that_a_certificate_is_for_has_no_brackets_to_tls() -> None:
    found = catalog(service(process={"upstream-tls": "on", "upstream-name": "[2001:db8::7]"}))
    assert found.plans["m-1"].replica.tls == UpstreamTls(name="2001:db8::7")


def test_values_reach_the_fields_they_are_meant_for() -> None:
    keys = {key: value for key, (value, _) in CHANGES["autoscaling"].items() if key not in {"window", "target"}}
    requests = {key: value for key, (value, _) in CHANGES["requests"].items()} | {"on-disconnect": "cancel"}
    process = {key: value for key, (value, _) in CHANGES["process"].items()} | {"upstream-tls": "on"}
    found = catalog(service(autoscaling=keys, requests=requests, process=process))
    plan = found.plans["m-1"]
    assert plan.spec == Spec(
        target=25,
        total=50,
        metric=Metric.RPS,
        max_scale_up_rate=2,
        max_scale_down_rate=3,
        target_burst_capacity=10,
        panic_threshold=3,
        stable_window=60,
        panic_window=30,
        scale_down_delay=60,
        activation_scale=3,
        algorithm=Algorithm.WEIGHTED,
        tick=1,
    )
    assert plan.bounds == Bounds(
        min_scale=1,
        max_scale=7,
        initial_scale=2,
        enable_scale_to_zero=False,
        idle_period=2700,
        progress_deadline=300,
        start_attempts=1,
        gpu_limit=False,
        evictable=True,
        min_residency=60,
    )
    assert found.table.services[0].shares[0].revision.limits == Limits(
        container_concurrency=2,
        queue_depth=1,
        queue_bytes=1024,
        max_body=1024,
        hold=1,
        first_byte=1,
        idle=1,
        total=1,
        max_wakes=9,
        retry_unanswered=False,
        on_disconnect=OnDisconnect.CANCEL,
    )
    assert plan.replica == ReplicaSpec(
        command=("model",),
        directory=BASE,
        readiness_path="/health",
        startup_period=1,
        probe_period=1,
        probe_timeout=2,
        failure_threshold=1,
        termination_grace=1,
        log_bytes=1 << 20,
        tls=UpstreamTls(ca=str(CA), name="m.example"),
        port=8000,
        drain_timeout=60,
    )


def test_the_bounds_of_the_edge_reach_the_table() -> None:
    keys = {
        "max-connections": 1,
        "max-connections-per-source": 2,
        "min-body-rate": "3B",
        "write-timeout": "4s",
        "keep-alive-timeout": "5s",
        "max-buffered-bytes": "6B",
        "max-wakes-per-minute": 7,
    }
    assert set(keys) == set(EdgeLimits.fields_by_key())
    assert catalog({"services": [], "limits": keys}).table.limits == table.EdgeLimits(1, 2, 3, 4, 5, 6, 7)
    assert catalog({"services": []}).table.limits == table.EdgeLimits()


def test_how_a_revision_is_run_is_its_own() -> None:
    revision = {"name": "m-1", "command": "a 'b c'", "directory": "models", "env": {"A": 1}}
    replica = catalog(service(revisions=[revision])).plans["m-1"].replica
    assert (replica.command, replica.directory, replica.env) == (("a", "b c"), Path(BASE / "models"), {"A": "1"})


def test_switches_of_a_service_reach_the_table() -> None:
    found = catalog(service(**{"show-revision": True, "tag-header": False})).table.services[0]
    assert (found.show_revision, found.tag_header) == (True, False)


def test_the_models_of_a_service_reach_the_table() -> None:
    found = catalog(service(models=["m", "org/m"], **{"sleeping-probes": "not-ready"})).table.services[0]
    assert (found.models, found.sleeping_probes) == (("m", "org/m"), table.Probes.NOT_READY)
    plain = catalog(small()).table.services[0]
    assert (plain.models, plain.sleeping_probes) == ((), table.Probes.READY)


def test_an_empty_file_of_services_is_an_empty_catalog() -> None:
    found = catalog({"services": []})
    assert (found.table.services, dict(found.plans)) == ((), {})
