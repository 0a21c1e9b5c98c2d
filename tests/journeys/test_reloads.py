"""A configuration is replaced while requests come: all of it, or nothing of it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.journeys.services import revision, service, slow

if TYPE_CHECKING:
    from tests.journeys.edge import Edge

BAD = {
    "broken YAML": "services: [unclosed",
    "an unknown key": "services: []\nsevices: []\n",
    "nothing at all": "",
}


async def test_the_log_tells_by_which_file_the_edge_begins_to_serve(edge: Edge) -> None:
    (line,) = edge.logs("serving")
    assert line["file"] == str(edge.daemon.file)


async def test_a_changed_file_is_noticed_without_a_signal(edge: Edge) -> None:
    await edge.deploy(service("watched", **{"show-revision": True}))
    assert "Activator-Revision" in (await edge.request("watched")).headers
    services = [each for each in edge.daemon.config["services"] if each["name"] != "watched"]
    edge.daemon.write({**edge.daemon.config, "services": [*services, service("watched")]})

    async def changed() -> bool | None:
        return "Activator-Revision" not in (await edge.request("watched")).headers or None

    await edge.eventually(changed)


async def test_a_stream_survives_the_reload_that_removes_its_service(edge: Edge) -> None:
    await edge.deploy(service("removed"))
    stream = asyncio.create_task(edge.request("removed", "/?id=1&stream=1.5"))
    await edge.until(lambda: edge.stamps("removed-1"))
    await edge.undeploy()
    assert (await edge.request("removed")).status == 404
    assert (await stream).body.endswith(b"data: [DONE]\n\n")


async def test_a_request_held_for_a_revision_that_is_removed_goes_to_its_successor(edge: Edge) -> None:
    await edge.deploy(service("moved", slow("moved-1", 30)))
    held = asyncio.create_task(edge.request("moved", "/?id=1"))
    await edge.held("moved", 1)
    await edge.deploy(service("moved", revision("moved-2")))
    answer = await held
    assert (answer.status, answer.json["replica"].rpartition("-")[0]) == (200, "moved-2")
    await asyncio.sleep(1.5)  # what is left of the first one is forgotten, and the next second is counted
    assert (await edge.request("moved")).status == 200


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
async def test_a_bad_file_keeps_the_running_configuration_and_is_told(edge: Edge, text: str) -> None:
    name = f"kept-{len(text)}"
    await edge.deploy(service(name))
    failures = await edge.metric("activator_config_reload_failures_total")
    refused = len(edge.logs("configuration refused"))
    edge.daemon.write_text(text)
    edge.daemon.signal(signal.SIGHUP)
    await edge.until(lambda: len(edge.logs("configuration refused")) > refused)
    assert str(edge.daemon.file) in edge.logs("configuration refused")[-1]["problems"][0]
    assert await edge.metric("activator_config_reload_failures_total") > failures
    assert await edge.metric("activator_config_valid") == 0
    assert edge.logs("configuration refused")[-1]["problems"][0] in (await edge.admin("/v1/services"))["troubles"][0]
    assert (await edge.request(name)).status == 200

    await edge.reload(edge.daemon.config)
    assert await edge.metric("activator_config_valid") == 1
    assert (await edge.admin("/v1/services"))["troubles"] == []


async def test_keys_that_need_a_restart_are_named(edge: Edge) -> None:
    await edge.deploy(service("fixed"))
    before = edge.daemon.config
    await edge.reload({**before, "listen": "127.0.0.1:1"})
    assert edge.logs("these keys need a restart")[-1]["keys"] == ["listen"]
    assert (await edge.request("fixed")).status == 200
    await edge.reload(before)
