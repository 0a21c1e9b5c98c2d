"""The keys that decide how many replicas there are: Knative's names and bounds, with defaults tuned for GPUs.

Sources: ConfigMap `config-autoscaler` (pkg/autoscaler/config) for the defaults of all services, annotations
(pkg/apis/autoscaling) for overrides. What Knative cannot override (rates, grace, tick) can be overridden here.
The one bound that is not Knative's: panic-threshold-percentage, which it does not check as a default, must be
positive, since with 0 every decision would be one of panic.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from activator.kpa.spec import Algorithm, Metric
from activator.settings.group import Group
from activator.settings.numbers import Duration, Number, Whole
from activator.settings.rules import Choice, Flag

KPA = "kpa.autoscaling.knative.dev"
HOUR = 3600.0
TARGET_MIN = 0.01

ClassRule = Choice((KPA,), (("kpa", KPA),), "names another autoscaler: only Knative's own (KPA) is implemented")
MetricRule = Choice(tuple(map(str, Metric)))
AlgorithmRule = Choice(tuple(map(str, Algorithm)), (("weightedExponential", str(Algorithm.WEIGHTED)),))


class Autoscaling(Group):
    """Defaults for all services. Keys that are annotations, too, have the ConfigMap's bounds here."""

    enable_scale_to_zero: Annotated[bool, Flag()] = True
    """Whether the last replica may go when a revision is idle; without it one stays."""
    allow_zero_initial_scale: Annotated[bool, Flag()] = True
    """Whether initial-scale may be 0."""
    initial_scale: Annotated[int, Whole(0)] = 0
    """Replicas of a new revision before its first request."""
    min_scale: Annotated[int, Whole(0)] = 0
    """Fewest replicas of a revision with traffic."""
    max_scale: Annotated[int, Whole(0)] = 0
    """Most replicas; 0 = unlimited."""
    max_scale_limit: Annotated[int, Whole(0)] = 0
    """Bound on every max-scale; 0 = none."""
    activation_scale: Annotated[int | None, Whole(2)] = None
    """Replicas to start with when there is traffic at all; not set = as many as are needed."""
    metric: Annotated[str, MetricRule] = str(Metric.CONCURRENCY)
    """What is compared with the target: requests at a time, or requests per second."""
    target: Annotated[float | None, Number(TARGET_MIN)] = None
    """Concurrency or requests per second of one replica; not set = container-concurrency or the defaults below."""
    target_utilization_percentage: Annotated[float | None, Number(1, 100)] = None
    """Part of the target to aim at; wins over container-concurrency-target-percentage."""
    container_concurrency_target_percentage: Annotated[float, Number(0, 100, above=True)] = 100.0
    """Part of container-concurrency to aim at; up to 1 it is read as a fraction (0.7 = 70)."""
    container_concurrency_target_default: Annotated[float, Number(TARGET_MIN)] = 100.0
    """Concurrency of a replica whose container-concurrency is 0 (unlimited)."""
    requests_per_second_target_default: Annotated[float, Number(TARGET_MIN)] = 200.0
    """Requests per second of a replica, with metric rps."""
    target_burst_capacity: Annotated[float, Number(0, other=-1.0)] = -1.0
    """Burst that must always find spare capacity; -1 = unlimited."""
    activator_capacity: Annotated[float, Number(1)] = 100.0
    """Accepted, without effect: edge and autoscaler are one, so no number of activators is computed."""
    metric_aggregation_algorithm: Annotated[str, AlgorithmRule] = str(Algorithm.LINEAR)
    """How a window is averaged."""
    stable_window: Annotated[float, Duration(6, HOUR, whole=True)] = 120.0
    """Time over which traffic is averaged."""
    panic_window_percentage: Annotated[float, Number(1, 100)] = 25.0
    """Panic window as a part of the stable window; rounded to whole seconds, at least one."""
    panic_threshold_percentage: Annotated[float, Number(0, above=True)] = 200.0
    """Replicas wanted over replicas ready at which panic begins."""
    max_scale_up_rate: Annotated[float, Number(1, above=True)] = 1.5
    """Factor on the ready replicas that one decision may reach."""
    max_scale_down_rate: Annotated[float, Number(1, above=True)] = 1.01
    """Divisor of the ready replicas that one decision may reach."""
    scale_to_zero_grace_period: Annotated[float, Duration(0, above=True)] = 1800.0
    """Time without a request after which the last replica goes; the retention period counts if it is longer."""
    scale_to_zero_pod_retention_period: Annotated[float, Duration()] = 0.0
    """The same by Knative's other name for it; the longer of the two counts."""
    scale_down_delay: Annotated[float, Duration(whole=True)] = 0.0
    """Time for which a decision to shrink must hold before it is followed."""
    pod_autoscaler_class: Annotated[str, ClassRule] = KPA
    """Accepted for compatibility: there is only one."""
    tick: Annotated[float, Duration(0.01, HOUR)] = 10.0
    """Time between two decisions. A request that meets no capacity never waits for it."""
    progress_deadline: Annotated[float, Duration(0, above=True)] = HOUR
    """Time one start may take until it counts as failed; paused while there is no room for the replica."""
    start_attempts: Annotated[int, Whole(1)] = 5
    """Starts that may fail in a row until those who wait are refused."""
    gpu_limit: Annotated[bool, Flag()] = True
    """Whether there are no more replicas than the GPUs of matching nodes allow, where nodes may be read."""
    evictable: Annotated[bool, Flag()] = False
    """Whether an idle revision gives its GPU to requests of another that are held for want of it."""
    min_residency: Annotated[float, Duration()] = 300.0
    """Time for which it has been ready before it does."""

    @property
    def concurrency_fraction(self) -> float:
        """Return container-concurrency-target-percentage as a fraction; up to 1 it is one already."""
        percentage = self.container_concurrency_target_percentage
        return percentage / 100 if percentage > 1 else percentage


class AutoscalingOverrides(Autoscaling):
    """Overrides of a service or revision: the same keys, with the bounds and extra names of annotations."""

    synonyms: ClassVar[dict[str, str]] = {"window": "stable_window", "class_": "pod_autoscaler_class"}

    panic_threshold_percentage: Annotated[float, Number(110, 1000)] = 200.0
    """Replicas wanted over replicas ready at which panic begins."""
    scale_to_zero_pod_retention_period: Annotated[float, Duration(0, HOUR)] = 0.0
    """The same by Knative's other name for it; the longer of the two counts."""
    scale_down_delay: Annotated[float, Duration(0, HOUR, whole=True)] = 0.0
    """Time for which a decision to shrink must hold before it is followed."""
    window: Annotated[float | None, Duration(6, HOUR, whole=True)] = None
    """The annotation's name of stable-window."""
    class_: Annotated[str | None, ClassRule] = Field(default=None, alias="class")
    """The annotation's name of pod-autoscaler-class."""
