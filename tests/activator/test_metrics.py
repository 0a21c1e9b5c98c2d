from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from activator.front import PeerFacts
from activator.insight import ClusterFacts
from activator.kpa.spec import Metric
from activator.metrics import Metrics
from activator.scalers.memory import Start
from router.errors import EdgeError, Reason
from router.table import Service, Share
from tests.activator.parts import CANARY, FIRST, PLANS, SECOND, all_parts
from tests.activator.stage import plan, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prometheus_client.samples import Sample

    from tests.activator.parts import Parts

OLD_NAMES = """
    autoscaler_desired_pods autoscaler_requested_pods autoscaler_actual_pods autoscaler_not_ready_pods
    autoscaler_pending_pods autoscaler_terminating_pods autoscaler_stable_request_concurrency
    autoscaler_panic_request_concurrency autoscaler_target_concurrency_per_pod autoscaler_stable_requests_per_second
    autoscaler_panic_requests_per_second autoscaler_target_requests_per_second autoscaler_excess_burst_capacity
    autoscaler_panic_mode activator_request_count activator_request_latencies_bucket activator_request_latencies_sum
    activator_request_latencies_count activator_request_concurrency revision_request_count
    revision_request_latencies_bucket revision_request_latencies_sum revision_request_latencies_count
    revision_queue_depth
"""
NEW_NAMES = """
    kn_revision_pods_desired kn_revision_pods_requested kn_revision_pods_count kn_revision_pods_not_ready_count
    kn_revision_pods_pending_count kn_revision_pods_terminating_count kn_revision_concurrency_stable
    kn_revision_concurrency_panic kn_revision_concurrency_target kn_revision_rps_stable kn_revision_rps_panic
    kn_revision_rps_target kn_revision_capacity_excess kn_revision_panic_mode
    http_server_request_duration_seconds_bucket
    http_server_request_duration_seconds_sum http_server_request_duration_seconds_count
    kn_revision_request_concurrency kn_revision_request_queued kn_revision_request_active
    kn_serving_invocation_duration_seconds_bucket kn_serving_invocation_duration_seconds_sum
    kn_serving_invocation_duration_seconds_count kn_serving_queue_depth
"""
OURS_NAMES = """
    activator_cold_start_seconds_bucket activator_cold_start_seconds_sum activator_cold_start_seconds_count
    activator_hold_seconds_bucket activator_hold_seconds_sum activator_hold_seconds_count activator_held_requests
    activator_refused_total activator_ended_total activator_replicas activator_replica_seconds_total
    activator_idle_replica_seconds_total activator_start_failures activator_pokes_total activator_config_reloads_total
    activator_config_reload_failures_total activator_config_valid activator_state_saved
    activator_connections activator_defects_total
    activator_certificate_not_after_seconds activator_log_lines_dropped_total activator_event_loop_stalls_total
    activator_metrics_made_at_seconds
    activator_workers activator_worker_restarts_total
    activator_canary_percent activator_canary_phase
    activator_canary_evidence activator_canary_events_total activator_canary_fallbacks_total
"""
PEER_NAMES = "activator_peers activator_owner activator_peers_agree activator_owner_changes_total"
CLUSTER_NAMES = """
    activator_leader activator_deployment_problems activator_api_calls_total activator_events_withheld_total
    activator_events_lost_total activator_replica_corrections_total activator_replicas_contested activator_watch_up
"""
OLD, NEW, OURS, CLUSTER = (frozenset(names.split()) for names in (OLD_NAMES, NEW_NAMES, OURS_NAMES, CLUSTER_NAMES))
ALL_NEW = (Service("m", ("m.example",), (Share(SECOND, 100), Share(FIRST, 0))),)
OLD_LABELS = {"namespace_name", "service_name", "configuration_name", "revision_name"}
NEW_LABELS = {"k8s_namespace_name", "kn_service_name", "kn_configuration_name", "kn_revision_name"}


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with all_parts() as parts:
        yield parts


