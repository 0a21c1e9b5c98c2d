"""CPU per proxied request, of this router beside its peers, in one run on one machine.

Each proxy has one core to itself; the model and wrk share the other one. The proxies take turns, many rounds of two
seconds, so that whatever else happens on the machine meets all of them. The least CPU of a proxy's rounds is the
figure to compare: noise only adds. Run `python -m benchmarks proxies` (--quick for a first impression).
"""

from __future__ import annotations

import http.client
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.field import scratch, start_peers
from benchmarks.load import SCENARIOS, Scenario, Wrk
from benchmarks.models import reading_model, small_model
from benchmarks.processes import cores, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.field import Started

WARM_SECONDS = 1


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 8
    seconds: int = 2


QUICK = Plan(rounds=2, seconds=1)


@dataclass(frozen=True)
class Sample:
    """One proxy's round."""

    requests: int
    seconds: float
    cpu_seconds: float
    errors: int
    p99_ms: float


def measure(plan: Plan, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Return every scenario's figures by peer, and what was skipped and why. Absent without wrk."""
    skipped: dict[str, str] = {}
    with scratch() as directory:
        results = {scenario.name: _scenario(scenario, plan, directory, skipped, tell) for scenario in SCENARIOS}
    return {"scenarios": results, "skipped": skipped, "rounds": plan.rounds, "seconds": plan.seconds}


def summarize(samples: list[Sample], scenario: Scenario) -> dict[str, Any]:
    """Return the figures of one peer: CPU microseconds per request, or MB per CPU second where bodies are large."""
    costs = [sample.cpu_seconds / sample.requests * 1e6 for sample in samples]
    rates = [sample.requests / sample.seconds for sample in samples]
    figures = {
        "cpu_us_min": min(costs),
        "cpu_us_median": median(costs),
        "requests_per_second_max": max(rates),
        "requests_per_second_median": median(rates),
        "core_used": median(sample.cpu_seconds / sample.seconds for sample in samples),
        "p99_ms_min": min(sample.p99_ms for sample in samples),
    }
    if scenario.moved:
        figures |= {"mb_per_cpu_second_max": scenario.moved / min(costs)}
        figures |= {"mb_per_cpu_second_median": scenario.moved / median(costs)}
    rounded: dict[str, Any] = {name: float(f"{value:.4g}") for name, value in figures.items()}
    return rounded | {"errors": sum(sample.errors for sample in samples), "samples": [asdict(s) for s in samples]}


def _scenario(
    scenario: Scenario, plan: Plan, directory: Path, skipped: dict[str, str], tell: Callable[[str], None]
) -> dict[str, Any]:
    other_core = cores()[1]
    wrk = Wrk(scenario, other_core, directory)
    with ExitStack() as stack:
        model = reading_model if scenario.moved and scenario.body else small_model
        upstream = model(directory, stack)
        proxies = start_peers(upstream, directory, skipped, stack)
        for name, proxy in proxies.items():
            _check(name, proxy.port, scenario)
            wrk.run(proxy.port, WARM_SECONDS)
        samples: dict[str, list[Sample]] = {name: [] for name in proxies}
        for number in range(plan.rounds):
            tell(f"{scenario.title}: round {number + 1} of {plan.rounds}")
            for name, proxy in proxies.items():
                samples[name].append(_round(wrk, proxy, plan.seconds))
    return {name: summarize(of_one, scenario) for name, of_one in samples.items()}


def _round(wrk: Wrk, proxy: Started, seconds: int) -> Sample:
    before = cpu_seconds(proxy.pid)
    told = wrk.run(proxy.port, seconds)
    used = cpu_seconds(proxy.pid) - before
    return Sample(told.requests, round(told.seconds, 3), round(used, 2), told.errors, told.p99_ms)


def _check(name: str, port: int, scenario: Scenario) -> None:
    """RuntimeError unless a request of the scenario is answered properly."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(scenario.method, scenario.path, bytes(scenario.body), dict(scenario.headers))
        answer = connection.getresponse()
        size = len(answer.read())
    finally:
        connection.close()
    if answer.status != 200 or (scenario.moved and not scenario.body and size != scenario.moved):
        raise RuntimeError(f"{name} answers {scenario.title} with {answer.status} and {size} bytes")
