"""What values of manifests may be, beside the rules of our own keys: what is passed on to a pod is checked by the API
server, so here it is only made sure that it can be handled. No editor is told of them, so they have no JSON Schema."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from activator.settings.rules import RefusedError, Rule


@dataclass(frozen=True)
class Text(Rule):
    """Text; numbers and flags count as written without quotes."""

    empty: bool = True

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "text"

    def read(self, value: object) -> str:
        """Return the text."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int) and value.bit_length() < 128:
            return str(value)
        if isinstance(value, float):
            return repr(value)
        if not isinstance(value, str) or "\0" in value or (not value and not self.empty):
            raise RefusedError("must be text")
        return value


@dataclass(frozen=True)
class Texts(Rule):
    """A mapping of names to text, such as labels."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a mapping of names to text"

    def read(self, value: object) -> dict[str, str]:
        """Return the mapping."""
        if not isinstance(value, dict):
            raise RefusedError("must be a mapping of names to text")
        return {key: Text().read(item) for key, item in value.items() if item is not None}


@dataclass(frozen=True)
class Mapping(Rule):
    """A mapping that is passed on as it is."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a mapping"

    def read(self, value: object) -> dict[str, Any]:
        """Return the mapping."""
        if not isinstance(value, dict):
            raise RefusedError("must be a mapping of keys")
        _check(value)
        return value


@dataclass(frozen=True)
class Items(Rule):
    """A list that is passed on as it is: of mappings, or of text."""

    of: type = dict

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a list of mappings" if self.of is dict else "a list of text"

    def read(self, value: object) -> list[Any]:
        """Return the list."""
        if not isinstance(value, list):
            raise RefusedError("must be a list")
        if self.of is str:
            return [Text().read(item) for item in value]
        if not all(isinstance(item, dict) for item in value):
            raise RefusedError("must be a list of mappings")
        _check(value)
        return value


@dataclass(frozen=True)
class Listed(Rule):
    """Items with commas between them, or a list, each by a rule."""

    of: Rule

    @property
    def allowed(self) -> str:
        """Return the form."""
        return f"a list with commas: {self.of.allowed}"

    def read(self, value: object) -> list[Any]:
        """Return the items."""
        items = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise RefusedError("must be a list with commas between its items")
        return [self.of.read(each) for each in items if each != ""]

    def write(self, value: Any) -> object:
        """Return the items as a file would have them."""
        return [self.of.write(each) for each in value]


def _check(value: Any) -> None:
    """Refuse what JSON cannot say."""
    if isinstance(value, dict):
        for item in value.values():
            _check(item)
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RefusedError("has a number that JSON cannot say")
