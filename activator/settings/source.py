"""From bytes to plain data, with the line of every key. It reads the safe half of YAML and says so about the rest.

What is written is what is meant: `no`, `on`, `1:30`, `012` and dates stay text (YAML 1.2). A key written twice is an
error, and so are aliases, tags and deep nesting, which only serve to make a small file huge. Files for Kubernetes may
have several documents, aliases and merge keys (`<<`), as kubectl takes them, up to a number of values.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from activator.settings.problems import Finding, Location, Problem, SettingsError, path_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_DEPTH_OF_DOCUMENTS = 50
MAX_VALUES = 100_000
MERGE = "<<"

_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
_INDENT = re.compile(r"^\t+", re.MULTILINE)
_PREFIX = "tag:yaml.org,2002:"
_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "null": lambda _: None,
}


@dataclass(slots=True)
class Source:
    """A file's data as dicts, lists and scalars; `lines` counts from 1; `findings` are what YAML
    allows but we do not, `damaged` the places whose value was lost by it. `merges` = merge keys count,
    `merging` = how many are being followed, `size` = the values so far.
    """

    file: str
    data: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    damaged: list[Location] = field(default_factory=list)
    merges: bool = False
    merging: int = 0
    size: int = 0

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
    """Return the text of a file. SettingsError if it cannot be read, is no text or too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise _unreadable(str(path), "is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(str(path), f"is not UTF-8 text (byte {error.start})") from None


def parse(text: str, file: str) -> Source:
    """Return what `text` says. SettingsError if it is empty or no YAML."""
    with _told(file):
        node = yaml.compose(text, Loader=_Loader)
        if node is None or _is_empty(node):
            raise _unreadable(file, "is empty")
        source = Source(file)
        source.data = _value(source, node, ())
        return source


def parse_documents(text: str, file: str) -> list[Source]:
    """Return what each document of `text` says, without those that are empty. SettingsError if it is no YAML.

    JSON may be indented by tabs, which YAML does not allow.
    """
    if text.lstrip()[:1] == "{":
        text = _INDENT.sub(lambda found: "  " * len(found[0]), text)
    with _told(file):
        sources = []
        for node in yaml.compose_all(text, Loader=_DocumentLoader):
            if not _is_empty(node):
                sources.append(Source(file, merges=True))
                sources[-1].data = _value(sources[-1], node, ())
        return sources


@contextmanager
def _told(file: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        raise SettingsError([_syntax(file, error)]) from None
    except yaml.reader.ReaderError as error:
        raise _unreadable(file, f"has a character that YAML does not allow ({_character(error)})") from None


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value


class _Loader(yaml.SafeLoader):
    """PyYAML's parser without aliases, with a bound on depth and the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    aliases = False
    max_depth = MAX_DEPTH

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node; refuse what could blow up."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and not self.aliases:
            raise _refused("aliases (*name) are not supported", event.start_mark)
        if self.depth >= self.max_depth:
            raise _refused("nested too deep", event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", rf"{_FLOAT}|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
):
    _Loader.add_implicit_resolver(_PREFIX + _name, re.compile(f"(?:{_pattern})\\Z"), list(_first))


class _DocumentLoader(_Loader):
    """The same for the documents of Kubernetes."""

    aliases = True
    max_depth = MAX_DEPTH_OF_DOCUMENTS


def _refused(message: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, message, mark)


def _value(source: Source, node: yaml.Node, at: Location) -> Any:
    source.lines.setdefault(at, node.start_mark.line + 1)
    _count(source, len(at), node)
    if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
        return _mapping(source, node, at)
    if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
        return [_value(source, item, (*at, index)) for index, item in enumerate(node.value)]
    kind = node.tag.removeprefix(_PREFIX)
    if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
        return _scalar(source, node.value, kind, at)
    return _lost(source, Finding(at, "YAML tags are not supported", shown(node.tag)))


def _mapping(source: Source, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
    merged = _merged(source, node, at) if source.merges else {}
    data: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _lost(source, Finding(at, "a key must be text"))
        elif source.merges and key.value == MERGE:
            continue
        elif key.value in data:
            first = source.lines[*at, key.value]
            message = f"is written twice (first in line {first}, again in line {key.start_mark.line + 1})"
            source.findings.append(Finding((*at, key.value), message))
        else:
            source.lines[*at, key.value] = key.start_mark.line + 1
            data[key.value] = _value(source, value, (*at, key.value))
    return {**merged, **data}


def _merged(source: Source, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
    """Return what the merge keys of a mapping bring in: the first one to name a key counts."""
    data: dict[str, Any] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value == MERGE:
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(each, yaml.MappingNode):
                    _lost(source, Finding((*at, MERGE), "must be a mapping, or a list of them"))
                    continue
                source.merging += 1
                _count(source, len(at) + source.merging, each)
                data = {**_mapping(source, each, at), **data}
                source.merging -= 1
    return data


def _count(source: Source, depth: int, node: yaml.Node) -> None:
    source.size += 1
    if depth > MAX_DEPTH_OF_DOCUMENTS or source.size > MAX_VALUES:
        raise _refused("aliases make it too deep or too large", node.start_mark)


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
    mark = error.problem_mark or error.context_mark
    message = " ".join(part for part in (error.context, error.problem) if part) or "cannot be read as YAML"
    where = f", column {mark.column + 1}" if mark else ""
    return Problem(file, "", f"not YAML{where}: {message}", mark.line + 1 if mark else None)


def _character(error: yaml.reader.ReaderError) -> str:
    character = error.character
    return f"character {character:#04x}" if isinstance(character, int) else ascii(character)
