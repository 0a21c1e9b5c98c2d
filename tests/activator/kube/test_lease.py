"""One leader at most, whatever freezes, whoever's clock is wrong; and soon another one when it is gone."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.kube.errors import ApiError, UnreachableError
from activator.kube.lease import LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD, Candidate, Election
from activator.kube.resources import LEASES
from tests.activator.kube.talk import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.kube.client import Client
    from tests.models.cluster import Cluster

Lease = dict[str, Any]


class Api:
    """The API server's Lease, in memory. `delay` holds answers back after the write; `away` = no answer."""

    namespace = "models"

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0
        self.delay = 0.0
        self.away = False
        self.calls: list[str] = []

    async def get(self, resource: object, name: str, sub: str = "", within: float = 0) -> Lease:
        await self._call("get", within)
        if self.lease is None:
            raise ApiError(404, "NotFound", name)
        return copy.deepcopy(self.lease)

    async def create(self, resource: object, body: Lease, within: float = 0) -> Lease:
        await self._call("create", within)
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "")
        return self._store(body)

    async def replace(self, resource: object, name: str, body: Lease, within: float = 0) -> Lease:
        await self._call("replace", within)
        if self.lease is None:
            raise ApiError(404, "NotFound", name)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "")
        return self._store(body)

    async def _call(self, verb: str, within: float) -> None:
        self.calls.append(verb)
        await asyncio.sleep(within if self.away else self.delay)
        if self.away:
            raise UnreachableError("no answer in time")

    def _store(self, body: Lease) -> Lease:
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"] if self.lease else ""


class Edge:
    """A candidate with its own connection, clocks and task."""

    def __init__(self, name: str, api: Api, offset: float = 0.0, wall: float = 1e9) -> None:
        loop = asyncio.get_running_loop()
        self.api = api
        self.changes: list[bool] = []
        self.troubles: list[str] = []
        self.election = Election(
            api,  # type: ignore[arg-type]
            "gpu-activator",
            name,
            clock=lambda: loop.time() + offset,
            wall=lambda: wall,
            jitter=lambda: 0.5,
        )
        self.election.on_change = self.changes.append
        self.election.on_trouble = self.troubles.append
        self.task = asyncio.create_task(self.election.run())

    @property
    def leads(self) -> bool:
        return self.election.leads()

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def edges(*names: str, api: Api | None = None, **more: Any) -> AsyncIterator[tuple[Api, list[Edge]]]:
    api = api or Api()
    running = [Edge(name, api, **more) for name in names]
    try:
        yield api, running
    finally:
        for each in running:
            await each.kill()


async def seconds(count: float) -> None:
    await asyncio.sleep(count)


@pytest.mark.looptime
async def test_the_first_to_create_the_lease_leads_and_the_others_follow() -> None:
    async with edges("a", "b", "c") as (api, (a, b, c)):
        await seconds(60)
        assert (a.leads, b.leads, c.leads) == (True, False, False)
        assert (a.changes, b.changes) == ([True], [])
        assert api.holder == "a"


@pytest.mark.looptime
async def test_a_leader_renews_by_one_call_every_two_seconds() -> None:
    async with edges("a") as (api, _):
        await seconds(1)
        api.calls.clear()
        await seconds(20)
        assert api.calls == ["replace"] * 10


@pytest.mark.looptime
async def test_when_the_leader_is_killed_another_leads_within_the_duration_and_a_period() -> None:
    async with edges("a", "b", "c") as (_, (a, b, c)):
        await seconds(31)
        await a.kill()
        await seconds(LEASE_DURATION - 2 * RETRY_PERIOD)
        assert not b.leads
        assert not c.leads
        await seconds(4 * RETRY_PERIOD)
        assert b.leads + c.leads == 1


@pytest.mark.looptime
async def test_a_lease_that_is_released_is_taken_at_the_next_look() -> None:
    async with edges("a", "b") as (api, (a, b)):
        await seconds(31)
        await a.election.release()
        assert (a.leads, api.holder, a.changes) == (False, "", [True, False])
        await seconds(2 * RETRY_PERIOD)
        assert b.leads
        assert api.lease is not None
        assert api.lease["spec"]["leaseTransitions"] == 1


