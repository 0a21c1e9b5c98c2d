"""What all groups of keys share: kebab-case names, no unknown keys, and a key without a value counts as not written.

A group is also a layer: `model_fields_set` tells which keys a file wrote; in `merged` the nearest layer wins by key.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator


def kebab(name: str) -> str:
    """Return the key of a field: `min_scale` -> `min-scale`."""
    return name.replace("_", "-")


class Group(BaseModel):
    """Base of all groups of keys. `required` names keys that must be written; `checks` reports them."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=kebab, use_attribute_docstrings=True)

    required: ClassVar[tuple[str, ...]] = ()
    synonyms: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = cls.fields_by_key()
        return {key: value for key, value in data.items() if value is not None or key not in known}

    @classmethod
    @cache
    def fields_by_key(cls) -> dict[str, str]:
        """Return the field of every key."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}

    def written(self) -> dict[str, Any]:
        """Return the fields that were written, synonyms under their proper name."""
        return {self.synonyms.get(name, name): getattr(self, name) for name in self.model_fields_set}

    @classmethod
    def merged(cls, *layers: Group) -> Self:
        """Return one group from layers, the nearest last; what none of them wrote has its default."""
        written = {name: value for layer in layers for name, value in layer.written().items()}
        return cls._default().model_copy(update=written) if written else cls._default()

    @classmethod
    @cache
    def _default(cls) -> Self:
        return cls()
