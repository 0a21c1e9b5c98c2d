"""The schema knows every key, and takes what the loader takes where it can tell."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from activator.settings.schema_json import GROUPS, json_schema

SCHEMA = json_schema()


def walk(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        return [node, *(found for value in node.values() for found in walk(value))]
    return [found for value in node for found in walk(value)] if isinstance(node, list) else []


def field(group: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][group]["properties"][key]
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_is_described_and_no_other_is_allowed(group: Any) -> None:
    schema = SCHEMA["$defs"][group.__name__]
    assert set(schema["properties"]) == set(group.fields_by_key())
    assert schema["additionalProperties"] is False
    assert all(len(found["description"]) > 5 for found in schema["properties"].values())


def test_it_is_json_and_every_pattern_is_a_pattern() -> None:
    assert json.loads(json.dumps(SCHEMA, allow_nan=False))["$schema"].endswith("2020-12/schema")
    for node in walk(SCHEMA):
        if isinstance(node.get("pattern"), str):
            re.compile(node["pattern"])
        assert "x-allowed" not in node


def test_ranges_and_defaults_are_those_of_the_file() -> None:
    window = field("Autoscaling", "stable-window")
    assert window["default"] == "2m"
    assert "6s to 1h, whole seconds" in window["description"]
    assert re.search(window["pattern"], "1m30s")
    assert not re.search(window["pattern"], "90")
    assert field("Autoscaling", "max-scale-up-rate")["exclusiveMinimum"] == 1
    assert field("AutoscalingOverrides", "panic-threshold-percentage")["maximum"] == 1000
    assert "default" not in field("AutoscalingOverrides", "stable-window")
    assert field("Requests", "queue-bytes")["default"] == "64MiB"
    assert field("Traffic", "percent")["default"] == 0


def test_an_unset_key_may_be_left_empty() -> None:
    assert field("Autoscaling", "target")["type"] == ["number", "null"]


def test_required_keys_are_required() -> None:
    assert SCHEMA["required"] == ["services"]
    assert SCHEMA["$defs"]["Service"]["required"] == ["name", "hosts", "revisions"]


def test_presets_are_offered_by_name() -> None:
    assert SCHEMA["properties"]["preset"]["enum"] == ["gpu-120s", "gpu-180s"]
