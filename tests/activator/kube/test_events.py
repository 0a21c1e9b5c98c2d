from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from activator.kube.errors import ApiError, UnreachableError
from activator.kube.events import (
    ATTEMPTS,
    BURST,
    LONGEST_NOTE,
    NORMAL,
    REFILL,
    WAITING,
    WARNING,
    Allowance,
    Recorder,
    Report,
    cut,
    event_of,
)
from tests.activator.kube.talk import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.kube.client import Client
    from tests.models.cluster import Cluster

DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": "m-1", "namespace": "models", "uid": "u1", "resourceVersion": "5"},
    "spec": {"replicas": 0},
}


def scaled(note: str = "0 -> 1: because.", name: str = "m-1") -> Report:
    about = {"metadata": {**DEPLOYMENT["metadata"], "name": name, "uid": f"uid-{name}"}}
    return Report(about, NORMAL, "Scale", "ScaledUp", note)


class Api:
    """Takes Events, or fails as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.events: list[dict[str, Any]] = []
        self.failures = list(failures)
        self.asked = 0

    async def create(self, resource: object, body: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        self.events.append(body)
        return body


@asynccontextmanager
async def recording(api: Any) -> AsyncIterator[Recorder]:
    loop = asyncio.get_running_loop()
    recorder = Recorder(api, "edge-1", loop.time, lambda: 1e9 + loop.time())
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_event_is_stored_with_the_deployment_it_is_about(cluster: Cluster, client: Client) -> None:
    async with recording(client) as recorder:
        recorder.tell(Report(DEPLOYMENT, NORMAL, "Scale", "ScaledUp", "0 -> 1: a request is held."))
        await until(lambda: recorder.written)
    (event,) = cluster.objects["events"].values()
    assert event["regarding"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "m-1",
        "namespace": "models",
        "uid": "u1",
        "resourceVersion": "5",
    }
    told = {key: event[key] for key in ("type", "reason", "action", "note", "reportingController", "reportingInstance")}
    assert told == {
        "type": "Normal",
        "reason": "ScaledUp",
        "action": "Scale",
        "note": "0 -> 1: a request is held.",
        "reportingController": "gpu-activator",
        "reportingInstance": "edge-1",
    }


async def test_what_is_told_once_is_stored_once_whoever_tells_it(cluster: Cluster, client: Client) -> None:
    mistake = Report(DEPLOYMENT, WARNING, "Configure", "ConfigurationRefused", "no", once=True)
    for _ in range(2):
        async with recording(client) as recorder:
            recorder.tell(mistake)
            await until(lambda recorder=recorder: recorder.written)  # type: ignore[misc]
    assert len(cluster.objects["events"]) == 1


@pytest.mark.looptime
async def test_a_deployment_gets_a_burst_and_then_one_at_a_time_and_is_told_what_was_withheld() -> None:
    api = Api()
    async with recording(api) as recorder:
        for _ in range(BURST + 7):
            recorder.tell(scaled())
        recorder.tell(scaled(name="n-1"))
        await asyncio.sleep(REFILL)
        recorder.tell(scaled())
        await asyncio.sleep(1)
    notes = [event["note"] for event in api.events if event["regarding"]["name"] == "m-1"]
    assert len(notes) == BURST + 1
    assert notes[-1] == "0 -> 1: because. (7 earlier Events were withheld)"
    assert len(api.events) == BURST + 2
    assert (recorder.written, recorder.withheld, recorder.lost) == (BURST + 2, 7, 0)


def test_an_allowance_never_grows_beyond_a_burst() -> None:
    allowance = Allowance(0.0)
    assert all(allowance.take(1e6) for _ in range(BURST))
    assert not allowance.take(1e6)


@pytest.mark.looptime
async def test_an_event_is_tried_again_while_the_api_server_is_away_and_then_given_up() -> None:
    away = Api(*[UnreachableError("away")] * 2)
    async with recording(away) as recorder:
        recorder.tell(scaled())
        await asyncio.sleep(60)
        assert (recorder.written, away.asked) == (1, 3)
    gone = Api(*[ApiError(503, "", "")] * 99)
    async with recording(gone) as recorder:
        recorder.tell(scaled())
        await asyncio.sleep(600)
        assert (recorder.lost, gone.asked) == (1, ATTEMPTS)


@pytest.mark.looptime
async def test_an_event_that_may_not_be_written_is_not_tried_again_and_holds_up_none() -> None:
    denied = Api(ApiError(403, "Forbidden", ""))
    async with recording(denied) as recorder:
        recorder.tell(scaled())
        recorder.tell(scaled())
        await asyncio.sleep(1)
        assert (recorder.lost, recorder.written) == (1, 1)


@pytest.mark.looptime
async def test_what_waits_is_bounded() -> None:
    recorder = Recorder(Api(), "x", lambda: 0.0, lambda: 1e9)  # type: ignore[arg-type]
    for number in range(WAITING + 5):
        recorder.tell(scaled(name=f"m-{number}"))
    assert recorder.lost == 5


@pytest.mark.looptime
async def test_allowances_of_quiet_deployments_are_forgotten() -> None:
    async with recording(Api()) as recorder:
        for number in range(100):
            recorder.tell(scaled(name=f"m-{number}"))
        await asyncio.sleep(2 * REFILL)
        recorder.tell(scaled(name="last"))
        await asyncio.sleep(1)
        assert len(recorder._allowances) == 1


def test_a_note_is_cut_to_what_the_api_takes_and_keeps_what_was_withheld() -> None:
    note = event_of(scaled("ü" * 2000), " (3 earlier)", "x", 1e9)["note"]
    assert len(note.encode()) <= LONGEST_NOTE
    assert note.endswith("ü... (3 earlier)")
    assert cut("short", 100) == "short"


def test_names_are_unique_but_for_what_is_told_once() -> None:
    def name(report: Report, wall: float) -> str:
        return str(event_of(report, "", "x", wall)["metadata"]["name"])

    once = Report(DEPLOYMENT, WARNING, "Configure", "Refused", "no", once=True)
    assert name(scaled(), 1e9) != name(scaled(), 1e9 + 0.001)
    assert name(once, 1e9) == name(once, 2e9) != name(Report(DEPLOYMENT, WARNING, "", "Refused", "yes", once=True), 1e9)
    assert all(len(each) <= 253 for each in (name(once, 1e9), name(scaled(), 1e9)))
