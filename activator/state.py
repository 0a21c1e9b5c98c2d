"""What must survive a restart, in one file that is replaced atomically: windows, panic, life and idle clocks.

Ages are saved, not times, because the clock that decisions use means nothing in another process. Windows and panic
continue as if no time had passed, since nobody counted meanwhile; idle clocks go on, since nobody came.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from activator.kpa import checks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
LATEST = 1e12
FILE = "revisions.json"


class StateError(Exception):
    """A saved state cannot be used; the message says which file and why."""


class UnreadableError(StateError):
    """A file cannot be read now, whatever is in it; that may pass."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What an earlier run left: its revisions by name, as saved, and how many seconds ago that was."""

    revisions: Mapping[str, Any]
    age: float


def write_json(path: Path, data: Mapping[str, Any] | tuple[bytes, ...]) -> None:
    """Replace `path` by `data`, or by the parts of its text, so that a reader, also one after a crash, sees the old or
    the new one whole. OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    parts = data if isinstance(data, tuple) else map(str.encode, json.JSONEncoder().iterencode(data))
    with draft.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> Any:
    """Return what `path` holds, None when it does not exist. UnreadableError; StateError when it is no JSON."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableError(f"{path}: the saved state cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise StateError(f"{path}: the saved state cannot be read ({error})") from error


def set_aside(path: Path) -> Path | None:
    """Rename a file that cannot be used, so that it can be looked at later, and beside earlier ones; return its new
    name, None if it stays."""
    number, aside = 1, path.with_suffix(".unusable")
    try:
        while aside.exists():
            number += 1
            aside = path.with_suffix(f".{number}.unusable")
        return path.replace(aside)
    except OSError:
        return None


def load(directory: Path, wall: float) -> Saved:
    """Return what was saved; nothing when there is none. StateError when it is damaged or of another version."""
    path = directory / FILE
    return parse(read_json(path), str(path), wall)


def written(revisions: Mapping[str, Any], wall: float) -> dict[str, Any]:
    """Return all revisions at `wall` (Unix seconds) as they are saved."""
    return {"version": VERSION, "saved_at": wall, "revisions": dict(revisions)}


def parse(data: Any, where: str, wall: float) -> Saved:
    """Return what `written` gave earlier; nothing for None. StateError that names `where` when it is not like that."""
    if data is None:
        return Saved({}, 0.0)
    try:
        if data["version"] != VERSION:
            raise StateError(f"{where}: version {data['version']!r} is not {VERSION}")
        saved_at = checks.number(data["saved_at"], "saved_at", 0, LATEST)
        return Saved(dict(data["revisions"]), max(0.0, wall - saved_at))
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"{where}: the saved state is damaged ({error!r})") from error
