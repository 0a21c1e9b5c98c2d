"""Where a configuration can be, and that each place is followed as far as it can change."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from activator.kube.permissions import NAME
from activator.origin import KEY, VARIABLE, ConfigMapOrigin, FileOrigin, TextOrigin, begin, place
from activator.settings.problems import SettingsError
from router.tasks import Tasks
from tests.activator.kube.talk import client_of, until
from tests.models.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.kube.client import Client

GOOD = "scaler: kubernetes\nservices: []\n"


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[Cluster, Client]]:
    cluster = Cluster()
    await cluster.start()
    client = client_of(cluster)
    try:
        yield cluster, client
    finally:
        await client.close()
        await cluster.stop()


def config_map(text: str, key: str = KEY) -> dict[str, object]:
    return {"metadata": {"name": NAME}, "data": {key: text}}


async def test_a_file_is_read_whenever_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    origin = FileOrigin(file)
    assert (await origin.read()).scaler == "kubernetes"
    assert (origin.files, origin.name, origin.changed()) == ((file,), str(file), False)


async def test_a_text_in_the_environment_is_a_configuration() -> None:
    origin = TextOrigin("$X", GOOD)
    assert (await origin.read()).services == ()
    with pytest.raises(SettingsError, match=r"\$X:1: services"):
        await TextOrigin("$X", "services: 3").read()


async def test_a_path_in_the_environment_is_told_how_files_are_named() -> None:
    with pytest.raises(SettingsError, match=r"\$X: must be the configuration itself; .* --config \(got '/etc/x.yaml'"):
        await TextOrigin("$X", "/etc/x.yaml\n").read()


async def test_where_the_default_file_is_not_it_is_told_how_to_name_another(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(SettingsError, match="No such file or directory; name a file by --config"):
        await begin(None, missing, None)
    with pytest.raises(SettingsError, match=r"No such file or directory$"):
        await begin(str(missing), missing, None)


async def test_a_file_of_the_configuration_that_cannot_be_read_is_not_taken_for_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("process: {upstream-tls: 'on', upstream-ca: none.pem}\nservices: []\n")
    with pytest.raises(SettingsError, match=r"upstream-ca: cannot be read: No such file or directory \(got") as told:
        await begin(None, file, None)
    assert told.value.files


async def test_a_config_map_is_read_through_the_api_and_followed() -> None:
    async with talking() as (cluster, client):
        cluster.put("configmaps", config_map(GOOD))
        origin = ConfigMapOrigin(client, NAME)
        await origin.fetch()
        assert (await origin.read()).drain_timeout == 45
        tasks = Tasks(lambda name, error: None)
        origin.follow(tasks)
        try:
            await until(lambda: cluster.asked("watch", "configmaps"))
            assert not origin.changed()
            cluster.put("configmaps", config_map(GOOD + "drain-timeout: 9s\n"))
            await until(origin.changed)
            assert (await origin.read()).drain_timeout == 9
            assert not origin.changed()
            cluster.change("configmaps", NAME, lambda item: item["metadata"].update(annotations={"a": "b"}))
            cluster.put("configmaps", config_map("services: 1", "other"))
            await until(origin.changed)
            with pytest.raises(SettingsError, match=f"configmap/{NAME}: has no key {KEY}"):
                await origin.read()
            assert not origin.changed(), "a mistake is told once"
            cluster.put("configmaps", config_map(GOOD))
            await until(origin.changed)
            await origin.read()
            cluster.remove("configmaps", NAME)
            await until(lambda: origin.object is None)
            assert not origin.changed(), "what was last read stays in force"
        finally:
            await tasks.close()


async def test_a_config_map_that_is_not_there_is_a_problem_that_names_it() -> None:
    async with talking() as (_, client):
        origin = ConfigMapOrigin(client, "nothing")
        await origin.fetch()
        with pytest.raises(SettingsError, match="configmap/nothing: does not exist in this namespace"):
            await origin.read()


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    default, environment = Path("config/local.yaml"), {VARIABLE: GOOD}
    for option, variables, kind, name in (
        (None, {}, FileOrigin, "config/local.yaml"),
        (None, environment, TextOrigin, f"${VARIABLE}"),
        ("a.yaml", environment, FileOrigin, "a.yaml"),
    ):
        found = place(option, default, variables)
        assert isinstance(found, kind)
        assert found.name == name
    assert place("configmap/x", default, environment) == "x"
    assert place("configmap/", default, environment) == NAME
