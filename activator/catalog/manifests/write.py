"""Plain data as YAML that every reader takes for the same: text that could be taken for something else is quoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9._/@%+-]*(?::[A-Za-z0-9._/@%+-]+)*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
_STR = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Writes lists indented, no anchors, and double quotes where there is doubt."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write what occurs twice twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent the items of lists."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text.rstrip("\n") and _is_block(text):
        return dumper.represent_scalar(_STR, text, style="|")
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return dumper.represent_scalar(_STR, text, style=None if plain else '"')


def _is_block(text: str) -> bool:
    return all(line.isprintable() and line == line.rstrip() for line in text.split("\n")) and not text[:1].isspace()


_Dumper.add_representer(str, _text)
_Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(data))


def document(data: Any) -> str:
    """Return one document."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, width=2**20, allow_unicode=True, default_flow_style=False
    )
    return text


def documents(items: Iterable[Any]) -> str:
    """Return several documents."""
    return "---\n".join(document(each) for each in items)