def exposed(parts: Parts) -> str:
    registry = CollectorRegistry()
    registry.register(Metrics(parts.insight))
    return generate_latest(registry).decode()


def samples(parts: Parts) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(exposed(parts)) for sample in family.samples]


def value(parts: Parts, name: str, **labels: str) -> float:
    """Return the value of the one sample of `name` that has these labels, at least."""
    (found,) = [s.value for s in samples(parts) if s.name == name and labels.items() <= s.labels.items()]
    return found


async def used(parts: Parts) -> None:
    """Let everything be counted at least once: a cold start, an unknown host, a refused request, both metrics."""
    parts.configure(plans=(*PLANS[:2], plan("n-1", spec(metric=Metric.RPS))), canaries=(CANARY,))
    parts.scaler.script("m-1", [Start(delay=60)])
    parts.scaler.scale("m-2", 1)
    await parts.ask("nobody.example")
    await parts.ask()
    parts.now += 2.0
    parts.proxy.queues["m-1"].refuse(lambda: EdgeError(Reason.QUEUE_FULL, "Full."))
    await asyncio.sleep(0.01)
    parts.ledger.add(("m", "m-1"), (1, 1), 2.0, parts.wall())
    parts.insight.expiries = lambda: {"/etc/edge/tls.pem": 1.8e9}


PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text().partition("## Metrics")[2]


def test_the_page_has_every_metric_once() -> None:
    told = re.findall(r"`((?:activator|autoscaler|kn|revision|http)_\w+)`", PAGE)
    names = {*OLD, *NEW, *OURS, *CLUSTER, *PEER_NAMES.split()}
    histograms = {name.removesuffix("_bucket") for name in names if name.endswith("_bucket")}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    assert sorted(told) == sorted(names - parts | histograms)


class TestNames:
    async def test_all_names_old_new_and_ours_are_there(self, parts: Parts) -> None:
        await used(parts)
        names = {sample.name for sample in samples(parts)}
        assert names == {*OLD, *NEW, *OURS}

    async def test_every_family_has_a_help_text_and_a_type(self, parts: Parts) -> None:
        await used(parts)
        for family in text_string_to_metric_families(exposed(parts)):
            assert family.documentation
            assert family.type in {"gauge", "counter", "histogram", "unknown"}

    async def test_no_series_is_exposed_twice(self, parts: Parts) -> None:
        await used(parts)
        series = [(sample.name, *sorted(sample.labels.items())) for sample in samples(parts)]
        assert len(series) == len(set(series))

    async def test_knatives_names_have_knatives_labels(self, parts: Parts) -> None:
        await used(parts)
        more = {"le", "response_code", "response_code_class", "http_response_status_code"}
        for sample in samples(parts):
            if sample.name in OLD:
                assert sample.labels.keys() - more == OLD_LABELS
            if sample.name in NEW:
                assert sample.labels.keys() - more == NEW_LABELS

    async def test_request_counts_have_no_suffix_and_a_class(self, parts: Parts) -> None:
        await used(parts)
        assert "# TYPE activator_request_count untyped" in exposed(parts)
        (sample,) = [s for s in samples(parts) if s.name == "activator_request_count"]
        assert sample.labels["response_code_class"] == f"{sample.labels['response_code'][0]}xx"
        assert sample.value == 1