@pytest.mark.looptime
async def test_one_that_released_while_it_renewed_does_not_come_back() -> None:
    async with edges("a") as (api, (a,)):
        await seconds(11)
        api.delay = 1
        await seconds(1.5)
        await a.election.release()
        await seconds(30)
        assert (api.holder, a.leads, a.task.done()) == ("", False, True)


@pytest.mark.looptime
async def test_one_that_is_released_while_it_waits_to_renew_does_not_come_back() -> None:
    async with edges("a") as (api, (a,)):
        await seconds(11)
        api.delay = 3
        await a.election.release()
        api.delay = 0
        await seconds(30)
        assert (api.holder, a.leads, a.task.done()) == ("", False, True)


@pytest.mark.looptime
async def test_who_does_not_lead_has_nothing_to_release() -> None:
    async with edges("a", "b") as (api, (_, b)):
        await seconds(5)
        api.calls.clear()
        await b.election.release()
        assert api.calls == []
        assert api.holder == "a"


@pytest.mark.looptime
async def test_one_that_was_frozen_is_no_leader_in_its_first_breath() -> None:
    now = [0.0]
    election = Election(Api(), "x", "a", clock=lambda: now[0])  # type: ignore[arg-type]
    task = asyncio.create_task(election.run())
    await seconds(1)
    assert election.leads()
    now[0] += RENEW_DEADLINE  # nothing ran meanwhile
    assert not election.leads()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.looptime
async def test_one_cut_off_from_the_api_stops_before_another_begins() -> None:
    async with edges("a", "b") as (_, (a, b)):
        await seconds(31)
        own = Api()
        own.away = True
        a.election._client = own  # type: ignore[assignment]
        both = gap = 0
        for _ in range(400):
            await seconds(0.1)
            both += a.leads and b.leads
            gap += not a.leads and not b.leads
        assert both == 0
        assert 0 < gap <= 80
        assert b.leads
        assert a.changes == [True, False]
        assert a.troubles == ["no answer in time"]


@pytest.mark.looptime
async def test_an_api_that_takes_five_seconds_for_each_answer_unseats_nobody() -> None:
    async with edges("a", "b") as (api, (a, b)):
        await seconds(10)
        api.delay = 5
        await seconds(120)
        assert (a.changes, b.changes) == ([True], [])


@pytest.mark.looptime
async def test_nobody_leads_while_the_api_is_away_for_all_and_somebody_does_soon_after() -> None:
    async with edges("a", "b") as (api, (a, b)):
        await seconds(10)
        api.away = True
        await seconds(30)
        assert not a.leads
        assert not b.leads
        api.away = False
        await seconds(WITHIN_ONE_ROUND)
        assert a.leads + b.leads == 1


@pytest.mark.looptime
async def test_that_the_lease_cannot_be_reached_is_told_once_until_it_can() -> None:
    async with edges("a") as (api, (a,)):
        for _ in range(2):
            await seconds(30)
            api.away = True
            await seconds(60)
            api.away = False
        assert a.troubles == ["no answer in time"] * 2


WITHIN_ONE_ROUND = 2 * RETRY_PERIOD + 6


@pytest.mark.looptime
@pytest.mark.parametrize("wrong", [3600.0, -3 * 3600.0])
async def test_wall_clocks_that_are_wrong_change_nothing(wrong: float) -> None:
    api = Api()
    async with edges("a", api=api, wall=1e9), edges("b", api=api, wall=1e9 + wrong, offset=77.0) as (_, (b,)):
        await seconds(60)
        assert (api.holder, b.changes) == ("a", [])


@pytest.mark.looptime
async def test_a_deleted_lease_is_created_anew_and_led_by_one() -> None:
    async with edges("a", "b") as (api, (a, b)):
        await seconds(31)
        api.lease = None
        await seconds(5)
        assert a.leads + b.leads == 1


def test_of_two_that_try_at_once_only_one_succeeds_since_they_name_the_version_they_read() -> None:
    old = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 15}}
    a = Candidate("a")
    assert not a.look(old, 100.0)
    assert a.look(old, 115.0)
    claim = a.claim(old, "models", "x", 1e9)
    assert claim["metadata"]["resourceVersion"] == "7"
    assert claim["spec"]["leaseTransitions"] == 1
    assert not a.leads(115.0), "nothing was accepted yet"


