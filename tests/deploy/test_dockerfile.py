"""The Dockerfile, as far as it can be shown without a daemon: its steps work for a user without rights."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.deploy.dockerfile import NOBODY, Machine, parse
from tests.deploy.manifests import DEPLOY, ROOT, edge_container

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
STAGES = parse(DOCKERFILE)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A directory that somebody without rights can reach, unlike pytest's own."""
    found = Path(tempfile.mkdtemp(prefix="image-"))
    yield found
    shutil.rmtree(found)


def test_the_edge_is_what_is_built_when_nothing_is_said() -> None:
    assert list(STAGES)[-1] == "edge"


@pytest.mark.parametrize("name", ["edge", "models"])
def test_images_are_slim_and_run_as_nobody(name: str) -> None:
    stage = STAGES[name]
    assert stage.base.endswith("-slim")
    assert stage.user == f"{NOBODY}:{NOBODY}"
    assert not [rest for instruction, rest in stage.steps if instruction == "RUN"], "tools stay in the build stage"


def test_the_image_does_what_the_manifests_ask_it_to() -> None:
    stage, container = STAGES["edge"], edge_container("base")
    assert stage.entrypoint == ["activator"]
    assert stage.command == container["args"]
    assert "command" not in container


def test_the_python_of_the_image_is_one_that_the_project_supports() -> None:
    assert {stage.base for stage in STAGES.values() if stage.base not in STAGES} == {"python:3.11-slim"}


def test_all_that_is_copied_is_there_and_not_ignored() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = [rest.split()[:-1] for stage in STAGES.values() for kind, rest in stage.steps if kind == "COPY"]
    sources = {source for words in copied for source in words if not words[0].startswith("--from")}
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_steps_of_the_edge_work_for_a_user_without_rights(root: Path) -> None:
    machine = Machine(root, ROOT)
    machine.run(STAGES, "edge")
    env = STAGES["edge"].env
    assert "activator" in machine.shell("command -v activator", env)
    config = yaml.safe_load((DEPLOY / "base" / "config.yaml").read_text())
    (root / "config.yaml").write_text(yaml.safe_dump(config))
    (root / "config.yaml").chmod(0o644)
    assert "good (0 services, 0 revisions)" in machine.shell(f"activator check {root}/config.yaml", env)
    assert "gpu-180s" in machine.shell("activator schema", env), "the presets are in the package"
    where = machine.shell(
        "cd / && python -c 'import activator, router; print(activator.__file__, router.__file__)'", env
    )
    assert all(path.startswith(f"{root}/opt/venv/") for path in where.split())
