"""Runs the steps of a Dockerfile without building an image: in a directory, as a user without rights.

Absolute paths are taken to lie in that directory, which all stages share, so that what one stage copies from another is
where it was made: virtual environments do not like to be moved. Base images are not pulled: `python` is this one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65532
PYTHONS = (sys.executable, "/usr/local/bin/python3.11", "/usr/bin/python3.11")


@dataclass
class Stage:
    """A stage: its steps, and what they leave behind for whoever runs it."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def parse(text: str) -> dict[str, Stage]:
    """Return the stages by name, in order."""
    stages: dict[str, Stage] = {}
    current = Stage("")
    joined = re.sub(r"\\\n", " ", text)
    for line in (each.strip() for each in joined.splitlines()):
        if not line or line.startswith("#"):
            continue
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = stages[name] = Stage(base)
        elif instruction == "ENV":
            current.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif instruction == "USER":
            current.user = rest
        elif instruction in {"ENTRYPOINT", "CMD"}:
            words = json.loads(rest)
            current.entrypoint, current.command = (
                (words, current.command) if instruction == "ENTRYPOINT" else (current.entrypoint, words)
            )
        else:
            current.steps.append((instruction, rest))
    return stages


class Machine:
    """A directory that is taken for the file system of the image; sources are copied from `context`."""

    def __init__(self, root: Path, context: Path) -> None:
        self.root = root
        self.context = context
        self.where = root
        self.copied: list[str] = []
        self._give_away(root)
        (root / "bin").mkdir()
        (root / "bin" / "python").symlink_to(_python())

    def run(self, stages: dict[str, Stage], name: str) -> None:
        """Do what builds stage `name`, and those that it is made from."""
        stage = stages[name]
        if stage.base in stages:
            self.run(stages, stage.base)
        for instruction, rest in stage.steps:
            if instruction == "WORKDIR":
                self.where = self._inside(rest)
                self.where.mkdir(parents=True, exist_ok=True)
                self._give_away(self.where)
            elif instruction == "COPY" and rest.startswith("--from="):
                self._copy_from(stages, rest)
            elif instruction == "COPY":
                self._copy(rest)
            elif instruction == "RUN":
                self.shell(rest, {})
            elif instruction != "EXPOSE":
                raise AssertionError(f"{instruction} is not known here")

    def shell(self, command: str, env: dict[str, str]) -> str:
        """Run a command as a user without rights, and return what it prints."""
        text = re.sub(r"(?<![\w.])/(opt|src)\b", lambda found: f"{self.root}/{found[1]}", command)
        path = f"{self.root}/bin:/usr/bin:/bin"
        inside = {key: value.replace("/opt", f"{self.root}/opt").replace("$PATH", path) for key, value in env.items()}
        kept = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key.endswith("_proxy")}
        done = as_nobody(["/bin/sh", "-ec", text], self.where, {"PATH": path, "HOME": str(self.root), **kept, **inside})
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def _copy_from(self, stages: dict[str, Stage], rest: str) -> None:
        source, made, into = rest.removeprefix("--from=").split()
        assert made == into, "stages share one file system here"
        self.run(stages, source)
        assert self._inside(made).exists(), rest

    def _copy(self, rest: str) -> None:
        *sources, into = rest.split()
        target = self._inside(into)
        for source in sources:
            self.copied.append(source)
            place = target / source if into.endswith("/") else target
            if (self.context / source).is_dir():
                shutil.copytree(self.context / source, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(self.context / source, place)
            self._give_away(place)

    def _inside(self, path: str) -> Path:
        return self.root / path[1:] if path.startswith("/") else self.where / path

    def _give_away(self, path: Path) -> None:
        if os.geteuid() == 0:
            for each in (path, *path.rglob("*")):
                os.chown(each, NOBODY, NOBODY, follow_symlinks=False)


def as_nobody(command: list[str], where: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command without rights: as somebody else, if we are root."""
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False, **who)


def _python() -> str:
    """Return a Python that somebody without rights may run, and that can make virtual environments."""
    for each in PYTHONS:
        try:
            if as_nobody([each, "-m", "ensurepip", "--version"], Path("/"), {}).returncode == 0:
                return each
        except OSError:
            continue
    pytest.skip(f"none of {', '.join(PYTHONS)} is there for everyone, with venv")
