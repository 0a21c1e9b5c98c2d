"""From the keys of one revision to what the decision, the router and the scaler need. All times in seconds."""

from __future__ import annotations

from hashlib import sha256
from math import floor
from typing import TYPE_CHECKING

from activator.catalog.model import Canary, GuardKeys
from activator.kpa.spec import Algorithm, Bounds, Metric, Spec
from activator.scalers.base import ReplicaSpec
from activator.settings.autoscaling import TARGET_MIN
from router.ports import UpstreamTls
from router.table import EdgeLimits, Key, Limits, OnDisconnect, Sticky

if TYPE_CHECKING:
    from activator.settings import running
    from activator.settings.autoscaling import Autoscaling
    from activator.settings.canary import Canary as CanaryKeys
    from activator.settings.running import Process, Requests
    from activator.settings.schema import Revision, Service

RPS_UTILIZATION = 0.7


def spec_of(keys: Autoscaling, container_concurrency: int, *, reachable: bool) -> Spec:
    """Return the inputs of the decision. `reachable` = the revision has a share of the traffic above 0 %."""
    target, total = targets(keys, container_concurrency)
    return Spec(
        target=target,
        total=total,
        metric=Metric(keys.metric),
        max_scale_up_rate=keys.max_scale_up_rate,
        max_scale_down_rate=keys.max_scale_down_rate,
        target_burst_capacity=keys.target_burst_capacity,
        panic_threshold=keys.panic_threshold_percentage / 100,
        stable_window=keys.stable_window,
        panic_window=panic_window(keys),
        scale_down_delay=keys.scale_down_delay,
        activation_scale=keys.activation_scale or 1,
        reachable=reachable,
        algorithm=Algorithm(keys.metric_aggregation_algorithm),
        tick=keys.tick,
    )


def targets(keys: Autoscaling, container_concurrency: int) -> tuple[float, float]:
    """Return what a replica should carry and what it can (Knative: reconciler/autoscaling/resources/target.go)."""
    rps = keys.metric == Metric.RPS
    total = keys.requests_per_second_target_default if rps else keys.container_concurrency_target_default
    if container_concurrency and not rps:
        total = float(container_concurrency)
    if keys.target is not None:
        total = min(keys.target, total) if container_concurrency and not rps else keys.target
    utilization = RPS_UTILIZATION if rps else keys.concurrency_fraction
    if keys.target_utilization_percentage is not None:
        utilization = keys.target_utilization_percentage / 100
    return max(TARGET_MIN, total * utilization), total


def panic_window(keys: Autoscaling) -> float:
    """Return the panic window: a part of the stable one, rounded half up to seconds, at least one."""
    return float(max(1, floor(keys.stable_window * keys.panic_window_percentage / 100 + 0.5)))


def bounds_of(keys: Autoscaling) -> Bounds:
    """Return what is applied to a decision."""
    return Bounds(
        min_scale=keys.min_scale,
        max_scale=keys.max_scale,
        initial_scale=keys.initial_scale,
        enable_scale_to_zero=keys.enable_scale_to_zero,
        idle_period=max(keys.scale_to_zero_grace_period, keys.scale_to_zero_pod_retention_period),
        progress_deadline=keys.progress_deadline,
        start_attempts=keys.start_attempts,
        gpu_limit=keys.gpu_limit,
        evictable=keys.evictable,
        min_residency=keys.min_residency,
    )


def limits_of(keys: Requests) -> Limits:
    """Return the router's bounds. `on-disconnect: auto` keeps a slot until its replica has really finished."""
    auto = "finish" if keys.container_concurrency else "cancel"
    return Limits(
        container_concurrency=keys.container_concurrency,
        queue_depth=keys.queue_depth,
        queue_bytes=keys.queue_bytes,
        max_body=keys.max_request_bytes,
        hold=keys.hold_timeout,
        first_byte=keys.first_byte_timeout,
        idle=keys.idle_timeout,
        total=keys.total_timeout,
        max_wakes=keys.max_wakes_per_minute,
        retry_unanswered=keys.retry_unanswered,
        on_disconnect=OnDisconnect(auto if keys.on_disconnect == "auto" else keys.on_disconnect),
    )


def edge_limits_of(keys: running.EdgeLimits) -> EdgeLimits:
    """Return the router's bounds as a whole."""
    return EdgeLimits(
        connections=keys.max_connections,
        connections_per_source=keys.max_connections_per_source,
        body_rate=keys.min_body_rate,
        write=keys.write_timeout,
        keep_alive=keys.keep_alive_timeout,
        buffered=keys.max_buffered_bytes,
        max_wakes=keys.max_wakes_per_minute,
    )


def sticky_of(key: str | None) -> Sticky | None:
    """Return by what the router tells clients apart."""
    if key is None:
        return None
    kind, _, name = key.partition(":")
    return Sticky(Key(kind), name.encode())


def canary_of(service: Service, stable: str) -> Canary:
    """Return how a service's canary is rolled out beside `stable`. It is another rollout when either is another
    revision, or the canary one that runs something else."""
    keys, name = service.canary, service.canary.revision or ""
    revision = next(each for each in service.revisions if each.name == name)
    goal = sum(share.percent for share in service.traffic if share.revision == name)
    runs = repr((revision.command, sorted(revision.env.items()), str(revision.directory)))
    return Canary(
        service=service.name,
        revision=name,
        stable=stable,
        goal=goal,
        identity=f"{name} {stable} {sha256(runs.encode()).hexdigest()[:16]}",
        warm_first=keys.warm_first,
        hold=keys.when_cold == "hold",
        steps=keys.steps,
        step_seconds=keys.step_min_time,
        step_requests=keys.step_min_requests,
        swap=keys.swap,
        guard=_guard_of(keys) if keys.guard else None,
    )


def _guard_of(keys: CanaryKeys) -> GuardKeys:
    return GuardKeys(
        risk=keys.guard_false_alarm_percentage / 100,
        window=keys.guard_window,
        min_requests=keys.guard_min_requests,
        tolerated_errors=keys.tolerated_error_percentage / 100,
        max_slowdown=keys.max_slowdown,
    )


def replica_of(revision: Revision, keys: Process, *, pods: bool) -> ReplicaSpec:
    """Return how a replica is run, reached and probed. Of `pods`, a readiness path that is not written is their own."""
    return ReplicaSpec(
        command=revision.command,
        env=dict(revision.env),
        directory=revision.directory,
        readiness_path="" if pods and "readiness_path" not in keys.model_fields_set else keys.readiness_path,
        startup_period=keys.startup_probe_period,
        probe_period=keys.readiness_probe_period,
        probe_timeout=keys.probe_timeout,
        failure_threshold=keys.failure_threshold,
        termination_grace=keys.termination_grace_period,
        log_bytes=keys.log_bytes,
        tls=upstream_tls_of(keys),
        port=keys.port,
        drain_timeout=keys.scale_down_timeout,
    )


def upstream_tls_of(keys: Process) -> UpstreamTls | None:
    """Return how replicas are connected; None = by plain HTTP."""
    if keys.upstream_tls == "off":
        return None
    if keys.upstream_tls == "insecure":
        return UpstreamTls(verify=False)
    return UpstreamTls(ca=str(keys.upstream_ca or ""), name=(keys.upstream_name or "").strip("[]"))
