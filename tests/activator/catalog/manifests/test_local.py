"""A configuration file of a manifest: a command for each component, and everything that can be kept."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from activator.catalog.manifests import use
from activator.settings.problems import SettingsError
from activator.settings.schema import Settings
from activator.settings.source import Source, parse
from tests.activator.catalog.manifests.written import IMAGE, alpha, beta, custom, loaded, written
from tests.activator.settings.files import loaded as settings_of

CHAIN = beta(transformer=custom())


def here(data: Any, *commands: str, config: Source | None = None) -> Any:
    return yaml.safe_load(use.for_here(loaded(written(data)), commands, Settings(), config))


def commands(data: Any, *named: str) -> list[str]:
    return [service["revisions"][0]["command"] for service in here(data, *named)["services"]]


def test_what_is_printed_loads() -> None:
    for data in (CHAIN, beta(explainer=custom())):
        settings = settings_of(use.for_here(loaded(written(data)), ["m=python model.py"], Settings(), None))
        assert settings.services[0].revisions[0].command == ("python", "model.py")


def test_the_closest_name_gives_the_command() -> None:
    assert commands(CHAIN, "m=a") == ["a", "a"]
    assert commands(CHAIN, "m=a", "m-predictor=b") == ["a", "b"]
    assert commands(CHAIN, "m-transformer=t", "m-predictor=b") == ["t", "b"]
    revision = next(loaded(written(CHAIN)).applications[0].revisions())[1].name
    assert commands(CHAIN, "m=a", "m-transformer=t", f"{revision}=r") == ["r", "a"]


def test_two_revisions_may_have_two_commands() -> None:
    data = alpha(
        {"predictor": {"custom": {"container": IMAGE}}},
        {"predictor": {"custom": {"container": {**IMAGE, "image": "b:1"}}}},
    )
    canary = loaded(written(data)).applications[0].components[0].revisions[1].name
    [service] = here(data, "m=a", f"{canary}=b")["services"]
    assert [each["command"] for each in service["revisions"]] == ["a", "b"]
    assert [(each["percent"], each.get("tag")) for each in service["traffic"]] == [(100, None), (0, "canary")]


def test_a_component_without_a_command_is_told_how_to_get_one() -> None:
    with pytest.raises(SettingsError) as caught:
        here(CHAIN, "m-transformer=t")
    assert "m-predictor: has no command here: --command 'm-predictor=python my_model.py'" in str(caught.value)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("n=a", "--command: n: is no component of these manifests (allowed: m, m-predictor, "),
        ("m", "must be NAME=COMMAND"),
    ],
)
def test_a_command_for_nobody_is_refused(command: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        here(CHAIN, "m=a", command)
    assert expected in str(caught.value)


def test_a_command_may_have_equals_signs() -> None:
    assert commands(beta(), "m=env A=b model") == ["env A=b model"]


def test_hosts_are_below_localhost() -> None:
    assert here(beta(), "m=a")["services"][0]["hosts"] == ["m.localhost", "m-predictor.localhost"]


def test_a_transformer_is_told_where_its_predictor_is_at_the_edge() -> None:
    entry, behind = here(CHAIN, "m=a")["services"]
    assert entry["revisions"][0]["env"] == {"PREDICTOR_HOST": "m-predictor.localhost:8080"}
    assert entry["revisions"][0]["wakes"] == ["m-predictor"]
    assert not {"env", "wakes"} & set(behind["revisions"][0])


def test_the_environment_is_kept_but_for_what_the_edge_sets() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "PORT", "value": "9"},
        {"name": "STORAGE_URI", "value": "pvc://a/b"},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    [service] = here(beta({"containers": [{**IMAGE, "env": env}]}), "m=a")["services"]
    assert service["revisions"][0]["env"] == {"A": "1"}


def test_scaling_readiness_and_grace_are_kept() -> None:
    probe = {"httpGet": {"path": "/up"}}
    data = beta(
        {
            "containers": [{**IMAGE, "readinessProbe": probe}],
            "minReplicas": 1,
            "containerConcurrency": 2,
            "terminationGracePeriodSeconds": 90,
        },
        annotations={"gpu-activator/probe-timeout": "3s"},
    )
    [revision] = here(data, "m=a")["services"][0]["revisions"]
    assert revision["autoscaling"] == {"min-scale": 1}
    assert revision["requests"] == {"container-concurrency": 2}
    assert revision["process"] == {"readiness-path": "/up", "termination-grace-period": "90s", "probe-timeout": "3s"}


def test_a_configuration_file_keeps_its_keys_and_gets_the_services() -> None:
    text = "listen: 127.0.0.1:1\nautoscaling: {tick: 1s}\nservices: [{name: a, hosts: [a]}]\n"
    made = here(beta(), "m=a", config=parse(text, "base.yaml"))
    assert (made["listen"], made["autoscaling"]) == ("127.0.0.1:1", {"tick": "1s"})
    assert [each["name"] for each in made["services"]] == ["a", "m"]
