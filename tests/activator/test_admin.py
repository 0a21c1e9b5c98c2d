from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from socket import gethostname
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from activator.admin import Admin
from activator.lifecycle import Life
from activator.scalers.memory import Start
from tests.activator.parts import CANARY, all_parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.activator.parts import Parts


class Operator:
    """Somebody who asks the admin listener of `parts`."""

    def __init__(self, parts: Parts, session: ClientSession) -> None:
        self.parts = parts
        self.session = session

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        async with self.session.get(path, **options) as response:
            assert response.status == status
            assert response.content_type == "application/json"
            return await response.json()

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        async with self.session.post(path, **(body or {"json": {}})) as response:
            assert response.status == status
            return await response.json()


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    async with all_parts() as parts:
        admin = Admin(parts.insight, parts.wall, parts.kept)
        port = await admin.open("127.0.0.1", 0)
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            yield Operator(parts, session)
        await admin.close()


class TestHealth:
    async def test_healthz_is_good_while_the_process_answers(self, operator: Operator) -> None:
        assert await operator.get("/healthz") == {"status": "ok"}

    async def test_readyz_is_good_only_while_the_edge_serves(self, operator: Operator) -> None:
        assert await operator.get("/readyz", status=503) == {"status": "not ready"}
        operator.parts.insight.ready = True
        assert await operator.get("/readyz") == {"status": "ready"}


