"""How an edge stops, and what its next run knows of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.daemon import ACTIVATOR
from tests.journeys.services import OBEDIENT, configuration, gated, revision, service, slow

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge


async def test_sigterm_lets_requests_end_and_leaves_nothing_behind(serve: Serve) -> None:
    edge = serve(configuration(service("warm"), service("cold", gated("cold-1")), **{"drain-timeout": "60s"}))
    stream = asyncio.create_task(edge.request("warm", "/?id=stream&until=cold-1"))
    held = asyncio.create_task(edge.request("cold", "/?id=held"))
    await edge.until(lambda: edge.stamps("warm-1"))
    await edge.held("cold", 1)
    edge.daemon.signal(signal.SIGTERM)
    await edge.until(lambda: edge.logs("draining"))

    async def refused() -> bool | None:
        try:
            _, writer = await edge.connect()
        except ConnectionError:
            return True
        writer.close()
        return None

    await edge.eventually(refused)
    edge.open("cold-1")
    assert (await stream).body.endswith(b"data: [DONE]\n\n")
    assert (await held).status == 200
    assert await asyncio.to_thread(edge.daemon.ended) == 0
    assert edge.daemon.processes() == []


def test_a_reload_that_is_asked_for_while_the_edge_starts_is_done_when_it_serves(tmp_path: Path) -> None:
    file = tmp_path / "activator.yaml"
    file.write_text(json.dumps(configuration(service("warm"))))
    with subprocess.Popen([ACTIVATOR, "serve", "--config", file], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"uvloop" not in Path(f"/proc/{process.pid}/maps").read_bytes():
            time.sleep(0.001)
        process.send_signal(signal.SIGHUP)
        events = (json.loads(line)["event"] for line in process.stderr)
        assert [next(events, None), next(events, None)] == ["serving", "configuration taken over"]
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_edge_that_is_told_to_stop_before_it_serves_says_so_and_ends_well(tmp_path: Path, number: int) -> None:
    file = tmp_path / "activator.yaml"
    file.write_text(json.dumps(configuration(service("warm"))))
    with subprocess.Popen([ACTIVATOR, "serve", "--config", file], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while b"uvloop" not in Path(f"/proc/{process.pid}/maps").read_bytes():
            time.sleep(0.001)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["stopped before it served"]
    assert process.returncode == 0


def test_an_edge_that_is_told_to_stop_while_it_waits_for_the_api_server_ends_well(tmp_path: Path) -> None:
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}
    user = {"name": "u", "user": {"token": "sesame"}}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}))
    command, environment = [ACTIVATOR, "serve", "--config", "configmap/edge"], {**os.environ, "KUBECONFIG": str(file)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        waits = json.loads(process.stderr.readline())
        process.terminate()
        *_, last = map(json.loads, process.stderr)
        assert process.wait(60) == 0
    assert (waits["event"], last["event"]) == ("the configuration cannot be read yet", "stopped before it served")


async def test_what_does_not_end_in_time_is_cut_and_what_waits_is_told(serve: Serve) -> None:
    services = (service("warm"), service("cold", slow("cold-1", 30)))
    edge = serve(configuration(*services, **{"drain-timeout": "500ms"}))
    stream = asyncio.create_task(edge.request("warm", "/?id=stream&stream=30"))
    held = asyncio.create_task(edge.request("cold", "/?id=held"))
    await edge.until(lambda: edge.stamps("warm-1"))
    await edge.held("cold", 1)
    edge.daemon.signal(signal.SIGTERM)
    assert (await stream).cut
    answer = await held
    assert (answer.status, answer.reason) == (503, "shutting_down")
    assert await asyncio.to_thread(edge.daemon.ended) == 0
    assert edge.daemon.processes() == []


async def test_the_time_that_replicas_take_to_end_with_the_edge_is_usage_and_they_start_again(serve: Serve) -> None:
    patient = revision("patient-1", ["sh", "-c", 'trap "" TERM; "$@"', "sh", *OBEDIENT])
    keys = {"autoscaling": {"min-scale": 1}, "process": {"termination-grace-period": "3s"}}
    edge = serve(configuration(service("patient", patient, **keys)))
    await edge.ready("patient", 1)
    before = 60 * await _minutes(edge)
    began = time.monotonic()
    edge.daemon.signal(signal.SIGTERM)
    assert await asyncio.to_thread(edge.daemon.ended) == 0
    assert time.monotonic() - began > 3
    state = edge.daemon.home / "state"
    ((*_, seconds, _),) = json.loads((state / "usage.json").read_text())["rows"]
    assert seconds - before > 2.9
    assert json.loads((state / "revisions.json").read_text())["revisions"]["patient-1"]["desired"] == 1


async def test_usage_survives_a_restart_and_every_command_tells_of_the_edge(serve: Serve) -> None:
    edge = serve(configuration(service("billed", autoscaling={"min-scale": 2})))
    await edge.ready("billed", 2)

    async def some_usage() -> float | None:
        return await _minutes(edge) or None

    first = await edge.eventually(some_usage)
    edge.daemon.signal(signal.SIGTERM)
    assert await asyncio.to_thread(edge.daemon.ended) == 0
    edge.daemon.start()
    assert await _minutes(edge) >= first
    table, listing, told = await asyncio.gather(
        _command(edge, "usage", "--csv"),
        _command(edge, "status", "--json"),
        _command(edge, "explain", "billed"),
    )
    titles, row = table.splitlines()
    assert titles == "day,service,revision,replica_minutes,idle_replica_minutes"
    assert ",billed,billed-1," in row
    assert json.loads(listing)["services"][0]["name"] == "billed"
    assert "billed-1  -> 2" in told


async def _minutes(edge: Edge) -> Any:
    return sum(row["replica_minutes"] for row in (await edge.admin("/v1/usage"))["usage"])


async def _command(edge: Edge, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(ACTIVATOR, *arguments, "--admin", edge.daemon.admin), stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