class TestValues:
    async def test_replicas_are_given_by_state(self, parts: Parts) -> None:
        parts.scaler.script("m-1", [Start(), Start(delay=60), Start(unschedulable=60)])
        parts.scaler.scale("m-1", 3)
        await asyncio.sleep(0.01)
        assert value(parts, "autoscaler_requested_pods", revision_name="m-1") == 3
        assert value(parts, "autoscaler_actual_pods", revision_name="m-1") == 1
        assert value(parts, "kn_revision_pods_not_ready_count", kn_revision_name="m-1") == 1
        assert value(parts, "activator_replicas", revision="m-1", state="pending") == 1
        assert value(parts, "activator_replicas", revision="m-2", state="pending") == 0

    async def test_starts_that_passed_their_deadline_count_as_failed_ones(self, parts: Parts) -> None:
        revision = parts.loop.revisions["m-1"]
        revision.life = replace(revision.life, overdue=2, retry_at=parts.now + 20)
        assert value(parts, "activator_start_failures", revision="m-1") == 2

    async def test_what_was_decided_is_given_by_metric(self, parts: Parts) -> None:
        await used(parts)
        assert value(parts, "autoscaler_desired_pods", revision_name="m-1") == 1
        assert value(parts, "kn_revision_concurrency_stable", kn_revision_name="m-1") == 1
        assert value(parts, "autoscaler_target_requests_per_second", revision_name="n-1") == 1
        assert not [s for s in samples(parts) if s.name == "kn_revision_rps_stable" and "m-1" in s.labels.values()]

    async def test_held_and_open_requests_are_given(self, parts: Parts) -> None:
        parts.scaler.script("m-1", [Start(delay=60)])
        for _ in range(3):
            await parts.ask()
        for name in ("kn_revision_request_queued", "kn_serving_queue_depth", "kn_revision_request_concurrency"):
            assert value(parts, name, kn_revision_name="m-1") == 3
        assert value(parts, "activator_held_requests", revision="m-1") == 3
        assert value(parts, "activator_pokes_total", revision="m-1") == 1

    async def test_latencies_are_in_milliseconds_under_the_old_name(self, parts: Parts) -> None:
        await used(parts)
        assert value(parts, "activator_request_latencies_sum", revision_name="m-1") == 2000
        assert value(parts, "http_server_request_duration_seconds_sum", kn_revision_name="m-1") == 2
        assert value(parts, "activator_request_latencies_bucket", revision_name="m-1", le="1000") == 0
        assert value(parts, "activator_request_latencies_bucket", revision_name="m-1", le="2500") == 1
        assert value(parts, "activator_request_latencies_count", revision_name="m-1") == 1

    async def test_latencies_are_told_apart_by_status(self, parts: Parts) -> None:
        await used(parts)
        (count,) = [s for s in samples(parts) if s.name == "http_server_request_duration_seconds_count"]
        assert count.labels["http_response_status_code"] == "503"
        (old,) = [s for s in samples(parts) if s.name == "revision_request_latencies_count"]
        assert (old.labels["response_code"], old.labels["response_code_class"]) == ("503", "5xx")

    async def test_usage_is_given_in_seconds(self, parts: Parts) -> None:
        parts.ledger.add(("m", "m-1"), (3, 2), 10.0, parts.wall())
        assert value(parts, "activator_replica_seconds_total", revision="m-1") == 30
        assert value(parts, "activator_idle_replica_seconds_total", revision="m-1") == 20
        parts.configure(plans=tuple(replace(each, service="renamed") for each in PLANS))
        assert value(parts, "activator_replica_seconds_total", service="renamed", revision="m-1") == 0

    async def test_the_expiry_of_a_certificate_is_given_by_its_file(self, parts: Parts) -> None:
        parts.insight.expiries = lambda: {"a.pem": 1.8e9, "b.pem": 1.9e9}
        assert value(parts, "activator_certificate_not_after_seconds", certificate="b.pem") == 1.9e9

    async def test_what_cannot_be_saved_shows(self, parts: Parts) -> None:
        assert value(parts, "activator_state_saved") == 1
        parts.insight.saved = lambda: False
        assert value(parts, "activator_state_saved") == 0

    async def test_a_refused_configuration_shows(self, parts: Parts) -> None:
        parts.insight.reload_failures, parts.insight.config_problems = 2, ("e.yaml: is empty",)
        assert value(parts, "activator_config_reload_failures_total") == 2
        assert value(parts, "activator_config_valid") == 0
        assert value(parts, "activator_connections") == 7

    async def test_a_canary_shows_with_its_share_its_phase_and_what_became_of_it(self, parts: Parts) -> None:
        parts.configure(canaries=(CANARY,))
        parts.rollouts.roll_back("m")
        assert value(parts, "activator_canary_percent", service="m", revision="m-2") == 0
        assert value(parts, "activator_canary_phase", revision="m-2", phase="rolled-back") == 1
        assert value(parts, "activator_canary_phase", revision="m-2", phase="running") == 0
        assert value(parts, "activator_canary_events_total", revision="m-2", kind="rolled-back") == 1
        assert value(parts, "activator_canary_evidence", revision="m-2", test="errors") < -100

    async def test_requests_that_another_answered_are_counted(self, parts: Parts) -> None:
        parts.configure(canaries=(replace(CANARY, goal=100, steps=()),), services=ALL_NEW)
        await parts.ask()
        assert value(parts, "activator_canary_fallbacks_total", service="m", revision="m-2") == 1
        assert value(parts, "kn_revision_request_concurrency", kn_revision_name="m-1") == 1


