"""What can be told of rollouts: a view per service for the admin API, and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from activator.traffic.guard import numbers
from activator.traffic.rollout import Phase
from activator.traffic.shares import falls_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.insight import Insight
    from activator.rollouts import Rollouts, Told

LABELS = ("service", "revision")


def view(insight: Insight, service: str) -> dict[str, Any] | None:
    """Return what there is to tell of a service's rollout in JSON's types, None when it has none."""
    rollouts = insight.rollouts
    canary = rollouts.canaries.get(service)
    if canary is None:
        return None
    rollout, (own, rest) = rollouts.rollouts[service], rollouts.shares(service)
    return {
        "revision": canary.revision,
        "stable": canary.stable,
        "phase": str(rollout.phase),
        "percent": own,
        "stable_percent": rest,
        "goal": canary.goal,
        "steps": list(canary.ladder),
        "step": sum(step < rollout.percent for step in canary.ladder),
        "step_seconds": round(rollout.seconds, 3),
        "step_requests": rollout.requests,
        "has_been_warm": rollout.warm,
        "falls_back": falls_back(canary, rollout, (own, rest)),
        "fallbacks": _fallbacks(insight, canary.revision),
        "guarded": canary.guard is not None,
        "seen": numbers(rollout.guard),
        "why": rollout.why,
    }


def events(rollouts: Rollouts, service: str) -> list[Told]:
    """Return what has happened to a service's rollouts, oldest first."""
    return [told for told in rollouts.told if told.service == service]


def metrics(insight: Insight) -> Iterator[Metric]:
    """Yield the metrics of all rollouts."""
    percent = GaugeMetricFamily("activator_canary_percent", "Of the service's traffic, now", labels=LABELS)
    phase = GaugeMetricFamily("activator_canary_phase", "1 for the phase it is in", labels=(*LABELS, "phase"))
    text = "That it is worse, a decimal logarithm: 2 = by chance at most once in 100"
    evidence = GaugeMetricFamily("activator_canary_evidence", text, labels=(*LABELS, "test"))
    moved = CounterMetricFamily("activator_canary_events", "What happened to it", labels=(*LABELS, "kind"))
    fallbacks = CounterMetricFamily("activator_canary_fallbacks", "Answered by the stable revision", labels=LABELS)
    rollouts = insight.rollouts
    for service, canary in rollouts.canaries.items():
        labels, rollout = [service, canary.revision], rollouts.rollouts[service]
        percent.add_metric(labels, rollouts.shares(service)[0])
        for each in Phase:
            phase.add_metric([*labels, each], rollout.phase is each)
        for test, strength in numbers(rollout.guard)["evidence"].items():
            evidence.add_metric([*labels, test], strength)
        fallbacks.add_metric(labels, _fallbacks(insight, canary.revision))
    for (service, revision, kind), count in sorted(rollouts.events.items()):
        moved.add_metric([service, revision, kind], count)
    yield from (percent, phase, evidence, moved, fallbacks)


def _fallbacks(insight: Insight, revision: str) -> int:
    counters = insight.router.counters.revisions.get(revision)
    return counters.fallbacks if counters is not None else 0
