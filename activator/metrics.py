"""Prometheus metrics, read from plain counters when they are scraped; nothing here is touched per request.

Knative's names are given twice, as of the OpenCensus era (until 1.18) and as of OpenTelemetry (since 1.19), so that
existing dashboards and alerts work; those of what does not exist here are left out (scrapes of pods, the connection
to the autoscaler, the time inside the container alone). What Knative lacks begins with `activator_`. Label values are
configured names, status codes and fixed sets: no caller can add a series.

A family with many samples comes in several pieces, one after the other: see `activator/scrape.py`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)

from activator import logs, rollout_view
from activator.scalers.base import Phase
from router.counters import SECONDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from activator.front import PeerFacts
    from activator.insight import ClusterFacts, Insight, RevisionView

    Gauge = tuple[str, str, str, Callable[[RevisionView], float]]
    Family = Callable[[], Any]  # makes an empty one

OLD = ("namespace_name", "service_name", "configuration_name", "revision_name")
OLD_STATUS = ("response_code", "response_code_class")
NEW = ("k8s_namespace_name", "kn_service_name", "kn_configuration_name", "kn_revision_name")
OURS = ("service", "revision")
PIECE = 250  # samples, at least, but for the last piece; they take some 2 ms

GAUGES: tuple[Gauge, ...] = (
    ("desired_pods", "pods_desired", "replicas that the decision wants", lambda v: v.wanted),
    ("requested_pods", "pods_requested", "replicas that were asked for", lambda v: v.replicas.desired),
    ("actual_pods", "pods_count", "replicas that are ready", lambda v: v.replicas.count(Phase.READY)),
    ("not_ready_pods", "pods_not_ready_count", "replicas that start", lambda v: v.replicas.count(Phase.STARTING)),
    ("pending_pods", "pods_pending_count", "replicas that cannot start yet", lambda v: v.replicas.count(Phase.PENDING)),
    ("terminating_pods", "pods_terminating_count", "replicas that drain", lambda v: v.replicas.count(Phase.DRAINING)),
    ("excess_burst_capacity", "capacity_excess", "excess burst capacity", lambda v: v.excess),
    ("panic_mode", "panic_mode", "1 while in panic mode", lambda v: int(v.panicking)),
)
AVERAGES: dict[str, tuple[Gauge, ...]] = {
    "concurrency": (
        ("stable_request_concurrency", "concurrency_stable", "average over the stable window", lambda v: v.stable),
        ("panic_request_concurrency", "concurrency_panic", "average over the panic window", lambda v: v.panic),
        ("target_concurrency_per_pod", "concurrency_target", "target per replica", lambda v: v.target),
    ),
    "rps": (
        ("stable_requests_per_second", "rps_stable", "average over the stable window", lambda v: v.stable),
        ("panic_requests_per_second", "rps_panic", "average over the panic window", lambda v: v.panic),
        ("target_requests_per_second", "rps_target", "target per replica", lambda v: v.target),
    ),
}


class Metrics:
    """A prometheus_client collector over what the edge knows."""

    def __init__(self, insight: Insight) -> None:
        self._insight = insight

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        views = self._insight.revisions()
        yield from _knative_gauges(views)
        yield from _knative_requests(views)
        yield from _ours(views)
        yield from rollout_view.metrics(self._insight)
        yield from self._process()
        if self._insight.cluster is not None:
            yield from _cluster(self._insight.cluster())
        if self._insight.peers is not None:
            yield from _peers(self._insight.peers())

    def _process(self) -> Iterator[Metric]:
        insight, health = self._insight, self._insight.health()
        refused = CounterMetricFamily("activator_refused", "Answers of the edge itself by reason", labels=["reason"])
        for reason, count in sorted(insight.refusals().items()):
            refused.add_metric([reason], count)
        yield refused
        yield CounterMetricFamily("activator_config_reloads", "Configurations taken over", value=insight.reloads)
        yield CounterMetricFamily(
            "activator_config_reload_failures", "Configurations refused", value=insight.reload_failures
        )
        yield GaugeMetricFamily(
            "activator_config_valid", "0 while the file is refused", value=int(insight.config_valid)
        )
        yield GaugeMetricFamily(
            "activator_state_saved", "0 while what must survive a restart cannot be saved", value=int(insight.saved())
        )
        expiries = GaugeMetricFamily(
            "activator_certificate_not_after_seconds", "When a certificate expires (Unix time)", labels=["certificate"]
        )
        for file, not_after in sorted(insight.expiries().items()):
            expiries.add_metric([file], not_after)
        yield expiries
        yield GaugeMetricFamily("activator_connections", "Client connections", value=health.connections)
        yield CounterMetricFamily("activator_defects", "Errors nobody expected", value=insight.defects + health.defects)
        stalls = insight.stalls.count + health.stalls
        yield CounterMetricFamily("activator_event_loop_stalls", "Times a process served nobody at all", value=stalls)
        yield GaugeMetricFamily(
            "activator_metrics_made_at_seconds", "When these were read (Unix time)", value=time.time()
        )
        dropped = logs.OUTPUT.dropped + health.dropped
        yield CounterMetricFamily("activator_log_lines_dropped", "Nobody read them", value=dropped)
        yield GaugeMetricFamily("activator_workers", "Processes that serve clients", value=health.workers)
        yield CounterMetricFamily("activator_worker_restarts", "Workers that died or hung", value=health.restarts)


def _knative_gauges(views: list[RevisionView]) -> Iterator[Metric]:
    for old, new, text, value in GAUGES:
        yield from _twice(f"autoscaler_{old}", f"kn_revision_{new}", text, [(view, value(view)) for view in views])
    for metric, gauges in AVERAGES.items():
        measured = [view for view in views if view.metric == metric]
        for old, new, text, value in gauges:
            yield from _twice(f"autoscaler_{old}", f"kn_revision_{new}", text, [(v, value(v)) for v in measured])


def _twice(old: str, new: str, text: str, values: Sequence[tuple[RevisionView, float]]) -> Iterator[Metric]:
    yield from _gauge(old, OLD, text, values)
    yield from _gauge(new, NEW, text, values)


def _gauge(
    name: str, labels: Sequence[str], text: str, values: Sequence[tuple[RevisionView, float]]
) -> Iterator[Metric]:
    rows = ((_labels(view), value) for view, value in values)
    return _pieces(lambda: GaugeMetricFamily(name, f"Knative: {text}", labels=labels), rows)


def _pieces(family: Family, rows: Iterable[tuple[Any, ...]]) -> Iterator[Metric]:
    """Yield a family with these rows, in pieces. What a row takes to make is done between them, too."""
    piece = family()
    for row in rows:
        piece.add_metric(*row)
        if len(piece.samples) >= PIECE:
            yield piece
            piece = family()
    yield piece


def _knative_requests(views: list[RevisionView]) -> Iterator[Metric]:
    open_now = [(view, view.stats.open) for view in views]
    held = [(view, view.stats.held) for view in views]
    running = [(view, sum(view.stats.busy.values())) for view in views]
    yield from _twice("activator_request_concurrency", "kn_revision_request_concurrency", "open requests", open_now)
    yield from _twice("revision_queue_depth", "kn_serving_queue_depth", "requests held", held)
    yield from _gauge("kn_revision_request_queued", NEW, "requests held", held)
    yield from _gauge("kn_revision_request_active", NEW, "requests running", running)
    for name in ("activator_request_count", "revision_request_count"):
        yield from _counts(name, views)
    for name in ("activator_request_latencies", "revision_request_latencies"):
        yield from _latencies(name, views)
    for name in ("http_server_request_duration_seconds", "kn_serving_invocation_duration_seconds"):
        yield from _durations(name, views)


def _counts(name: str, views: list[RevisionView]) -> Iterator[Metric]:
    """Yield counters of requests by status. They are untyped, since a counter's name would have to end in _total."""
    rows = (([*_labels(view), *_old_status(status)], each.count) for view, status, each in _by_status(views))
    return _pieces(lambda: UnknownMetricFamily(name, "Knative: requests by status", labels=(*OLD, *OLD_STATUS)), rows)