class TestMetrics:
    async def test_they_are_in_prometheus_text_format(self, operator: Operator) -> None:
        async with operator.session.get("/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            families = list(text_string_to_metric_families(await response.text()))
        assert "autoscaler_desired_pods" in {family.name for family in families}

    async def test_many_scrapes_at_once_are_answered(self, operator: Operator) -> None:
        async def scrape() -> int:
            async with operator.session.get("/metrics") as response:
                return response.status

        assert await asyncio.gather(*(scrape() for _ in range(30))) == [200] * 30

    async def test_no_look_counts_as_a_request_or_wakes_anybody(self, operator: Operator) -> None:
        for path in ("/healthz", "/v1/services", "/v1/services/m", "/v1/usage"):
            await operator.get(path)
        assert operator.parts.scaler.replicas("m-1").desired == 0
        assert not operator.parts.loop.pokes


class TestServices:
    async def test_what_is_wrong_with_the_edge_itself_is_told_beside_them(self, operator: Operator) -> None:
        assert (await operator.get("/v1/services"))["troubles"] == []
        operator.parts.insight.config_problems = ("e.yaml:1: x: unknown key",)
        operator.parts.insight.restart_keys = ["listen", "tls"]
        operator.parts.insight.saved = lambda: False
        assert (await operator.get("/v1/services"))["troubles"] == [
            "configuration refused, and what was in force stays: e.yaml:1: x: unknown key",
            "these keys need a restart, and what was in force stays: listen, tls",
            "state cannot be saved: the log of the edge tells why",
        ]

    async def test_all_services_are_listed_by_name(self, operator: Operator) -> None:
        services = (await operator.get("/v1/services"))["services"]
        assert [service["name"] for service in services] == ["m", "n"]
        assert services[0]["hosts"] == ["m.example", "www.m.example"]
        assert [service["models"] for service in services] == [[], ["org/n", "n"]]
        assert [revision["name"] for revision in services[0]["revisions"]] == ["m-1", "m-2"]

    async def test_a_sleeping_revision_is_described(self, operator: Operator) -> None:
        service = await operator.get("/v1/services/m")
        assert service["revisions"][0] == {
            "name": "m-1",
            "percent": 90,
            "tag": "stable",
            "phase": "asleep",
            "message": "",
            "desired": 0,
            "replicas": [],
            "held": 0,
            "open": 0,
            "stable": 0.0,
            "panic": 0.0,
            "target": 1.0,
            "metric": "concurrency",
            "panicking": False,
            "idle_since": None,
            "zero_at": None,
            "start_failures": 0,
            "last_failure": "",
            "last_cold_start_seconds": None,
            "died": None,
            "why": None,
        }

    async def test_a_waking_revision_is_described(self, operator: Operator) -> None:
        operator.parts.scaler.script("m-1", [Start(unschedulable=60, reason="no GPU is free")])
        await operator.parts.ask()
        await asyncio.sleep(0.01)
        revision = (await operator.get("/v1/services/m"))["revisions"][0]
        assert (revision["phase"], revision["message"]) == ("pending", "no GPU is free")
        assert (revision["held"], revision["open"], revision["desired"]) == (1, 1, 1)
        assert revision["why"].startswith("Wants 1 because 1 request ")
        assert revision["replicas"] == [
            {
                "name": "m-1-1",
                "phase": "pending",
                "since": "2026-01-02T00:00:00.000+00:00",
                "address": None,
                "in_flight": 0,
                "message": "no GPU is free",
            }
        ]

    async def test_the_idle_clock_is_told_as_times_of_day(self, operator: Operator) -> None:
        parts = operator.parts
        parts.proxy.restore("m-1", 990.0, None)
        parts.scaler.scale("m-1", 1)
        await asyncio.sleep(0.01)
        parts.loop.step("m-1")
        revision = (await operator.get("/v1/services/m"))["revisions"][0]
        assert revision["idle_since"] == "2026-01-01T23:59:50.000+00:00"
        assert revision["zero_at"] == "2026-01-02T00:05:00.000+00:00"
        assert revision["last_cold_start_seconds"] == 0.0
        assert revision["replicas"][0]["address"].startswith("127.0.0.1:")

    async def test_a_replica_that_died_while_it_served_is_told_for_an_hour(self, operator: Operator) -> None:
        parts = operator.parts
        parts.scaler.scale("m-1", 1)
        await asyncio.sleep(0.01)
        parts.now += 20
        parts.scaler._fleets["m-1"].ended("m-1-1", "m-1-1 exited with code 9")
        await asyncio.sleep(0.01)
        for seconds, told in ((3600, True), (1, False)):
            parts.now += seconds
            revision = (await operator.get("/v1/services/m"))["revisions"][0]
            assert (revision["phase"], revision["message"]) == ("ready", "")
            died = {"at": "2026-01-02T00:00:20.000+00:00", "message": "m-1-1 exited with code 9"}
            assert revision["died"] == (died if told else None)

    async def test_an_address_of_ipv6_is_told_in_brackets(self, operator: Operator) -> None:
        operator.parts.scaler.scale("m-1", 1)
        await asyncio.sleep(0.01)
        operator.parts.scaler._fleets["m-1"].running("m-1-1", "fd00::7", 8080)
        revision = (await operator.get("/v1/services/m"))["revisions"][0]
        assert revision["replicas"][0]["address"] == "[fd00::7]:8080"

    async def test_failing_starts_are_told(self, operator: Operator) -> None:
        operator.parts.scaler.script("m-1", [Start(failure="CUDA is missing", doomed=True)])
        await operator.parts.ask()
        await asyncio.sleep(0.01)
        revision = (await operator.get("/v1/services/m"))["revisions"][0]
        assert (revision["phase"], revision["start_failures"]) == ("failing", 1)
        assert revision["last_failure"] == revision["message"] == "CUDA is missing"

    async def test_an_unknown_service_is_a_404_that_names_the_known(self, operator: Operator) -> None:
        for path in ("/v1/services/nobody", "/v1/services/nobody/decisions"):
            answer = await operator.get(path, status=404)
            assert answer == {"reason": "not_found", "message": "There is no service 'nobody'. Known: m, n."}


class TestDecisions:
    async def test_before_any_there_are_none(self, operator: Operator) -> None:
        assert await operator.get("/v1/services/m/decisions") == {
            "service": "m",
            "decisions": [],
            "rollout": [],
            "troubles": [],
        }

    async def test_a_decision_is_told_with_its_reason_and_numbers(self, operator: Operator) -> None:
        operator.parts.scaler.script("m-1", [Start(delay=60)])
        await operator.parts.ask()
        (decision,) = (await operator.get("/v1/services/m/decisions"))["decisions"]
        assert decision == {
            "at": "2026-01-02T00:00:00.000+00:00",
            "revision": "m-1",
            "replicas": 1,
            "why": (
                "Wants 1 because 1 request on average over the stable window asks for 1 at a target of 1 per replica."
            ),
            "poked": True,
            "valid": True,
            "ready": 0,
            "target": 1.0,
            "metric": "concurrency",
            "stable": 1.0,
            "panic": 1.0,
            "want_stable": 1,
            "want_panic": 1,
            "desired": 1,
            "panicking": False,
            "excess_burst_capacity": -1,
            "binding": "load",
            "clamps": [],
            "idle_since": None,
            "zero_at": None,
        }

    async def test_what_keeps_a_start_from_succeeding_is_told_beside_them(self, operator: Operator) -> None:
        operator.parts.scaler.script("m-1", [Start(failure="CUDA is missing", doomed=True)])
        await operator.parts.ask()
        await asyncio.sleep(0.01)
        assert (await operator.get("/v1/services/m/decisions"))["troubles"] == [
            {
                "revision": "m-1",
                "phase": "failing",
                "failed": 1,
                "message": "CUDA is missing",
                "retry_at": "2026-01-02T00:00:00.250+00:00",
                "logs": None,
            }
        ]
        operator.parts.insight.logs = "/logs/{}".format
        (trouble,) = (await operator.get("/v1/services/m/decisions"))["troubles"]
        assert trouble["logs"] == "/logs/m-1"

    async def test_until_when_no_other_start_is_tried_is_told_only_while_none_is_under_way(
        self, operator: Operator
    ) -> None:
        operator.parts.scaler.script("m-1", [Start(failure="out of memory"), Start(delay=100)])
        operator.parts.scaler.scale("m-1", 1)
        await asyncio.sleep(0.01)
        (trouble,) = (await operator.get("/v1/services/m/decisions"))["troubles"]
        assert (trouble["phase"], trouble["retry_at"]) == ("starting", "2026-01-02T00:00:00.250+00:00")
        operator.parts.now += 0.25
        operator.parts.scaler.scale("m-1", 1)
        (trouble,) = (await operator.get("/v1/services/m/decisions"))["troubles"]
        assert (trouble["message"], trouble["retry_at"]) == ("out of memory", None)

    async def test_why_the_last_start_failed_is_told_when_nobody_waits_any_more(self, operator: Operator) -> None:
        life = Life(overdue=1, retry_at=operator.parts.now - 1, complaint="GET /helth answered 404")
        operator.parts.loop.revisions["m-1"].life = life
        (trouble,) = (await operator.get("/v1/services/m/decisions"))["troubles"]
        assert (trouble["phase"], trouble["failed"]) == ("asleep", 1)
        assert trouble["message"].endswith("GET /helth answered 404")

    async def test_the_rule_that_had_the_last_word_is_named(self, operator: Operator) -> None:
        operator.parts.scaler.scale("m-1", 1)
        await asyncio.sleep(0.01)
        operator.parts.loop.step("m-1")
        (decision,) = (await operator.get("/v1/services/m/decisions"))["decisions"]
        assert decision["binding"] == "idle period"
        assert decision["clamps"] == [{"name": "idle period", "before": 0, "after": 1}]

    async def test_the_last_ones_are_given_up_to_the_limit(self, operator: Operator) -> None:
        for second in range(5):
            operator.parts.now = 1000.0 + second
            operator.parts.loop.step("m-1")
        for limit, seconds in ((2, ["03", "04"]), (0, []), (1000, ["00", "01", "02", "03", "04"])):
            decisions = (await operator.get(f"/v1/services/m/decisions?limit={limit}"))["decisions"]
            assert [decision["at"][17:19] for decision in decisions] == seconds

    @pytest.mark.parametrize("limit", ["-1", "1001", "ten", "", "1.5", "%C2%B2", "9" * 5000])
    async def test_a_limit_that_is_none_is_refused(self, operator: Operator, limit: str) -> None:
        answer = await operator.get(f"/v1/services/m/decisions?limit={limit}", status=400)
        assert answer["reason"] == "bad_request"
        assert "whole number from 0 to 1000" in answer["message"]


class TestUsage:
    async def test_the_ledger_is_given(self, operator: Operator) -> None:
        operator.parts.ledger.add(("m", "m-1"), (2, 1), 60.0, operator.parts.wall() + 60)
        assert await operator.get("/v1/usage") == {
            "usage": [
                {
                    "day": "2026-01-02",
                    "service": "m",
                    "revision": "m-1",
                    "replica_minutes": 2.0,
                    "idle_replica_minutes": 1.0,
                }
            ]
        }


class TestErrors:
    async def test_an_unknown_path_is_a_404_in_json_that_names_the_known(self, operator: Operator) -> None:
        answer = await operator.get("/nowhere", status=404)
        assert answer["reason"] == "not_found"
        assert "Known: /healthz, /readyz, /metrics, /v1/services, /v1/services/{name}, " in answer["message"]

    async def test_another_method_is_a_405_in_json_that_names_the_allowed(self, operator: Operator) -> None:
        async with operator.session.post("/v1/services") as response:
            assert response.status == 405
            assert response.headers["Allow"] == "GET,HEAD"
            assert (await response.json())["reason"] == "method_not_allowed"

    async def test_an_address_in_use_is_an_os_error(self, operator: Operator) -> None:
        port = operator.session._base_url.port if operator.session._base_url else 0
        other = Admin(operator.parts.insight, operator.parts.wall, operator.parts.kept)
        with pytest.raises(OSError, match="in use"):
            await other.open("127.0.0.1", port or 0)
        await other.close()

    async def test_closing_what_never_listened_is_harmless(self, operator: Operator) -> None:
        await Admin(operator.parts.insight, operator.parts.wall, operator.parts.kept).close()


class TestCanaries:
    async def test_a_service_without_one_says_so(self, operator: Operator) -> None:
        assert (await operator.get("/v1/services/m"))["canary"] is None

    async def test_a_rollout_is_told_with_all_its_numbers(self, operator: Operator) -> None:
        operator.parts.configure(canaries=(CANARY,))
        told = (await operator.get("/v1/services/m"))["canary"]
        seen = told.pop("seen")
        assert told == {
            "revision": "m-2",
            "stable": "m-1",
            "phase": "running",
            "percent": 1,
            "stable_percent": 99,
            "goal": 10,
            "steps": [1, 5, 10],
            "step": 0,
            "step_seconds": 0.0,
            "step_requests": 0,
            "has_been_warm": False,
            "falls_back": True,
            "fallbacks": 0,
            "guarded": True,
            "why": "m-2 gets 1 %; until it has a replica, m-1 answers for it.",
        }
        assert seen["canary"] == seen["stable"] == {"requests": 0, "failed": 0, "p95_seconds": None}
        assert seen["evidence"].keys() == {"errors", "slowness"}

    async def test_its_share_now_is_that_of_the_revisions(self, operator: Operator) -> None:
        operator.parts.configure(canaries=(CANARY,))
        revisions = (await operator.get("/v1/services/m"))["revisions"]
        assert [revision["percent"] for revision in revisions] == [99, 1]

    @pytest.mark.parametrize(
        ("move", "phase", "percent"), [("promote", "promoted", 100), ("rollback", "rolled-back", 0)]
    )
    async def test_an_operator_moves_the_traffic(self, operator: Operator, move: str, phase: str, percent: int) -> None:
        operator.parts.configure(canaries=(CANARY,))
        told = await operator.post(f"/v1/services/m/{move}")
        assert (told["canary"]["phase"], told["canary"]["percent"]) == (phase, percent)
        assert told["why"] == told["canary"]["why"]
        assert (await operator.post("/v1/services/m/restart"))["canary"]["percent"] == 1

    async def test_what_happened_is_among_the_decisions(self, operator: Operator) -> None:
        operator.parts.configure(canaries=(CANARY,))
        await operator.post("/v1/services/m/rollback")
        told = (await operator.get("/v1/services/m/decisions"))["rollout"]
        assert [(each["kind"], each["revision"]) for each in told] == [("begun", "m-2"), ("rolled-back", "m-2")]
        assert (await operator.get("/v1/services/m/decisions?limit=1"))["rollout"] == told[1:]

    async def test_a_service_without_one_cannot_be_moved(self, operator: Operator) -> None:
        told = await operator.post("/v1/services/n/promote", status=409)
        assert told == {
            "reason": "conflict",
            "message": "n has no canary. Name one in its configuration: canary.revision.",
        }
        assert (await operator.post("/v1/services/nobody/promote", status=404))["reason"] == "not_found"

    async def test_an_edge_that_does_not_lead_moves_nothing(self, operator: Operator) -> None:
        operator.parts.configure(canaries=(CANARY,))
        operator.parts.rollouts.leads = lambda: False
        told = await operator.post("/v1/services/m/promote", status=409)
        assert told["message"] == "Another edge leads, and moves the traffic. Ask that one: see activator_leader."
        assert operator.parts.rollouts.shares("m") == (1, 99)

    async def test_a_form_of_some_page_moves_nothing(self, operator: Operator) -> None:
        operator.parts.configure(canaries=(CANARY,))
        for body in ({"data": {"a": "b"}}, {"data": b"{}", "headers": {"Content-Type": "text/plain"}}):
            await operator.post("/v1/services/m/promote", status=415, **body)
        assert operator.parts.rollouts.shares("m") == (1, 99)

    @pytest.mark.parametrize(
        ("field", "text"),
        [("origin", "http://edge.example:9090"), ("Origin", "null"), ("sec-fetch-site", "same-origin")],
    )
    async def test_nor_does_a_script_whatever_its_name_leads_to(
        self, operator: Operator, field: str, text: str
    ) -> None:
        operator.parts.configure(canaries=(CANARY,))
        fields = {field: text, "Host": "edge:9090"}
        told = await operator.post("/v1/services/m/promote", status=403, json={}, headers=fields)
        assert told == {
            "reason": "forbidden",
            "message": "Send this request without a browser: without Origin and Sec-Fetch-Site.",
        }
        assert operator.parts.rollouts.shares("m") == (1, 99)

    async def test_a_look_moves_nothing(self, operator: Operator) -> None:
        operator.parts.configure(canaries=(CANARY,))
        assert (await operator.get("/v1/services/m/promote", status=405))["reason"] == "method_not_allowed"


class TestNames:
    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:9090", "EVIL.example.", "127.0.0.1.evil.example", "a@evil.example", "[::.1"],
    )
    async def test_on_loopback_nothing_is_told_to_who_asks_by_a_name_that_a_page_can_have(
        self, operator: Operator, host: str
    ) -> None:
        for path in ("/v1/services", "/metrics", "/nowhere"):
            told = await operator.get(path, status=421, headers={"Host": host})
            assert told["reason"] == "misdirected_request"
            assert "ask it by IP address, as localhost" in told["message"]

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "[::1]:9090", "10.1.2.3:9090", "LOCALHOST:9090", "edge.localhost", "edge", gethostname(), ""],
    )
    async def test_an_address_localhost_and_names_of_this_machine_are_answered(
        self, operator: Operator, host: str
    ) -> None:
        await operator.get("/v1/services", headers={"Host": host})

    @pytest.mark.parametrize("host", ["edge.models.svc:9090", "edge.example:9090", "k8s.example.com"])
    async def test_elsewhere_any_name_is_answered_for_the_network_gives_them(
        self, operator: Operator, host: str
    ) -> None:
        parts = operator.parts
        admin = Admin(parts.insight, parts.wall, parts.kept)
        port = await admin.open("0.0.0.0", 0)
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            await Operator(parts, session).get("/v1/services", headers={"Host": host})
        await admin.close()


@asynccontextmanager
async def operator_of(parts: Parts, keep: Callable[[], Awaitable[bool]]) -> AsyncIterator[Operator]:
    """Return the operator of an edge with a canary that keeps moves like this."""
    parts.configure(canaries=(CANARY,))
    admin = Admin(parts.insight, parts.wall, keep)
    port = await admin.open("127.0.0.1", 0)
    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        yield Operator(parts, session)
    await admin.close()


async def test_a_move_is_answered_when_it_has_been_kept() -> None:
    kept: list[int] = []

    async def keep() -> bool:
        kept.append(parts.rollouts.shares("m")[0])
        return True

    async with all_parts() as parts, operator_of(parts, keep) as operator:
        await operator.post("/v1/services/m/promote")
    assert kept == [100]


async def test_a_move_that_cannot_be_kept_is_in_force_and_told() -> None:
    async def fail() -> bool:
        return False

    async with all_parts() as parts, operator_of(parts, fail) as operator:
        told = await operator.post("/v1/services/m/rollback", status=503)
        assert parts.rollouts.shares("m") == (0, 100)
    assert told["reason"] == "moved_but_not_saved"
    assert told["message"].startswith("m-2 was rolled back by hand. That is in force, but could not be saved")