def test_the_duration_that_the_holder_wrote_counts() -> None:
    patient = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "x", "leaseDurationSeconds": 60}}
    candidate = Candidate("a")
    candidate.look(patient, 0.0)
    assert not candidate.look(patient, 59.9)
    assert candidate.look(patient, 60.0)


@pytest.mark.parametrize(
    "spec", [None, {}, {"holderIdentity": None, "leaseDurationSeconds": None, "leaseTransitions": "x"}]
)
def test_an_empty_or_odd_lease_is_free(spec: dict[str, Any] | None) -> None:
    candidate = Candidate("a")
    lease = {"metadata": {"resourceVersion": "1"}, "spec": spec}
    assert candidate.look(lease, 0.0)
    assert candidate.claim(lease, "models", "x", 1e9)["spec"]["holderIdentity"] == "a"


def held(holder: str, version: str = "1") -> Lease:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    return {"metadata": {"resourceVersion": version}, "spec": spec}


def leader(now: float) -> Candidate:
    candidate = Candidate("a")
    candidate.look(None, now)
    candidate.wrote(held("a"), now, now)
    assert candidate.leads(now)
    return candidate


def test_the_deadline_counts_from_before_the_renewal_was_sent() -> None:
    candidate = Candidate("a")
    candidate.wrote(held("a"), sent=100.0, now=109.0)
    assert candidate.leads(100.0 + RENEW_DEADLINE - 0.1)
    assert not candidate.leads(100.0 + RENEW_DEADLINE)


def test_one_that_reads_that_another_holds_the_lease_leads_no_more() -> None:
    candidate = leader(100.0)
    assert not candidate.look(held("b", "2"), 101.0)
    assert not candidate.leads(101.0)


def test_one_that_finds_no_lease_leads_no_more_until_it_has_a_new_one() -> None:
    candidate = leader(100.0)
    assert candidate.look(None, 101.0)
    assert not candidate.leads(101.0)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0.1, 1.0, 2.0, 5.0, 9.9, 10.0, 14.9, 15.0, 40.0])), max_size=60
    )
)
def test_however_slow_each_step_of_each_is_two_never_lead_at_once(steps: list[tuple[int, float]]) -> None:
    offsets = (0.0, 5000.0, -5000.0)
    candidates = [Candidate(name) for name in "abc"]
    pending: list[Any] = [None, None, None]
    server: Lease | None = None
    version, now = 0, 10_000.0
    for index, passed in steps:
        now += passed
        candidate, clock = candidates[index], now + offsets[index]
        if pending[index] is None:
            seen = copy.deepcopy(server)
            if candidate.look(seen, clock):
                pending[index] = ("sent", candidate.claim(seen, "models", "x", now), clock)
        elif pending[index][0] == "sent":
            _, body, sent = pending[index]
            present = server["metadata"]["resourceVersion"] if server else None
            pending[index] = None
            if body["metadata"].get("resourceVersion") == present:
                version += 1
                server = copy.deepcopy(body)
                server["metadata"]["resourceVersion"] = str(version)
                pending[index] = ("accepted", copy.deepcopy(server), sent)
        else:
            _, written, sent = pending[index]
            pending[index] = None
            candidate.wrote(written, sent, clock)
        assert sum(each.leads(now + offset) for each, offset in zip(candidates, offsets, strict=True)) <= 1


async def test_on_the_wire_it_is_a_lease_as_others_write_it(cluster: Cluster, client: Client) -> None:
    election = Election(client, "gpu-activator", "pod-1")
    task = asyncio.create_task(election.run())
    try:
        await until(election.leads)
        lease = await client.get(LEASES, "gpu-activator")
        spec = lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("pod-1", 15, 0)
        assert spec["renewTime"].endswith("Z")
        assert len(spec["renewTime"]) == len("2026-01-01T00:00:00.000000Z")
        await election.release()
        assert cluster.get("leases", "gpu-activator")["spec"]["holderIdentity"] == ""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
