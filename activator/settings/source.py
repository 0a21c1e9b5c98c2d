"""From bytes to plain data, with the line of every key. It reads the safe half of YAML and says so about the rest.

What is written is what is meant: `no`, `on`, `1:30`, `012` and dates stay text (YAML 1.2). A key written twice is an
error, and so are aliases, tags and deep nesting, which only serve to make a small file huge. Files for Kubernetes may
have several documents, and aliases (see `aliases`).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from activator.settings.aliases import expanded, with_merges
from activator.settings.problems import Finding, Location, Problem, SettingsError, path_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeVar

    Read = TypeVar("Read")

UNREADABLE = "cannot be read"
MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_DEPTH_OF_DOCUMENTS = 50

_TOO_DEEP = "nested too deep"
_ALIAS = "aliases (*name) are not supported"
_PREFIX = "tag:yaml.org,2002:"
_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "null": lambda _: None,
}
_FIXES = {  # by what PyYAML says
    "character '\\t'": "indent with spaces, not tabs",
    "expected <block end>": "indent it as its neighbours are",
    "mapping values are not allowed": "indent it as its neighbours are, or put a text with a colon in quotes",
    "unexpected end of stream": "close the quote",
    "that cannot start any token": "put a text that begins with it in quotes",
}
_INDENT = re.compile(r"^\t+", re.MULTILINE)
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is in the wheels, and ten times as fast
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
_FORMS: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # of YAML 1.2's core schema, by their first character
for _name, _form, _firsts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", rf"{_FLOAT}|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
):
    for _first in _firsts:
        _FORMS.setdefault(_first, []).append((_name, re.compile(_form)))


@dataclass(slots=True)
class Source:
    """A file's data as dicts, lists and scalars; `lines` counts from 1; `findings` are what YAML
    allows but we do not, `damaged` the places whose value was lost by it. `max_depth` is how deep values may lie.
    """

    file: str
    data: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    damaged: list[Location] = field(default_factory=list)
    max_depth: int = MAX_DEPTH

    def line(self, at: Location) -> int | None:
        """Return the line of `at`, or of the nearest thing around it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at)

    def subject(self, at: Location) -> str:
        """Return the name of the service or revision that `at` lies in, "" outside of one."""
        name, data = "", self.data
        for part in at:
            inside = isinstance(data, list) if isinstance(part, int) else isinstance(data, dict) and part in data
            if not inside:
                break
            data = data[part]
            if isinstance(part, int) and isinstance(data, dict) and isinstance(data.get("name"), str):
                name = data["name"]
        return name

    def problem(self, finding: Finding) -> Problem:
        """Return the finding with its place in this file."""
        return Problem(
            file=self.file,
            path=path_of(finding.at),
            message=finding.message,
            line=self.line(finding.at),
            subject=self.subject(finding.at),
            value=finding.value,
            allowed=finding.allowed,
            suggestion=finding.suggestion,
        )


def read(path: Path) -> Source:
    """Return what a file says. SettingsError if it cannot be read, is no text, is too large or no YAML."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text of a file. SettingsError if it cannot be read, is no text or too large. A pipe to which nobody
    writes is empty: who waited for it would never come to read the file that is there next."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            os.set_blocking(file.fileno(), True)
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), f"{UNREADABLE}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise _unreadable(str(path), "is larger than 1 MiB")
    return decoded(content, str(path))


def decoded(content: bytes, file: str) -> str:
    """Return the text of a file's content. SettingsError if it is no text."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"is not UTF-8 text (byte {error.start})") from None


def parse(text: str, file: str) -> Source:
    """Return what `text` says. SettingsError if it is empty or no YAML."""
    return _told(_read, text, file)


def parse_documents(text: str, file: str) -> list[Source]:
    """Return what each document of `text` says, without those that are empty. SettingsError if it is no YAML.

    JSON may be indented by tabs, which YAML does not allow.
    """
    if text.lstrip()[:1] == "{":
        text = _INDENT.sub(lambda found: "  " * len(found[0]), text)
    return _told(_read_documents, text, file)


def _told(read_by: Callable[[str, str, Any], Read], text: str, file: str) -> Read:
    try:
        with suppress(yaml.YAMLError, UnicodeEncodeError):  # the latter is libyaml's word for a lone surrogate
            return read_by(text, file, _FAST)
        return read_by(text, file, yaml.SafeLoader)  # which says better than libyaml what is wrong
    except yaml.MarkedYAMLError as error:
        raise SettingsError([_syntax(file, error)]) from None
    except yaml.reader.ReaderError as error:
        raise _unreadable(file, f"has a character that YAML does not allow ({_character(error)})") from None