async def test_knatives_names_have_the_namespace_where_there_is_one(parts: Parts) -> None:
    await used(parts)
    assert {sample.labels["namespace_name"] for sample in samples(parts) if sample.name in OLD} == {"local"}
    parts.insight.namespace = "models"
    assert {sample.labels["k8s_namespace_name"] for sample in samples(parts) if sample.name in NEW} == {"models"}


async def test_on_kubernetes_it_also_tells_of_the_lead_of_deployments_and_of_calls(parts: Parts) -> None:
    await used(parts)
    calls = {("patch", "deployments/scale", 409): 3}
    more = ({"m-1": 6}, {"m-1": True}, {"pods": True, "nodes": False})
    parts.insight.cluster = lambda: ClusterFacts(True, {"m-1": 2}, calls, 4, 5, *more)
    assert {sample.name for sample in samples(parts)} == {*OLD, *NEW, *OURS, *CLUSTER}
    assert value(parts, "activator_leader") == 1
    assert value(parts, "activator_deployment_problems", deployment="m-1") == 2
    assert value(parts, "activator_api_calls_total", verb="patch", resource="deployments/scale", status="409") == 3
    assert value(parts, "activator_events_withheld_total") == 4
    assert value(parts, "activator_events_lost_total") == 5
    assert value(parts, "activator_replica_corrections_total", deployment="m-1") == 6
    assert value(parts, "activator_replicas_contested", deployment="m-1") == 1
    assert value(parts, "activator_watch_up", resource="pods") == 1
    assert value(parts, "activator_watch_up", resource="nodes") == 0


async def test_ten_thousand_hosts_do_not_make_one_series_more(parts: Parts) -> None:
    await used(parts)
    before = len(samples(parts))
    chance = random.Random(7)
    for _ in range(10_000):
        await parts.proxy.serve(parts.request(f"{chance.randbytes(6).hex()}.example"))
    assert len(samples(parts)) == before
    assert value(parts, "activator_refused_total", reason="unknown_host") == 10_001


async def test_an_edge_among_others_tells_of_its_peers(parts: Parts) -> None:
    before = {sample.name for sample in samples(parts)}
    parts.insight.peers = lambda: PeerFacts(2, 1, agreed=False, moves=3, owners={"m-1": "10.0.0.1:9091"})
    assert {sample.name for sample in samples(parts)} - before == set(PEER_NAMES.split())
    assert [value(parts, "activator_peers", state=state) for state in ("live", "lost")] == [2, 1]
    assert value(parts, "activator_owner", revision="m-1", owner="10.0.0.1:9091") == 1
    assert (value(parts, "activator_peers_agree"), value(parts, "activator_owner_changes_total")) == (0, 3)
