"""What to run, and with which environment."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activator.settings.rules import RefusedError, Rule, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENV = re.compile(r"[^=\0]+")


@dataclass(frozen=True)
class Command(Rule):
    """A program and its arguments: a list, or one line that is split as a shell would; no shell runs it."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a list such as [python, -m, model], or one line of text"

    def read(self, value: object) -> tuple[str, ...]:
        """Return program and arguments."""
        if isinstance(value, str):
            value = self._split(value)
        if not isinstance(value, (list, tuple)):
            raise RefusedError("must be a command")
        words = tuple(_word(item, f"word {number}") for number, item in enumerate(value, 1))
        if not words or not words[0]:
            raise RefusedError("names no program")
        return words

    def write(self, value: tuple[str, ...]) -> list[str]:
        """Return the list."""
        return list(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        items = {"type": ["string", "integer"]}
        return {"oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": items, "minItems": 1}]}

    def _split(self, line: str) -> list[str]:
        try:
            return shlex.split(line)
        except ValueError as error:
            raise RefusedError(f"cannot be split into words: {str(error).lower()}") from None


@dataclass(frozen=True)
class EnvName(Rule):
    """The name of an environment variable."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a name without ="

    def read(self, value: object) -> str:
        """Return the name."""
        text = text_of(value, "must be a name")
        if not _ENV.fullmatch(text):
            raise RefusedError("is no name for an environment variable")
        return text

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": "^[^=]+$"}


@dataclass(frozen=True)
class EnvText(Rule):
    """The value of an environment variable."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "text or a whole number"

    def read(self, value: object) -> str:
        """Return the text."""
        return _word(value, "the value")

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": ["string", "integer"]}


def _word(value: object, what: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 128:
        return str(value)
    if isinstance(value, (bool, int, float)):
        raise RefusedError(f"{what} must be in quotes to be text")
    return text_of(value, f"{what} must be text")
