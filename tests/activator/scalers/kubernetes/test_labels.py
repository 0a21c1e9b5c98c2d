from __future__ import annotations

from typing import Any

import pytest

from activator.scalers.kubernetes.labels import meets, selects

LABELS = {"app": "m", "class": "a100", "memory": "80"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"app": "m"}}, True),
        ({"matchLabels": {"app": "m", "class": "h100"}}, False),
        ({"matchLabels": {"app": "m"}, "matchExpressions": [{"key": "class", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "class", "operator": "DoesNotExist"}]}, False),
        ({}, False),
    ],
)
def test_a_selector_wants_all_of_its_requirements(selector: dict[str, Any], expected: bool) -> None:
    assert selects(selector, LABELS) is expected


@pytest.mark.parametrize(
    ("operator", "key", "values", "expected"),
    [
        ("In", "class", ["a100", "h100"], True),
        ("In", "zone", ["a"], False),
        ("NotIn", "class", ["h100"], True),
        ("NotIn", "zone", ["a"], True),
        ("NotIn", "class", ["a100"], False),
        ("Exists", "zone", [], False),
        ("DoesNotExist", "zone", [], True),
        ("Gt", "memory", ["40"], True),
        ("Gt", "memory", ["80"], False),
        ("Lt", "memory", ["100"], True),
        ("Lt", "zone", ["100"], False),
        ("Gt", "class", ["40"], False),
        ("Gt", "memory", [], False),
        ("Whatever", "class", [], True),
    ],
)
def test_a_requirement_is_met(operator: str, key: str, values: list[str], expected: bool) -> None:
    assert meets({"key": key, "operator": operator, "values": values}, LABELS) is expected
