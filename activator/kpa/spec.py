"""What one revision's decision depends on, apart from its traffic. All times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Metric(StrEnum):
    """What is compared with the target."""

    CONCURRENCY = "concurrency"
    RPS = "rps"


class Algorithm(StrEnum):
    """How a window is averaged."""

    LINEAR = "linear"
    WEIGHTED = "weighted-exponential"


@dataclass(frozen=True, slots=True)
class Spec:
    """Inputs of Knative's decision (pkg/autoscaler/scaling: DeciderSpec). The defaults are this project's, for GPUs.

    `target` and `total` are per replica: what a replica should carry, and what it can carry. Rates are factors > 1 on
    the ready replicas. `panic_threshold` is a factor: wanted over ready replicas. `target_burst_capacity` -1 = the
    router stays in the path always. `scale_down_delay` 0 = none; its maxima are kept in buckets of one `tick`.
    `activation_scale` 1 = none. `reachable` False = no traffic is assigned: neither down-rate nor delay applies.
    """

    target: float = 100.0
    total: float = 100.0
    metric: Metric = Metric.CONCURRENCY
    max_scale_up_rate: float = 1.5
    max_scale_down_rate: float = 1.01
    target_burst_capacity: float = -1.0
    panic_threshold: float = 2.0
    stable_window: float = 120.0
    panic_window: float = 30.0
    scale_down_delay: float = 0.0
    activation_scale: int = 1
    reachable: bool = True
    algorithm: Algorithm = Algorithm.LINEAR
    tick: float = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is applied to a decision before it becomes a number of replicas (Knative: kpa/scaler.go, our rules on top).

    `max_scale` 0 = unlimited. `idle_period` is how long a revision must have had no request before its last replica
    goes: max(scale-to-zero-grace-period, scale-to-zero-pod-retention-period). `progress_deadline` bounds one start.
    After `start_attempts` failed starts in a row those who wait are told; when nobody waits any more, starts wait for
    a new request. With `gpu_limit` there are no more replicas than there are GPUs for. `evictable` = when it is idle,
    and has been ready for `min_residency`, it gives way to held requests that need its GPU.
    `pre_warm` replicas are kept for traffic that is about to come; `cap` leaves room for another revision (None = all
    the room is its own).
    """

    min_scale: int = 0
    max_scale: int = 0
    initial_scale: int = 1
    enable_scale_to_zero: bool = True
    idle_period: float = 1800.0
    progress_deadline: float = 3600.0
    start_attempts: int = 5
    gpu_limit: bool = True
    evictable: bool = False
    min_residency: float = 300.0
    pre_warm: int = 0
    cap: int | None = None
