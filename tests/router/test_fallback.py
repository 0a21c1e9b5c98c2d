"""While a revision has no replica, another may answer for it: nobody waits, and it is woken all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from router.exchange import ClientGone
from router.ports import Replicas
from router.proxy import Proxy
from router.table import Key, Service, Share, Sticky, Table
from tests.router.fakes import Client, Clock, Wakes, exchange, replicas, request, revision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from router.exchange import Exchange

pytestmark = pytest.mark.looptime

OLD, NEW = revision("a-1"), revision("a-2")
BOTH = (Share(OLD, 50), Share(NEW, 50, "next", fallback=OLD))
HOLDING = (Share(OLD, 50), Share(NEW, 50, "next"))


class Stage:
    """A proxy whose draws all fall on the second share. Nothing answers: what is sent somewhere is `held` there, or
    has failed to connect."""

    def __init__(self, *shares: Share, sticky: Sticky | None = None) -> None:
        self.wakes = Wakes()
        self.clock = Clock()
        self.proxy = Proxy(self.wakes, self.clock, draw=lambda: 0.99)
        self.asked: list[Exchange] = []
        self.put(*shares, sticky=sticky)

    def put(self, *shares: Share, sticky: Sticky | None = None) -> None:
        self.proxy.replace_table(Table((Service("a", ("a.example",), shares, sticky=sticky),)))

    async def ask(self, *fields: str) -> Exchange:
        asked = exchange(request("GET / HTTP/1.1", *fields), Client(), self.clock.now)
        self.asked.append(asked)
        asked.run(self.proxy.serve(asked))
        await asyncio.sleep(0)
        return asked

    @property
    def fallbacks(self) -> int:
        return self.proxy.counters.revisions["a-2"].fallbacks

    def held(self) -> dict[str, int]:
        return {name: queue.held for name, queue in self.proxy.queues.items() if queue.held}

    def open(self) -> dict[str, int]:
        return {name: each.demand.now_open for name, each in self.proxy.counters.revisions.items()}


@pytest.fixture
async def stages() -> AsyncIterator[list[Stage]]:
    made: list[Stage] = []
    yield made
    for asked in (asked for stage in made for asked in stage.asked):
        asked.fail(ClientGone())
    await asyncio.sleep(0)


@pytest.fixture
async def stage(stages: list[Stage]) -> Stage:
    stages.append(Stage(*BOTH))
    return stages[0]


async def test_another_answers_for_a_cold_revision_which_is_woken_and_counted(stage: Stage) -> None:
    asked = await stage.ask()
    assert (asked.revision, asked.tagged) == (OLD, False)
    assert stage.held() == {"a-1": 1}
    assert stage.open() == {"a-1": 1, "a-2": 0}
    assert stage.fallbacks == 1
    assert sorted(stage.wakes) == ["a-1", "a-2"]


async def test_a_warm_revision_answers_itself(stage: Stage) -> None:
    stage.proxy.update(replicas(1, of="a-2"))
    assert (await stage.ask()).revision is NEW
    assert stage.fallbacks == 0


async def test_a_request_that_asks_for_it_by_tag_waits_for_it(stage: Stage) -> None:
    asked = await stage.ask("Knative-Serving-Tag: next")
    assert (asked.revision, asked.tagged, stage.held()) == (NEW, True, {"a-2": 1})
    assert stage.wakes == ["a-2"]


async def test_without_a_fallback_requests_wait(stages: list[Stage]) -> None:
    stages.append(Stage(*HOLDING))
    assert (await stages[0].ask()).revision is NEW
    assert stages[0].held() == {"a-2": 1}


async def test_those_who_wait_for_a_slot_go_to_the_other_when_the_last_replica_is_lost(stage: Stage) -> None:
    busy = revision("a-2", container_concurrency=1)
    stage.put(Share(OLD, 50), Share(busy, 50, "next", fallback=OLD))
    stage.proxy.update(replicas(1, of="a-2"))
    stage.proxy.queues["a-2"].take()
    asked, tagged = await stage.ask(), await stage.ask("Knative-Serving-Tag: next")
    assert stage.held() == {"a-2": 2}
    stage.proxy.update(replicas(0, of="a-2", phase="starting"))
    await asyncio.sleep(0)
    assert (asked.revision, tagged.revision) == (OLD, busy)
    assert stage.held() == {"a-1": 1, "a-2": 1}
    assert stage.open() == {"a-1": 1, "a-2": 1}


async def test_those_who_are_held_go_to_the_other_when_it_becomes_the_fallback(stages: list[Stage]) -> None:
    stages.append(Stage(*HOLDING))
    asked = await stages[0].ask()
    stages[0].put(*BOTH)
    await asyncio.sleep(0)
    assert (asked.revision, stages[0].held()) == (OLD, {"a-1": 1})


async def test_those_who_are_held_leave_a_revision_that_has_lost_its_share(stages: list[Stage]) -> None:
    stages.append(Stage(*HOLDING))
    asked, tagged = await stages[0].ask(), await stages[0].ask("Knative-Serving-Tag: next")
    stages[0].put(Share(OLD, 100), Share(NEW, 0, "next"))
    await asyncio.sleep(0)
    assert (asked.revision, tagged.revision) == (OLD, NEW)
    assert stages[0].held() == {"a-1": 1, "a-2": 1}


async def test_a_body_that_came_in_while_the_last_replica_was_lost_goes_to_the_other(stage: Stage) -> None:
    stage.proxy.update(replicas(1, of="a-2"))
    asked = await stage.ask("Content-Length: 3")
    assert asked.revision is NEW
    stage.proxy.update(replicas(0, of="a-2", phase="starting"))
    assert asked.request.body is not None
    asked.request.body.feed(b"abc")
    asked.request.body.finish()
    await asyncio.sleep(0)
    assert (asked.revision, stage.held()) == (OLD, {"a-1": 1})


@pytest.mark.parametrize(("wait", "woken"), [(5.0, False), (-5.0, True)])
async def test_starts_that_failed_are_not_hurried(stage: Stage, wait: float, woken: bool) -> None:
    stage.proxy.update(replicas(0, of="a-2", phase="failing", retry_at=stage.clock.now + wait))
    asked = await stage.ask()
    assert asked.revision is OLD
    assert ("a-2" in stage.wakes) is woken


async def test_a_service_that_was_woken_too_often_is_answered_for_all_the_same(stages: list[Stage]) -> None:
    old, new = (revision(name, max_wakes=1, container_concurrency=1) for name in ("a-1", "a-2"))
    stages.append(Stage(Share(old, 50), Share(new, 50, fallback=old)))
    stages[0].proxy.update(replicas(1, of="a-1"))
    stages[0].proxy.queues["a-1"].take()
    first = await stages[0].ask()
    stages[0].proxy.update(Replicas("a-2"))  # nothing has come of the first wake
    second = await stages[0].ask()
    assert first.revision is second.revision is old
    assert stages[0].held() == {"a-1": 2}
    assert stages[0].wakes == ["a-2"]


async def test_a_request_that_is_resolved_again_while_the_other_answers_counts_once(stages: list[Stage]) -> None:
    stages.append(Stage(Share(OLD, 0), Share(NEW, 100, fallback=OLD)))
    asked = await stages[0].ask()
    for percent in (100, 100):
        stages[0].put(Share(OLD, 100 - percent), Share(NEW, percent, fallback=OLD))
        await asyncio.sleep(0)
    assert (asked.revision, stages[0].held(), stages[0].fallbacks) == (OLD, {"a-1": 1}, 1)


async def test_it_is_the_same_draw_when_a_sticky_client_is_resolved_again(stages: list[Stage]) -> None:
    by_client = Sticky(Key.HEADER, b"x-client")
    stages.append(Stage(*HOLDING, sticky=by_client))
    asked = await stages[0].ask("X-Client: 7")
    before = asked.draw
    stages[0].put(*BOTH, sticky=by_client)
    await asyncio.sleep(0)
    assert (asked.revision, asked.draw) == (OLD, before)
    assert before != 0.99
    assert (await stages[0].ask()).draw == 0.99
