"""The size of the house: a reader must be able to hold a module and a function in the head."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for package in ("router", "activator") for path in (ROOT / package).rglob("*.py"))
MODULE_LINES = 400
FUNCTION_LINES = 60
POSITIONAL = 5


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_fits_into_the_house(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES
    for function in _functions(path):
        assert (function.end_lineno or 0) - function.lineno < FUNCTION_LINES, function.name
        arguments = [
            each for each in (*function.args.posonlyargs, *function.args.args) if each.arg not in {"self", "cls"}
        ]
        assert len(arguments) <= POSITIONAL, function.name


def test_most_functions_are_short() -> None:
    lengths = sorted((f.end_lineno or 0) - f.body[0].lineno + 1 for path in SOURCES for f in _functions(path))
    assert lengths[len(lengths) * 9 // 10] <= 25


def test_only_the_supervisor_of_tasks_and_named_exceptions_create_tasks() -> None:
    allowed = {"router/tasks.py", "router/pool.py", "activator/scalers/fleet.py", "activator/scalers/process.py"}
    callers = {str(path.relative_to(ROOT)) for path in SOURCES if "create_task(" in path.read_text()}
    assert callers <= allowed, callers - allowed


# What decides, routes and scales knows services and revisions; where they come from is the catalog's affair. Only who
# else writes replicas, and how to stop him, must have a name.
NAMES_OTHERS = "owners.py"
NEUTRAL = [
    *(ROOT / "router").rglob("*.py"),
    *(ROOT / "activator" / "kpa").rglob("*.py"),
    *(ROOT / "activator" / "scalers").rglob("*.py"),
    *(ROOT / "activator" / f"{name}.py" for name in ("collect", "lifecycle", "loop", "revision", "state", "usage")),
]
FOREIGN = re.compile(
    r"inference[-_ ]?service|isvc|kserve|kfserving|predictor|transformer|explainer|ksvc|serving\.knative"
    r"|knative service|catalog\.manifests",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", NEUTRAL, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_decides_routes_and_scales_knows_nothing_of_where_services_come_from(path: Path) -> None:
    assert path.name == NAMES_OTHERS or FOREIGN.findall(path.read_text()) == []
