"""docs/canaries.md: its files load, its commands exist, and its example happens as it is told."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from activator.cli import app
from activator.settings.canary import Canary
from activator.settings.load import settings_of
from activator.settings.source import parse
from tests.journeys.services import configuration
from tests.journeys.test_canaries import told

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge

PAGE = (Path(__file__).parents[2] / "docs" / "canaries.md").read_text()
CLOCK = re.compile(r"^\d\d:\d\d:\d\d  ")
NUMBER = re.compile(r"\b\d[\d.]*(e-\d+)?\b")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def shape(line: str) -> str:
    """Return a line without its time and its numbers, but for those in the names of revisions."""
    return NUMBER.sub("#", CLOCK.sub("", line))


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_configuration_on_the_page_loads(text: str) -> None:
    assert settings_of(parse(text, "canaries.md"), Path("/srv")).services


@pytest.mark.parametrize("line", re.findall(r"^activator ([^#&\n]+)", "".join(blocks("sh")), re.MULTILINE))
def test_a_command_on_the_page_is_one_with_its_options(line: str) -> None:
    name, *arguments = shlex.split(line)
    group: Any = get_command(app)
    group.commands[name].make_context(name, arguments)


def test_the_page_tells_of_every_key() -> None:
    mentioned = PAGE.replace("`guard` and the keys behind it", "guard-window")
    assert [key for key in Canary.fields_by_key() if key not in mentioned] == []


def example(edge_directory: Path) -> dict[str, Any]:
    """Put the example's files where the edge can be started on them; return the configuration."""
    edge_directory.joinpath("model.py").write_text(blocks("python")[0])
    service: dict[str, Any] = parse(blocks("yaml")[1], "canary.yaml").data["services"][0]
    for revision in service["revisions"]:
        revision["command"] = [sys.executable if word == "python" else word for word in revision["command"]]
        revision["directory"] = str(edge_directory)
    return configuration(service, autoscaling={"scale-to-zero-grace-period": "30m"})


async def happened(edge: Edge, kind: str) -> None:
    async def seen() -> bool | None:
        await edge.requests("greeter", *["/"] * 20)
        return any(line["kind"] == kind for line in edge.logs("canary")) or None

    await edge.eventually(seen)


async def test_the_example_happens_as_it_is_told(serve: Serve, tmp_path: Path) -> None:
    config = example(tmp_path)
    edge = serve(config)
    await edge.ready("greeter", 1, revision=1)
    await happened(edge, "rolled-back")
    expected = [shape(line) for line in blocks("text")[0].splitlines()]
    found = [shape(line) for line in told(edge, "explain", "greeter", "--last", "1000").splitlines()]
    assert [line for line in found if "  canary " in line] == expected[1:]
    assert found[0] == expected[0]
    assert "0 % (canary rolled-back)" in told(edge, "status")
    await edge.ready("greeter", 0, revision=1)
    config["services"][0]["revisions"][1]["command"][-1] = "0"
    await edge.reload(config)
    await edge.ready("greeter", 1, revision=1)
    assert told(edge, "promote", "greeter") == blocks("text")[1]
    answers = await edge.requests("greeter", *["/"] * 50)
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"good\n")}
