"""config/defaults.yaml documents every key with its default and range, and cannot say anything else than the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from activator.settings.autoscaling import Autoscaling, AutoscalingOverrides
from activator.settings.canary import Canary
from activator.settings.load import load
from activator.settings.manifests import Manifests, Runtimes
from activator.settings.peering import Peers
from activator.settings.rules import Rule
from activator.settings.running import EdgeLimits, Process, Requests
from activator.settings.schema import Revision, Service, Settings, Traffic
from activator.settings.schema_json import default_of
from activator.settings.source import Source, parse, read
from tests.activator.settings.files import loaded

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from activator.settings.group import Group
    from activator.settings.problems import Location

FILE = Path(__file__).parents[3] / "config" / "defaults.yaml"
TOP: list[tuple[Location, type[Group]]] = [
    ((), Settings),
    (("autoscaling",), Autoscaling),
    (("requests",), Requests),
    (("process",), Process),
    (("limits",), EdgeLimits),
    (("peers",), Peers),
    (("manifests",), Manifests),
    (("manifests", "runtimes"), Runtimes),
]
EXAMPLE: list[tuple[Location, type[Group]]] = [
    (("services", 0), Service),
    (("services", 0, "revisions", 0), Revision),
    (("services", 0, "traffic", 0), Traffic),
    (("services", 0, "canary"), Canary),
]
LAYERS = {"autoscaling", "requests", "process"}
GROUPS = {*LAYERS, "limits", "manifests", "peers", "runtimes", "services"}


def example() -> str:
    """Return the commented example of a service as a file of its own."""
    comment = FILE.read_text().partition("# services:\n")[2]
    return "services:\n" + "\n".join(line.removeprefix("# ").removeprefix("#") for line in comment.splitlines())


def at(source: Source, place: Location) -> dict[str, object]:
    data = source.data
    for part in place:
        data = data[part]
    assert isinstance(data, dict)
    return data


def rules(field: FieldInfo) -> list[Rule]:
    found = [item for item in field.metadata if isinstance(item, Rule)]
    inner = [item for part in get_args(field.annotation) for item in getattr(part, "__metadata__", ())]
    return (found or [item for item in inner if isinstance(item, Rule)])[-1:]


def comment_above(text: str, line: int) -> str:
    lines = text.splitlines()
    found: list[str] = []
    for above in reversed(lines[: line - 1]):
        if not above.strip().startswith("#"):
            break
        found.insert(0, above.strip().removeprefix("#").strip())
    return "\n".join(found)


def documented(text: str, groups: list[tuple[Location, type[Group]]]) -> list[tuple[str, str, type[Group], str]]:
    source = parse(text, "x")
    return [
        (key, comment_above(text, source.lines[*place, key]), group, name)
        for place, group in groups
        for key, name in group.fields_by_key().items()
        if not (place and key in LAYERS)
    ]


ALL = documented(FILE.read_text(), TOP) + documented(example(), EXAMPLE)


@pytest.mark.parametrize(("place", "group"), TOP)
def test_the_file_has_every_key_and_no_other(place: Location, group: type[Group]) -> None:
    assert set(at(read(FILE), place)) == set(group.fields_by_key())


@pytest.mark.parametrize(("place", "group"), EXAMPLE)
def test_the_example_of_a_service_has_every_key_and_no_other(place: Location, group: type[Group]) -> None:
    assert set(at(parse(example(), "x"), place)) == set(group.fields_by_key())


def test_loading_the_file_gives_the_defaults_of_the_code() -> None:
    found = load(FILE)
    defaults = Settings.model_validate({"services": []}, context={"base": FILE.parent})
    assert found.model_dump() == defaults.model_dump()


@pytest.mark.parametrize(("place", "group"), TOP)
def test_every_value_is_written_as_the_code_would_write_it_or_means_the_same(
    place: Location, group: type[Group]
) -> None:
    data = at(read(FILE), place)
    plain = {key: value for key, value in data.items() if key not in GROUPS}
    found = group.model_validate(plain)
    for key, name in group.fields_by_key().items():
        if key not in GROUPS:
            default = group.model_fields[name].default
            assert (getattr(found, name), data[key] is None) == (default, default is None), key


def test_the_example_of_a_service_loads_and_shows_the_defaults() -> None:
    service = loaded(example()).services[0]
    revision, traffic = service.revisions[0], service.traffic[0]
    for group, own in (
        (service, {"name", "hosts", "revisions", "traffic"}),
        (revision, {"name", "command", "directory"}),
    ):
        for name, field in type(group).model_fields.items():
            if name not in own:
                assert getattr(group, name) == field.get_default(call_default_factory=True), name
    assert (traffic.revision, traffic.percent, traffic.tag) == (revision.name, 100, "stable")


@pytest.mark.parametrize(("key", "comment", "group", "name"), ALL)
def test_every_key_has_a_reason_and_its_range(key: str, comment: str, group: type[Group], name: str) -> None:
    told = [line for line in comment.splitlines() if not line.startswith("Allowed: ")]
    assert len(" ".join(told)) >= 10, "no reason"
    for rule in rules(group.model_fields[name]):
        stricter = rules(AutoscalingOverrides.model_fields[name])[0] if group is Autoscaling else rule
        extra = f"; as an override: {stricter.allowed}" if stricter.allowed != rule.allowed else ""
        assert f"Allowed: {rule.allowed}{extra}" in comment.splitlines()


def test_defaults_can_be_written_back() -> None:
    assert default_of(Autoscaling.model_fields["stable_window"]) == "2m"
    assert default_of(Autoscaling.model_fields["min_scale"]) == 0
    assert default_of(Autoscaling.model_fields["target"]) is None
