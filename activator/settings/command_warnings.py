"""Commands that will not do what is meant: those that only a shell would understand, and those that are not there.

They are warnings: what is not on this machine may be on the one where the edge runs.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.settings.schema import Revision, Settings

SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "fish"}
OPERATORS = {"|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1"}
_VARIABLE = re.compile(r"\S*?(\$(?:[A-Z_][A-Z0-9_]*|\{[A-Z_][A-Z0-9_]*\}))\S*")  # not within a program, as of python -c
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")


def warnings(settings: Settings, path: str) -> Iterator[str]:
    """Yield in sentences which commands of local replicas will not work; `path` is where programs are looked up."""
    if settings.scaler != "process":
        return
    for service in settings.services:
        for revision in service.revisions:
            for told in (_shell(revision.command), _missing(revision, path)):
                if told:
                    yield f"the command of {revision.name} {told}"


def _shell(command: tuple[str, ...]) -> str:
    """Return what of a command needs a shell, "" if it has one."""
    if any(PurePath(word).name in SHELLS for word in command):
        return ""
    words = [command[0]] if command and _ASSIGNMENT.fullmatch(command[0]) else []
    words += [word for word in command if word in OPERATORS]
    words += [found[1] for word in command if (found := _VARIABLE.fullmatch(word))]
    if not words:
        return ""
    return f"has {words[0]!r}, which only a shell understands, and none runs it: write [sh, -c, 'exec ...']"


def _missing(revision: Revision, path: str) -> str:
    """Return which program or directory is not here, "" if both are."""
    if not os.path.isdir(revision.directory):  # noqa: PTH112 - Path raises where it may not look
        return f"is to run in {str(revision.directory)!r}, which is no directory here"
    program = revision.command[0] if revision.command else ""
    if _ASSIGNMENT.fullmatch(program):
        return ""
    path = revision.env.get("PATH", path)
    file = os.path.exists(revision.directory / program)  # noqa: PTH110 - as above
    there = file if os.sep in program else shutil.which(program, path=path)
    return "" if there or not program else f"names {program!r}, which is not found here"