def _read(text: str, file: str, loader: Any) -> Source:
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    next(events)
    if isinstance(next(events), yaml.StreamEndEvent):
        raise _unreadable(file, "is empty")
    event = next(events)
    if isinstance(event, yaml.ScalarEvent) and not event.value:
        raise _unreadable(file, "is empty")
    source = Source(file)
    source.data = _value(source, events, event, ())
    next(events)
    if not isinstance(event := next(events), yaml.StreamEndEvent):
        raise _refused("expected a single document in the stream but found another document", event)
    return source


def _read_documents(text: str, file: str, loader: Any) -> list[Source]:
    events = expanded(yaml.parse(text, Loader=loader))
    sources = []
    next(events)
    while not isinstance(next(events), yaml.StreamEndEvent):
        event = next(events)
        source = Source(file, max_depth=MAX_DEPTH_OF_DOCUMENTS)
        source.data = with_merges(_value(source, events, event, ()))
        next(events)
        if not isinstance(event, yaml.ScalarEvent) or event.value:
            sources.append(source)
    return sources


def _refused(message: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, message, event.start_mark)


def _value(source: Source, events: Iterator[Any], event: Any, at: Location) -> Any:
    """Return the value that begins with `event`, and take note of its lines; refuse what could blow up."""
    if isinstance(event, yaml.AliasEvent):
        raise _refused(_ALIAS, event)
    if len(at) >= source.max_depth:
        raise _refused(_TOO_DEEP, event)
    source.lines.setdefault(at, event.start_mark.line + 1)
    tag = event.tag
    kind = tag.removeprefix(_PREFIX) if tag else ""
    if isinstance(event, yaml.ScalarEvent):
        if not kind or kind == "!":
            kind = _kind(event.value) if event.implicit[0] else "str"
        if kind in _SCALARS:
            return _scalar(source, event.value, kind, at)
    elif isinstance(event, yaml.MappingStartEvent) and kind in {"", "!", "map"}:
        return _mapping(source, events, at)
    elif isinstance(event, yaml.SequenceStartEvent) and kind in {"", "!", "seq"}:
        return _sequence(source, events, at)
    _pass_over(events, event)
    return _lost(source, Finding(at, "YAML tags are not supported", shown(tag)))


def _kind(text: str) -> str:
    """Return the type that an unquoted scalar has by its form."""
    for kind, form in _FORMS.get(text[:1], ()):
        if form.fullmatch(text):
            return kind
    return "str"


def _sequence(source: Source, events: Iterator[Any], at: Location) -> list[Any]:
    data: list[Any] = []
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        data.append(_value(source, events, event, (*at, len(data))))
    return data


def _mapping(source: Source, events: Iterator[Any], at: Location) -> dict[str, Any]:
    data: dict[str, Any] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarEvent):
            _pass_over(events, key)
            _pass_over(events, next(events))
            _lost(source, Finding(at, "a key must be text"))
        elif key.value in data:
            _pass_over(events, next(events))
            message = f"is written twice (first in line {source.lines[*at, key.value]}, again in line {line})"
            source.findings.append(Finding((*at, key.value), message))
        else:
            source.lines[*at, key.value] = line
            data[key.value] = _value(source, events, next(events), (*at, key.value))
    return data


def _pass_over(events: Iterator[Any], event: Any) -> None:
    """Skip the rest of the value that begins with `event`, however deep it is."""
    depth = 0
    while True:
        if isinstance(event, yaml.AliasEvent):
            raise _refused(_ALIAS, event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if not depth:
            return
        if depth > MAX_DEPTH:
            raise _refused(_TOO_DEEP, event)
        event = next(events)


def _scalar(source: Source, text: str, kind: str, at: Location) -> Any:
    try:
        return _SCALARS[kind](text)
    except (ValueError, KeyError):
        return _lost(source, Finding(at, "cannot be read as what its form or tag says", shown(text), kind))


def _lost(source: Source, finding: Finding) -> None:
    source.findings.append(finding)
    source.damaged.append(finding.at)


def _unreadable(file: str, message: str) -> SettingsError:
    return SettingsError([Problem(file, "", message)])


def _syntax(file: str, error: yaml.MarkedYAMLError) -> Problem:
    mark, begun = error.problem_mark or error.context_mark, error.context_mark
    since = f" (begun in line {begun.line + 1})" if begun and mark and begun.line != mark.line else ""
    parts = (f"{error.context}{since}" if error.context else "", error.problem)
    message = " ".join(part for part in parts if part) or "cannot be read as YAML"
    fix = next((f"; {fix}" for sign, fix in _FIXES.items() if sign in message), "")
    where = f", column {mark.column + 1}" if mark else ""
    return Problem(file, "", f"not YAML{where}: {message}{fix}", mark.line + 1 if mark else None)


def _character(error: yaml.reader.ReaderError) -> str:
    character = error.character
    return f"character {character:#04x}" if isinstance(character, int) else ascii(character)
