from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from activator.scalers.memory import Start
from router.table import Service, Share
from tests.activator.parts import FIRST, PLANS, all_parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.insight import RevisionView
    from tests.activator.parts import Parts


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with all_parts() as parts:
        yield parts


def view(parts: Parts, name: str = "m-1") -> RevisionView:
    return {view.revision: view for view in parts.insight.revisions()}[name]


async def test_every_revision_has_a_view_with_its_share(parts: Parts) -> None:
    shares = [(view.service, view.revision, view.percent, view.tag) for view in parts.insight.revisions()]
    assert shares == [("m", "m-1", 90, "stable"), ("m", "m-2", 10, None), ("n", "n-1", 100, None)]
    assert [view.revision for view in parts.insight.revisions("m")] == ["m-1", "m-2"]
    assert parts.insight.revisions("nobody") == []


async def test_before_any_decision_a_view_is_empty(parts: Parts) -> None:
    seen = view(parts)
    assert (seen.record, seen.wanted, seen.stable, seen.panic, seen.excess) == (None, 0, 0.0, 0.0, 0)
    assert not seen.panicking
    assert seen.start.phase == "asleep"
    assert (seen.metric, seen.target) == ("concurrency", 1.0)


async def test_a_view_tells_of_the_last_decision(parts: Parts) -> None:
    parts.scaler.script("m-1", [Start(delay=60)])
    await parts.ask()
    seen = view(parts)
    assert (seen.wanted, seen.stable, seen.panic, seen.excess) == (1, 1.0, 1.0, -1)
    assert (seen.stats.held, seen.stats.open, seen.pokes) == (1, 1, 1)
    assert seen.start.phase == "starting"


async def test_a_revision_that_is_not_in_the_table_has_a_view_too(parts: Parts) -> None:
    parts.configure(services=(Service("m", ("m.example",), (Share(FIRST, 100),)),))
    seen = view(parts, "m-2")
    assert (seen.percent, seen.tag, seen.stats.open, dict(seen.durations)) == (0, None, 0, {})


async def test_cold_starts_and_usage_are_in_the_view(parts: Parts) -> None:
    parts.loop.step("m-1")
    parts.scaler.scale("m-1", 1)
    await asyncio.sleep(0.01)
    parts.ledger.add(("m", "m-1"), (2, 1), 30.0, parts.wall())
    seen = view(parts)
    assert seen.last_cold_start == 0.0
    assert list(seen.cold_starts) == ["pending", "start", "load", "total"]
    assert seen.usage.running == 60.0
    assert parts.insight.usage()[0]["idle_replica_minutes"] == 0.5


async def test_records_of_a_service_are_those_of_its_revisions_in_order_of_time(parts: Parts) -> None:
    for name, now in (("m-1", 1.0), ("n-1", 2.0), ("m-2", 3.0), ("m-1", 4.0)):
        parts.now = now
        parts.loop.step(name)
    assert [(name, record.at) for name, record in parts.insight.records("m")] == [("m-1", 1), ("m-2", 3), ("m-1", 4)]


async def test_at_most_1000_records_are_given(parts: Parts) -> None:
    for second in range(700):
        parts.now = float(second)
        parts.loop.step("m-1")
        parts.loop.step("m-2")
    records = parts.insight.records("m")
    assert len(records) == 1000
    assert records[-1][1].at == 699


async def test_refusals_are_those_with_and_without_a_revision(parts: Parts) -> None:
    limited = replace(FIRST, limits=replace(FIRST.limits, queue_depth=1))
    parts.scaler.script("m-1", [Start(delay=60)])
    parts.configure(services=(Service("m", ("m.example",), (Share(limited, 100),)),), plans=PLANS[:1])
    for host in ("nobody.example", "m.example", "m.example", "m.example"):
        await parts.ask(host)
    assert parts.insight.refusals() == {"unknown_host": 1, "queue_full": 2}
