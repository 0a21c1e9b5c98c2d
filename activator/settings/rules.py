"""What a single value may be: a rule reads it, says what is allowed, writes it back and describes itself to editors.

Rules are the metadata of pydantic fields: `stable_window: Annotated[float, Duration(6, 3600, whole=True)]`.
Numbers and flags may be quoted, as they are in a ConfigMap or an annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, core_schema

from activator.settings import meant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


class RefusedError(ValueError):
    """A value that a rule does not take, with what to write instead where that is known."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion if suggestion.isprintable() else ""


@dataclass(frozen=True)
class Rule:
    """Base of all rules."""

    @property
    def allowed(self) -> str:
        """Return the range in words."""
        return ""

    def read(self, value: object) -> Any:
        """Return the value as the program uses it. RefusedError if it is not allowed."""
        raise NotImplementedError

    def takes(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        try:
            self.read(value)
        except RefusedError:
            return False
        return True

    def offer(self, text: str) -> str:
        """Return a guess at what was meant, "" if it is not allowed either."""
        return text if text and self.takes(text) else ""

    def write(self, value: Any) -> object:
        """Return a value as a file would have it."""
        return value

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema of what a file may have."""
        raise NotImplementedError

    def validate(self, value: object, info: core_schema.ValidationInfo) -> Any:  # noqa: ARG002
        """Return what `read` returns, with its refusal as pydantic wants it."""
        try:
            return self.read(value)
        except RefusedError as error:
            notes = {"message": str(error), "allowed": self.allowed, "suggestion": error.suggestion}
            raise PydanticCustomError("rule", "{message}", notes) from None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(self._write)
        return core_schema.with_info_plain_validator_function(self.validate, serialization=write)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        return {**self.schema(), "x-allowed": self.allowed}

    def _write(self, value: Any) -> object:
        return None if value is None else self.write(value)


@dataclass(frozen=True)
class Flag(Rule):
    """True or false, and nothing that only looks like it."""

    @property
    def allowed(self) -> str:
        """Return the two values."""
        return "true or false"

    def read(self, value: object) -> bool:
        """Return the flag."""
        flag = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(flag, bool):
            raise RefusedError("must be true or false", meant.flag(value))
        return flag

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice(Rule):
    """One of some words. `synonyms` are taken, but not offered; `hint` says why the others are not there."""

    words: tuple[str, ...]
    synonyms: tuple[tuple[str, str], ...] = ()
    hint: str = ""

    @property
    def allowed(self) -> str:
        """Return the words."""
        return " or ".join(self.words)

    def read(self, value: object) -> str:
        """Return the word."""
        word = dict(self.synonyms).get(value, value) if isinstance(value, str) else None
        if word in self.words and word is not None:
            return word
        near = get_close_matches(value, self.words, 1) if isinstance(value, str) and len(value) < 64 else []
        raise RefusedError(self.hint or f"must be {self.allowed}", "".join(near))

    def write(self, value: str) -> str:
        """Return the word, an enum's value."""
        return str(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"enum": [*self.words, *(word for word, _ in self.synonyms)]}


def text_of(value: object, message: str) -> str:
    """Return a text that the system can take. RefusedError with `message` otherwise."""
    if not isinstance(value, str):
        raise RefusedError(f"{message} (in quotes, if it is one)" if isinstance(value, (bool, int, float)) else message)
    if "\0" in value or not (value.isascii() or all(not "\ud800" <= char <= "\udfff" for char in value)):
        raise RefusedError(f"{message}, without zero bytes and lone surrogates")
    return value
