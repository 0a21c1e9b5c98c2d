"""What is written counts, the nearest layer wins, and what is not written has the documented default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.settings import preset
from activator.settings.autoscaling import Autoscaling, AutoscalingOverrides
from activator.settings.load import load
from activator.settings.places import Address
from activator.settings.running import Process, Requests
from activator.settings.source import parse
from tests.activator.settings.files import BASE, FULL, loaded, problems, small, written

if TYPE_CHECKING:
    from activator.settings.group import Group


def test_a_full_file_loads() -> None:
    found = loaded(FULL)
    assert [service.name for service in found.services] == ["sentiment", "generator"]
    sentiment, generator = found.services
    assert [(share.revision, share.percent, share.tag) for share in sentiment.shares()] == [
        ("sentiment-v1", 90, "stable"),
        ("sentiment-v2", 10, None),
    ]
    assert [(share.revision, share.percent) for share in generator.shares()] == [("generator-v1", 100)]
    assert sentiment.revisions[1].command == ("python", "-m", "sentiment", "--large")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "local.yaml"
    path.write_text(FULL.replace("name: generator-v1", "name: generator-v1\n        directory: models/a"))
    found = load(path)
    assert found.state_dir == tmp_path / "state"
    assert found.log_dir == tmp_path / "state" / "logs"
    assert found.services[0].revisions[0].directory == tmp_path
    assert found.services[1].revisions[0].directory == tmp_path / "models" / "a"


def test_logs_lie_in_the_state_directory_unless_they_are_given_a_place() -> None:
    assert loaded("services: []\nstate-dir: /var/lib/x").log_dir == Path("/var/lib/x/logs")
    assert loaded("services: []\nstate-dir: x\nlog-dir: logs").log_dir == BASE / "logs"


def test_a_command_on_one_line_is_split_as_a_shell_would() -> None:
    data = small()
    data["services"][0]["revisions"][0]["command"] = "sh -c 'exec model --port $PORT'"
    assert loaded(written(data)).services[0].revisions[0].command == ("sh", "-c", "exec model --port $PORT")


def test_numbers_in_commands_and_environments_are_the_text_that_was_written() -> None:
    text = (
        "services: [{name: m, hosts: [m], revisions: [{name: a, command: [x, 8000, 007, 1:30], env: {A: 010, B: 3}}]}]"
    )
    revision = loaded(text).services[0].revisions[0]
    assert revision.command == ("x", "8000", "007", "1:30")
    assert revision.env == {"A": "010", "B": "3"}


def test_what_only_looks_like_a_flag_or_a_date_is_text() -> None:
    data = parse("{no: yes, on: off, when: 2020-01-01, x: 1_000, y: 0x1F}", "x").data
    assert data == {"no": "yes", "on": "off", "when": "2020-01-01", "x": "1_000", "y": "0x1F"}


def test_a_key_without_a_value_is_not_written() -> None:
    found = loaded("services: []\nlisten:\nautoscaling:\nrequests:\n  hold-timeout:\n")
    assert found.listen == Address("127.0.0.1", 8080)
    assert found.requests.hold_timeout == 600
    assert "hold_timeout" not in found.requests.model_fields_set


def test_hosts_and_prefixes_are_read_as_they_are_looked_up() -> None:
    data = small()
    data["services"][0] |= {"hosts": ["Model.EXAMPLE.", "127.0.0.1", "[::1]"], "paths": ["/v1/", "/", "/ü"]}
    service = loaded(written(data)).services[0]
    assert service.hosts == ("model.example", "127.0.0.1", "[::1]")
    assert service.paths == ("/v1", "/", "/ü")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":80", Address("", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("localhost:0", Address("localhost", 0)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: Address) -> None:
    assert loaded(f"services: []\nlisten: '{text}'").listen == address
    assert str(address) == text


def test_two_free_ports_are_not_the_same_one() -> None:
    assert problems("services: []\nlisten: localhost:0\nadmin: localhost:0") == []


def test_one_port_on_two_interfaces_is_allowed() -> None:
    assert problems("services: []\nlisten: 10.0.0.1:80\nadmin: 127.0.0.1:80") == []


def test_no_command_is_needed_when_nothing_is_run() -> None:
    data = small(scaler="memory")
    del data["services"][0]["revisions"][0]["command"]
    assert problems(written(data)) == []


def test_the_nearest_layer_wins_key_by_key() -> None:
    top = Requests.model_validate({"hold-timeout": "1m", "idle-timeout": "1s"})
    service = Requests.model_validate({"hold-timeout": "2m", "total-timeout": "2s"})
    revision = Requests.model_validate({"hold-timeout": "3m"})
    merged = Requests.merged(top, service, revision)
    assert (merged.hold_timeout, merged.total_timeout, merged.idle_timeout) == (180, 2, 1)
    assert merged.queue_depth == 1000


def test_a_layer_that_writes_the_default_wins_all_the_same() -> None:
    top = Autoscaling.model_validate({"tick": "1s"})
    assert Autoscaling.merged(top, AutoscalingOverrides.model_validate({"tick": "10s"})).tick == 10


def test_synonyms_count_as_the_keys_they_stand_for() -> None:
    overrides = AutoscalingOverrides.model_validate({"window": "60s", "class": "kpa"})
    merged = Autoscaling.merged(Autoscaling(), overrides)
    assert merged.stable_window == 60
    assert merged.pod_autoscaler_class == "kpa.autoscaling.knative.dev"


def test_the_keys_of_a_preset_lie_under_those_of_the_file() -> None:
    keys = loaded("services: []\npreset: gpu-180s\nautoscaling: {tick: 1s, stable-window: }").autoscaling
    assert (keys.tick, keys.stable_window, keys.container_concurrency_target_percentage) == (1, 180, 90)


def test_the_default_preset_is_what_the_code_has_anyway() -> None:
    keys = Autoscaling.model_validate(preset.keys("gpu-120s"))
    assert keys.model_dump() == Autoscaling().model_dump()


def test_the_presets_are_the_two_published_sets() -> None:
    assert preset.names() == ("gpu-120s", "gpu-180s")
    keys = Autoscaling.model_validate(preset.keys("gpu-180s"))
    assert (keys.tick, keys.stable_window, keys.container_concurrency_target_percentage) == (15, 180, 90)
    assert (keys.max_scale_up_rate, keys.max_scale_down_rate, keys.scale_to_zero_grace_period) == (1.5, 1.01, 1800)


def test_the_presets_are_those_in_config() -> None:
    assert preset.DIRECTORY.resolve() == Path(__file__).parents[3] / "config" / "presets"


GROUPS: dict[str, type[Group]] = {"autoscaling": AutoscalingOverrides, "requests": Requests, "process": Process}
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["10s", "64MiB", "[key]", "*", "a.b", "m-1", "0", "window", "services", "percent", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)

SYNTAX = st.sampled_from(["\n", ": ", "- ", "!!int ", "&a ", "*a", "{", "[", "'"])


def places(data: object) -> list[tuple[object, object]]:
    found: list[tuple[object, object]] = []
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        found += [(data, key), *places(value)]
    return found


def said(text: str) -> None:
    """Load `text`; every problem must be one printable line."""
    assert all(problem.isprintable() for problem in problems(text))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_with_values_changed_at_random_loads_or_tells_its_problems(data: st.DataObject) -> None:
    content = parse(FULL, "x").data
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(content)))
        junk = data.draw(JUNK)
        if isinstance(container, dict) and data.draw(st.booleans()):
            container[data.draw(st.text(max_size=8) | st.sampled_from(["minScale", "hosts", "[key]", "env"]))] = junk
        else:
            container[key] = junk  # type: ignore[index]
    said(written(content))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_with_text_changed_at_random_loads_or_tells_its_problems(data: st.DataObject) -> None:
    text = FULL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.text(max_size=6) | SYNTAX) + text[end:]
    said(text)


@pytest.mark.parametrize("group", GROUPS)
@settings(max_examples=60, deadline=None)
@given(key=st.data())
def test_every_key_takes_anything_or_tells_what_it_wants(group: str, key: st.DataObject) -> None:
    name = key.draw(st.sampled_from(sorted(GROUPS[group].fields_by_key())))
    data = small()
    data["services"][0][group] = {name: key.draw(JUNK)}
    said(written(data))