def _latencies(name: str, views: list[RevisionView]) -> Iterator[Metric]:
    labels, text = (*OLD, *OLD_STATUS), "Knative: from head to end, in ms"
    rows = (
        ([*_labels(view), *_old_status(status)], *_buckets(durations, unit=1000))
        for view, status, durations in _by_status(views)
    )
    return _pieces(lambda: HistogramMetricFamily(name, text, labels=labels), rows)


def _durations(name: str, views: list[RevisionView]) -> Iterator[Metric]:
    labels, text = (*NEW, "http_response_status_code"), "Knative: from head to end"
    rows = (([*_labels(view), str(status)], *_buckets(durations)) for view, status, durations in _by_status(views))
    return _pieces(lambda: HistogramMetricFamily(name, text, labels=labels), rows)


def _by_status(views: list[RevisionView]) -> Iterator[tuple[RevisionView, int, Histogram]]:
    for view in views:
        for status, durations in sorted(view.durations.items()):
            yield view, status, durations


def _old_status(status: int) -> tuple[str, str]:
    return str(status), f"{status // 100}xx"


def _ours(views: list[RevisionView]) -> Iterator[Metric]:
    each = [([view.service, view.revision], view) for view in views]
    yield from _pieces(
        lambda: GaugeMetricFamily("activator_held_requests", "Requests that wait for a slot", labels=OURS),
        ((labels, view.stats.held) for labels, view in each),
    )
    yield from _pieces(
        lambda: GaugeMetricFamily("activator_replicas", "Replicas by state", labels=(*OURS, "state")),
        (([*labels, phase], view.replicas.count(phase)) for labels, view in each for phase in Phase),
    )
    yield from _pieces(
        lambda: GaugeMetricFamily("activator_start_failures", "Starts that failed in a row", labels=OURS),
        ((labels, view.start.attempts) for labels, view in each),
    )
    yield from _pieces(
        lambda: CounterMetricFamily("activator_replica_seconds", "Time that replicas ran", labels=OURS),
        ((labels, view.usage.running) for labels, view in each),
    )
    yield from _pieces(
        lambda: CounterMetricFamily("activator_idle_replica_seconds", "Ready without a request", labels=OURS),
        ((labels, view.usage.idle) for labels, view in each),
    )
    yield from _pieces(
        lambda: CounterMetricFamily(
            "activator_ended", "Not answered by a replica, by reason", labels=(*OURS, "reason")
        ),
        (([*labels, why], number) for labels, view in each for why, number in sorted(view.reasons.items())),
    )
    yield from _pieces(
        lambda: HistogramMetricFamily("activator_hold_seconds", "From the head to dispatch", labels=OURS),
        ((labels, *_buckets(view.holds)) for labels, view in each),
    )
    yield from _pieces(
        lambda: HistogramMetricFamily("activator_cold_start_seconds", "Cold starts by phase", labels=(*OURS, "phase")),
        (([*labels, name], *_buckets(times)) for labels, view in each for name, times in view.cold_starts.items()),
    )
    yield from _pieces(
        lambda: CounterMetricFamily("activator_pokes", "Decisions that did not wait for the tick", labels=OURS),
        ((labels, view.pokes) for labels, view in each),
    )


