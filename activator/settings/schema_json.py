"""The schema for editors: they complete and check a file while it is written. It cannot say all that `check` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.settings import preset
from activator.settings.autoscaling import Autoscaling, AutoscalingOverrides
from activator.settings.canary import Canary
from activator.settings.manifests import Manifests, Runtimes
from activator.settings.peering import Peers
from activator.settings.rules import Rule
from activator.settings.running import EdgeLimits, Process, Requests
from activator.settings.schema import Revision, Service, Settings, Tls, Traffic

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from activator.settings.group import Group

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GROUPS: tuple[type[Group], ...] = (
    Autoscaling,
    AutoscalingOverrides,
    Requests,
    Process,
    EdgeLimits,
    Peers,
    Manifests,
    Runtimes,
    Tls,
    Traffic,
    Canary,
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
    for key, name in group.fields_by_key().items():
        field = schema["properties"][key]
        field.pop("default", None)
        field.pop("title", None)
        _describe(field)
        _say_default(field, group, group.model_fields[name])


def _describe(node: Any) -> None:
    """Put ranges in words, which rules leave as `x-allowed`, into descriptions, all the way down."""
    if not isinstance(node, dict):
        return
    if allowed := node.pop("x-allowed", ""):
        node["description"] = f"{node.get('description', '')} Allowed: {allowed}.".strip()
    for part in node.values():
        _describe(part)


def _say_default(field: dict[str, Any], group: type[Group], info: FieldInfo) -> None:
    default = default_of(info)
    if default is not None and group is not AutoscalingOverrides:
        field["default"] = default
    if info.default is None and "type" in field:
        field["type"] = [field["type"], "null"]
