"""`check` warns of commands that only a shell would understand, and of those that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from activator.settings.command_warnings import warnings
from activator.settings.load import settings_of
from activator.settings.source import parse
from tests.activator.settings.files import small, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with the programs that are installed, `model` and `sh`."""
    for name in ("model", "sh"):
        (tmp_path / name).touch(mode=0o755)
    return tmp_path


def told(here: Path, command: Any, **keys: Any) -> list[str]:
    data = small()
    data["services"][0]["revisions"][0] |= {"command": command, **keys}
    return list(warnings(settings_of(parse(written(data), ""), here), str(here)))


@pytest.mark.parametrize(
    "command",
    [
        "model --port 8000",
        ["./model", "--price", "$5", "a|b", "{{.Name}}"],
        ["sh", "-c", "exec model --port $PORT | tee log"],
        ["/usr/bin/env", "bash", "-c", "FOO=1 exec model"],
        ["model", "--set", "A=1"],
        ["model", "-c", "import sys; print('$HOME')"],
    ],
)
def test_a_command_that_will_work_is_not_warned_of(here: Path, command: Any) -> None:
    assert [each for each in told(here, command) if "/usr/bin/env" not in each] == []


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("model --port $PORT", "$PORT"),
        ("model --url=http://0.0.0.0:${PORT}/", "${PORT}"),
        ("model | tee log", "|"),
        ("cd /x && model", "&&"),
        ("A=1 model", "A=1"),
    ],
)
def test_what_only_a_shell_understands_is_told_with_how_to_have_one(here: Path, command: str, word: str) -> None:
    assert f"the command of m-1 has {word!r}, which only a shell understands" in told(here, command)[0]
    assert "write [sh, -c, 'exec ...']" in told(here, command)[0]


@pytest.mark.parametrize("program", ["vllm", "bin/model", "/nowhere/model"])
def test_a_program_that_is_not_found_is_told(here: Path, program: str) -> None:
    assert told(here, [program]) == [f"the command of m-1 names {program!r}, which is not found here"]


def test_a_program_is_looked_up_by_the_revisions_own_path(here: Path) -> None:
    assert told(here, ["model"], env={"PATH": "/nowhere"}) != []


def test_a_directory_that_is_not_there_is_told(here: Path) -> None:
    (warning,) = told(here, ["model"], directory="nowhere")
    assert warning == f"the command of m-1 is to run in '{here}/nowhere', which is no directory here"


def test_a_directory_or_program_that_cannot_be_looked_for_is_told(here: Path) -> None:
    assert "no directory here" in told(here, ["model"], directory="x" * 300)[0]
    assert "not found here" in told(here, [f"./{'x' * 300}"])[0]


@pytest.mark.parametrize("scaler", ["memory", "kubernetes"])
def test_a_command_that_nobody_runs_is_not_looked_at(here: Path, scaler: str) -> None:
    settings = settings_of(parse(written(small(scaler=scaler)), ""), here)
    assert list(warnings(settings, "/nowhere")) == []
