"""The schema for editors: they complete and check a file while it is written. It cannot say all that `check` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.settings import preset
from activator.settings.autoscaling import Autoscaling, AutoscalingOverrides
from activator.settings.rules import Rule
from activator.settings.running import Process, Requests
from activator.settings.schema import Revision, Service, Settings, Traffic

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from activator.settings.group import Group

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GROUPS: tuple[type[Group], ...] = (
    Autoscaling,
    AutoscalingOverrides,
    Requests,
    Process,
    Traffic,
    Revision,
    Service,
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a configuration file."""
    schema = Settings.model_json_schema()
    _complete(schema, Settings)
    for group in GROUPS:
        _complete(schema["$defs"][group.__name__], group)
    schema["properties"]["preset"]["enum"] = list(preset.names())
    return {"$schema": DIALECT, **schema, "title": "Configuration of gpu-activator"}


def default_of(field: FieldInfo) -> Any:
    """Return a key's default as a file would have it; None where there is none, or where it is a group or a list."""
    rules = [item for item in field.metadata if isinstance(item, Rule)]
    default = field.default
    if default is None or not rules:
        return default if isinstance(default, str) else None
    return rules[0].write(default) or (default if default in (0, False) else None)


def _complete(schema: dict[str, Any], group: type[Group]) -> None:
    if group.required:
        schema["required"] = list(group.required)
    for key, name in group.keys().items():
        field = schema["properties"][key]
        field |= _flattened(field.pop("anyOf", []))
        field.pop("title", None)
        field.pop("default", None)
        default = default_of(group.model_fields[name])
        if default is not None and group is not AutoscalingOverrides:
            field["default"] = default
        if allowed := field.pop("x-allowed", ""):
            field["description"] = f"{field['description']} Allowed: {allowed}."


def _flattened(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a schema for `X or null` without the choice; an empty key is a key not written."""
    real = [option for option in options if option != {"type": "null"}]
    if len(real) != 1 or real == options:
        return {"anyOf": options} if options else {}
    return {**real[0], "type": [real[0]["type"], "null"]} if "type" in real[0] else real[0]
