"""What is wrong with a configuration file, said so that it can be put right without reading this code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Location = tuple[str | int, ...]

_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before it is tied to a file; worth telling only if none of `needs` is damaged itself."""

    at: Location
    message: str
    value: str = ""
    allowed: str = ""
    suggestion: str = ""
    needs: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right: where, what, and what would be allowed.

    `path` is as in `services[0].hosts`, `line` counts from 1, `subject` names the service or revision it lies in.
    """

    file: str
    path: str
    message: str
    line: int | None = None
    subject: str = ""
    value: str = ""
    allowed: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        hints = (
            f"got {self.value}" if self.value else "",
            f"allowed: {self.allowed}" if self.allowed else "",
            f"did you mean {self.suggestion}?" if self.suggestion and _is_short(self.suggestion) else "",
        )
        notes = "; ".join(hint for hint in hints if hint)
        path = f"{self.path} ({_key(self.subject)})".lstrip() if self.subject else self.path
        text = ": ".join(part for part in (place, path, self.message) if part)
        return f"{text} ({notes})" if notes else text


class SettingsError(Exception):
    """A file that cannot be used. `problems` has all of them, in the order of their lines; `files` are those that it
    names, of which one may be what is wrong."""

    def __init__(self, problems: Iterable[Problem], files: Iterable[Path] = ()) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        self.files: Sequence[Path] = tuple(files)
        super().__init__("\n".join(map(str, self.problems)))


def path_of(location: Location) -> str:
    """Return a location as people write it: `services[0].revisions[1].autoscaling.min-scale`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in location]
    return "".join(parts).removeprefix(".")


def shown(value: object) -> str:
    """Return a value on one line, printable and not too long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else _text(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def counted(counts: Mapping[str, int]) -> str:
    """Return numbers of things, by what one of them is called, in words."""
    return ", ".join(f"{count} {name}" if count == 1 else f"{count} {name}s" for name, count in counts.items())


def _text(value: object) -> str:
    if isinstance(value, str):
        return repr(value) if value.isprintable() else ascii(value[: 2 * _LONGEST_VALUE])
    if isinstance(value, int):
        return str(value) if value.bit_length() < 128 else "a very large number"
    return repr(value).removesuffix(".0")


def _is_short(text: str) -> bool:
    return len(text) <= 2 * _LONGEST_VALUE and text.isprintable()


def _key(part: str) -> str:
    plain = part.replace("-", "").replace("_", "").replace("/", "").replace(".", "")
    return part if plain.isalnum() and plain.isascii() and len(part) <= _LONGEST_VALUE else shown(part)
