"""docs/deployments.md is the reference of annotations: it has every one, no other, and its examples are good."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from activator.catalog.annotations import ANNOTATIONS, BY_NAME, KNATIVE, OWN
from activator.catalog.merge import Deployments
from tests.activator.catalog.deployed import SETTINGS

PAGE = (Path(__file__).parents[3] / "docs" / "deployments.md").read_text()


def test_the_tables_have_every_annotation_once_and_no_other() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| .{10,} \|$", PAGE, re.MULTILINE)
    assert rows == list(dict.fromkeys(rows))
    assert set(rows) == {annotation.name for annotation in ANNOTATIONS}


def test_what_is_mentioned_exists() -> None:
    mentioned = set(re.findall(rf"`((?:{OWN}|{KNATIVE})[a-zA-Z-]+)`", PAGE))
    assert mentioned <= set(BY_NAME)


def test_the_examples_are_served_without_a_warning() -> None:
    stable, canary = (
        yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    )
    for number, each in enumerate((stable, canary)):
        each["metadata"]["creationTimestamp"] = f"2026-01-0{number + 1}T00:00:00Z"
    merged = Deployments().merge(SETTINGS, [canary, stable])
    assert not merged.problems
    service = merged.settings.services[-1]
    assert [(share.revision, share.percent) for share in service.traffic] == [
        ("sentiment-v1", 90),
        ("sentiment-v2", 10),
    ]