def _peers(facts: PeerFacts) -> Iterator[Metric]:
    peers = GaugeMetricFamily("activator_peers", "Other edges by state", labels=["state"])
    peers.add_metric(["live"], facts.live)
    peers.add_metric(["lost"], facts.lost)
    owners = GaugeMetricFamily("activator_owner", "1 for the edge that owns admission", labels=["revision", "owner"])
    for name, owner in sorted(facts.owners.items()):
        owners.add_metric([name, owner], 1)
    yield from (peers, owners)
    yield GaugeMetricFamily("activator_peers_agree", "1 while all edges see the same", value=int(facts.agreed))
    yield CounterMetricFamily("activator_owner_changes", "Revisions that got another owner", value=facts.moves)


def _cluster(facts: ClusterFacts) -> Iterator[Metric]:
    yield GaugeMetricFamily("activator_leader", "1 while this edge decides for all", value=int(facts.leads))
    problems = GaugeMetricFamily("activator_deployment_problems", "Mistakes in a Deployment", labels=["deployment"])
    for name, count in sorted(facts.problems.items()):
        problems.add_metric([name], count)
    calls = CounterMetricFamily("activator_api_calls", "To the API server", labels=["verb", "resource", "status"])
    for (verb, resource, status), count in sorted(facts.calls.items()):
        calls.add_metric([verb, resource, str(status)], count)
    corrections = CounterMetricFamily(
        "activator_replica_corrections", "Numbers of replicas that someone else wrote", labels=["deployment"]
    )
    for name, count in sorted(facts.corrections.items()):
        corrections.add_metric([name], count)
    contested = GaugeMetricFamily(
        "activator_replicas_contested", "1 while someone else's number of replicas is let be", labels=["deployment"]
    )
    for name, held in sorted(facts.contested.items()):
        contested.add_metric([name], int(held))
    watches = GaugeMetricFamily("activator_watch_up", "0 while objects may be out of date", labels=["resource"])
    for resource, up in sorted(facts.watches.items()):
        watches.add_metric([resource], int(up))
    yield from (problems, calls, corrections, contested, watches)
    yield CounterMetricFamily("activator_events_withheld", "An object got too many", value=facts.withheld)
    yield CounterMetricFamily("activator_events_lost", "The API server did not take them", value=facts.lost)


def _labels(view: RevisionView) -> list[str]:
    return [view.namespace, view.service, view.service, view.revision]


def _buckets(histogram: Histogram, *, unit: float = 1) -> tuple[list[tuple[str, float]], float]:
    """Return what a family takes of a histogram: its buckets, each with those below it, and the sum."""
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*SECONDS, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append((f"{bound * unit:g}" if bound != float("inf") else "+Inf", below))
    return buckets, histogram.total * unit
