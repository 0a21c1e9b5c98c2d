"""Tables of what was measured, in Markdown: to be read in a terminal and pasted into docs/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.coldstart import MEDIAN_BUDGET_MS, P99_BUDGET_MS
from benchmarks.decision import SPECS
from benchmarks.load import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.load import Scenario

QUIET = 0.1  # share of busy cores up to which a result is worth keeping
DECISION_BUDGET_US, DECISIONS_BUDGET_SECONDS = 50.0, 1.0
BOUNDS = (("go", 0.75, "required"), ("sketch", 1.5, "required"), ("go", 0.6, "aim"), ("haproxy", 1.5, "aim"))


class Report:
    """Prints tables and verdicts; `missed` are the required budgets that were not kept."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        self._console = Console(highlight=False, markup=False, width=160)

    def machine(self, machine: dict[str, Any]) -> None:
        """Print where and when."""
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        self.say(f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, {machine['kernel']}.")
        self.say(f"Versions: {versions}.")
        self.say(f"Other work kept {machine['busy_before']:.0%} of the cores busy just before.{_warning(machine)}\n")

    def proxies(self, figures: dict[str, Any]) -> None:
        """Print one table per scenario, then the verdicts."""
        for scenario in SCENARIOS:
            if scenario.name in figures["scenarios"]:
                self._scenario(scenario, figures["scenarios"][scenario.name])
        self.skipped(figures)
        for scenario in SCENARIOS:
            if not scenario.moved:
                self._bounds(scenario, figures["scenarios"].get(scenario.name, {}))
        self.say("")

    def cold_starts(self, figures: dict[str, Any]) -> None:
        """Print the parts of a cold start and the verdicts."""
        parts = {name: part for name, part in figures.items() if name != "starts"}
        rows = [
            (name.replace("_", " "), *(f"{part[key]:.1f}" for key in ("median", "p99", "max")))
            for name, part in parts.items()
        ]
        self.table(f"{figures['starts']} cold starts, milliseconds", ("part", "median", "p99", "max"), rows)
        overhead = figures["overhead"]
        for key, budget in (("median", MEDIAN_BUDGET_MS), ("p99", P99_BUDGET_MS)):
            self.judge(f"{key} overhead {overhead[key]:.1f} ms, required below {budget:g} ms", overhead[key] < budget)
        self.say("")

    def decisions(self, figures: dict[str, float]) -> None:
        """Print what a decision costs, and the verdicts."""
        many = figures["seconds_per_10000_revisions"]
        for name in SPECS:
            cost = figures[f"{name}_us_per_revision"]
            text = (
                f"one decision, {name.replace('_', ' ')}: {cost:.1f} us of CPU, required below {DECISION_BUDGET_US:g}"
            )
            self.judge(text, cost < DECISION_BUDGET_US)
        self.judge(
            f"10,000 decisions: {many:.3f} s, required below {DECISIONS_BUDGET_SECONDS:g}",
            many < DECISIONS_BUDGET_SECONDS,
        )

    def skipped(self, figures: dict[str, Any]) -> None:
        """Print what was skipped, and how to get it."""
        for name, why in figures.get("skipped", {}).items():
            self.say(f"Skipped: {name}. {why}")

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)

    def _bounds(self, scenario: Scenario, peers: dict[str, Any]) -> None:
        for peer, bound, kind in BOUNDS:
            if peer in peers:
                ratio = peers["router"]["cpu_us_min"] / peers[peer]["cpu_us_min"]
                told = f"{scenario.title}: router at {ratio:.2f} x {peer}, {kind} {bound:g}"
                self.judge(told, ratio <= bound, counts=kind == "required" and not scenario.differs)

    def _scenario(self, scenario: Scenario, peers: dict[str, Any]) -> None:
        if scenario.moved:
            columns = ("proxy", "MB per CPU second, best", "median", "router uses", "requests/s", "core used", "errors")
            keys = ("mb_per_cpu_second_max", "mb_per_cpu_second_median")
        else:
            columns = (
                "proxy",
                "CPU us per request, least",
                "median",
                "router uses",
                "requests/s",
                "core used",
                "errors",
            )
            keys = ("cpu_us_min", "cpu_us_median")
        router = peers["router"]["cpu_us_min"]
        rows = [
            (
                name,
                *(f"{peer[key]:,.1f}" if peer[key] < 100 else f"{peer[key]:,.0f}" for key in keys),
                f"{router / peer['cpu_us_min']:.2f} x",
                f"{peer['requests_per_second_median']:,.0f}",
                f"{peer['core_used']:.0%}",
                str(peer["errors"]),
            )
            for name, peer in peers.items()
        ]
        self.table(f"{scenario.title}, {scenario.connections} connections", columns, rows)

    def judge(self, text: str, met: bool, *, counts: bool = True) -> None:
        """Say whether a bound is met; one that counts is remembered when it is missed."""
        self.say(f"{'met   ' if met else 'missed'}  {text}")
        if counts and not met:
            self.missed.append(text)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table, its first column to the left and the others to the right."""
        table = Table(box=box.MARKDOWN)
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        self.say(title)
        self._console.print(table)


def _warning(machine: dict[str, Any]) -> str:
    return " That is too much: costs are too high and ratios uncertain." if machine["busy_before"] > QUIET else ""
