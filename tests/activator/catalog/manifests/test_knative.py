"""A Knative Service's traffic: the template, revisions by name, tags."""

from __future__ import annotations

from typing import Any

import pytest

from activator.settings.problems import SettingsError
from tests.activator.catalog.manifests.written import joined, knative, only, problems, warnings


def service(version: str, *traffic: dict[str, Any], name: str = "") -> dict[str, Any]:
    spec: Any = {"traffic": list(traffic)} if traffic else {}
    return knative({"containers": [{"image": f"m:{version}"}]}, name=name, **spec)


def shares(latest: Any, before: Any = None) -> list[tuple[str, int, str]]:
    [application] = joined(latest, before).applications
    return [(each.container["image"], each.percent, each.tag) for _, each in application.revisions()]


def test_without_traffic_the_template_has_all() -> None:
    assert shares(service("1")) == [("m:1", 100, "")]


def test_an_exported_service_says_the_same() -> None:
    assert shares(service("1", {"latestRevision": True, "percent": 100})) == [("m:1", 100, "")]


def test_a_tag_beside_the_share_is_the_revisions() -> None:
    traffic = ({"latestRevision": True, "percent": 100}, {"latestRevision": True, "tag": "latest"})
    assert shares(service("1", *traffic)) == [("m:1", 100, "latest")]
    [told] = warnings(service("1", *traffic, {"latestRevision": True, "tag": "other"}))
    assert "the tag other has no effect: a revision has one, which is latest" in told


def test_revisions_are_found_by_name_in_the_previous_file() -> None:
    before = service("1", name="m-one")
    latest = service(
        "2", {"revisionName": "m-one", "percent": 90}, {"revisionName": "m-two", "percent": 10}, name="m-two"
    )
    assert shares(latest, before) == [("m:2", 10, ""), ("m:1", 90, "prev")]
    tagged = service(
        "2", {"revisionName": "m-one", "percent": 90, "tag": "old"}, {"latestRevision": True, "percent": 10}
    )
    assert shares(tagged, before) == [("m:2", 10, ""), ("m:1", 90, "old")]


def test_revisions_are_found_by_the_names_that_we_give() -> None:
    before = service("1")
    latest = service("2", {"revisionName": only(before).name, "percent": 100})
    assert shares(latest, before) == [("m:2", 0, ""), ("m:1", 100, "prev")]


def test_a_revision_that_is_described_nowhere_is_refused() -> None:
    latest = service("2", {"revisionName": "m-one", "percent": 90}, {"latestRevision": True, "percent": 10})
    with pytest.raises(SettingsError, match=r"traffic\[0\] \(m\): revision m-one is not described: .*--previous"):
        joined(latest, None)


def test_percentages_sum_to_100() -> None:
    [told] = problems(service("1", {"latestRevision": True, "percent": 60}))
    assert "spec.traffic (m): the percentages sum to 60, not to 100" in told
