"""The README's promises that a machine can check: its files load, its commands, links and chapters exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from activator.cli import app
from activator.settings.load import settings_of
from activator.settings.source import parse
from router.errors import STATUS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[str]:
    """Return the arguments of every call of `program` in the README's shell blocks."""
    lines = "".join(blocks("sh")).splitlines()
    calls = [re.search(rf"(?:^|\| ){program} ([^#|]+)", line) for line in lines]
    return [call[1].strip() for call in calls if call]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_configuration_in_the_readme_loads(text: str) -> None:
    assert settings_of(parse(text, "README.md"), ROOT).services


@pytest.mark.parametrize("line", commands("activator"))
def test_a_command_in_the_readme_is_one_with_its_options(line: str) -> None:
    name, *arguments = shlex.split(line)
    group: Any = get_command(app)

    group.commands[name].make_context(name, arguments)


def test_the_readme_names_every_command() -> None:
    group: Any = get_command(app)

    assert {line.split()[0] for line in commands("activator")} == set(group.commands)


@pytest.mark.parametrize("target", commands("make"))
def test_a_target_in_the_readme_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


PAGES = sorted(page for at in (".", "docs", "deploy", "examples") for page in (ROOT / at).glob("*.md"))


def anchors(page: Path) -> set[str]:
    """Return the names by which GitHub leads to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_in_any_page_leads_to_a_file_and_its_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        if ":" not in path:
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


MAP = (ROOT / "ARCHITECTURE.md").read_text()
MODULES = [path for package in ("router", "activator") for path in sorted((ROOT / package).rglob("[!_]*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_map_names_every_module_or_the_directory_that_it_is_in(path: Path) -> None:
    inner = path.relative_to(ROOT).parts[1:-1]
    names = [rf"\b{path.name}", *(rf"\b{directory}/`" for directory in inner)]

    assert any(re.search(name, MAP) for name in names)


@pytest.mark.parametrize("title", re.findall(r"^\d\. (.+)$", README, re.MULTILINE))
def test_a_chapter_in_the_readme_is_one_of_the_demo(title: str) -> None:
    assert f'chapter("{title}")' in (ROOT / "examples" / "demo.py").read_text()


@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_the_readme_compiles(text: str) -> None:
    compile(text, "README.md", "exec")


OPERATIONS = (ROOT / "docs" / "operations.md").read_text().partition("| event |")[2].partition("## ")[0]
SOURCES = "".join(path.read_text() for path in MODULES)


@pytest.mark.parametrize("cell", re.findall(r"^\| (`.*?) \|", OPERATIONS, re.MULTILINE))
def test_an_event_in_the_guide_to_operations_is_one_of_the_log(cell: str) -> None:
    for event in re.findall(r"`([^`]+)`", cell):
        assert f'"{event}"' in SOURCES


GUIDE = (ROOT / "docs" / "models.md").read_text()


@pytest.mark.parametrize("text", blocks("yaml", GUIDE))
def test_a_configuration_in_the_guide_to_models_loads(text: str) -> None:
    assert settings_of(parse(text, "models.md"), ROOT).services


@pytest.mark.parametrize("text", blocks("python", GUIDE))
def test_python_in_the_guide_to_models_compiles(text: str) -> None:
    compile(text, "models.md", "exec")


CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("text", [text for text in blocks("yaml", CONFIGURATION) if "services:" in text])
def test_a_configuration_in_the_guide_to_the_file_loads(text: str) -> None:
    assert settings_of(parse(text, "configuration.md"), ROOT).services


def test_the_guide_to_the_file_has_every_reason_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (`[a-z_`, ]+`) \|", CONFIGURATION, re.MULTILINE)

    assert {reason: int(status) for status, reasons in rows for reason in re.findall(r"[a-z_]+", reasons)} == STATUS
