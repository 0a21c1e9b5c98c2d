from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from activator.kube.errors import ApiError, UnreachableError
from activator.scalers.kubernetes.api import count_of
from activator.scalers.kubernetes.writer import Place, Writer
from router.tasks import Tasks
from tests.activator.scalers.kubernetes.stage import LAG, MANAGER, MemoryApi
from tests.models.cluster import NAMESPACE, Cluster
from tests.models.kubelet import deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.scalers.kubernetes.api import Count
    from tests.models.cluster import Event

pytestmark = pytest.mark.looptime


class Desk:
    """Someone who gives orders, and a Deployment that is watched `LAG` late, if it is."""

    def __init__(self) -> None:
        self.wanted = 0
        self.mine = True
        self.watched = True
        self.log: list[object] = []
        self.cluster = Cluster()
        self.api = MemoryApi(self.cluster)
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        self.clock = asyncio.get_running_loop().time
        self.writer = Writer(Place(NAMESPACE, "m", MANAGER), self, self.api, self.tasks, self.clock)
        self.cluster.on_change.append(self._saw)

    def target(self, now: Count) -> int:
        return self.wanted

    def may_write(self, now: Count, target: int) -> bool:
        return self.mine

    def sending(self, target: int) -> None:
        self.log.append(target)

    def settled(self, *, accepted: bool) -> None:
        self.log.append(accepted)

    def want(self, number: int) -> None:
        self.wanted = number
        self.writer.poke()

    def replicas(self) -> int:
        return int(self.cluster.get("deployments", "m")["spec"]["replicas"])

    def numbers(self) -> list[int]:
        return [number for _, _, number in self.api.writes]

    def _saw(self, event: Event) -> None:
        def take() -> None:
            self.writer.saw(count_of(event.item))
            self.writer.poke()

        if self.watched:
            asyncio.get_running_loop().call_later(LAG, take)


@asynccontextmanager
async def at_desk(replicas: int = 0) -> AsyncIterator[Desk]:
    desk = Desk()
    desk.wanted = replicas
    desk.cluster.put("deployments", deployment("m", replicas))
    await asyncio.sleep(0.1)
    yield desk
    desk.writer.close()
    await desk.tasks.close()
    assert desk.failures == []


async def test_a_write_is_on_its_way_in_the_loop_turn_in_which_it_was_ordered() -> None:
    async with at_desk() as desk:
        desk.want(1)
        await asyncio.sleep(0)
        ((at, _, number),) = desk.api.writes
        assert at == pytest.approx(0.1)
        assert number == 1
        await asyncio.sleep(0.1)
        assert desk.replicas() == 1
        assert desk.log == [1, True]


async def test_nothing_is_written_that_is_there_already() -> None:
    async with at_desk(2) as desk:
        desk.want(2)
        await asyncio.sleep(1)
        assert desk.api.writes == []


async def test_what_is_not_known_is_read_before_it_is_written() -> None:
    desk = Desk()
    desk.watched = False
    desk.cluster.put("deployments", deployment("m", 4))
    desk.want(4)
    await asyncio.sleep(1)
    assert (desk.api.reads, desk.api.writes) == (1, [])
    await desk.tasks.close()


async def test_an_api_server_that_was_restored_from_a_backup_is_written_by_what_it_has() -> None:
    async with at_desk() as desk:
        saved, version = desk.cluster.snapshot(), desk.cluster.version
        for number in (1, 2, 0):
            desk.want(number)
            await asyncio.sleep(1)
        desk.cluster.rewind(saved, version)
        desk.want(1)
        await asyncio.sleep(1)
        assert desk.replicas() == 1
        assert desk.numbers() == [1, 2, 0, 1, 1]
        assert (desk.writer.conflicts, desk.writer.trouble) == (0, "")


async def test_orders_that_follow_each_other_end_with_the_last() -> None:
    async with at_desk() as desk:
        for number in (1, 2, 3):
            desk.want(number)
        await asyncio.sleep(LAG / 2)
        desk.want(5)
        await asyncio.sleep(1)
        assert desk.replicas() == 5
        assert desk.numbers() == [3, 5]


async def test_an_event_from_before_a_write_does_not_undo_what_is_known() -> None:
    async with at_desk() as desk:
        before = desk.writer.known
        assert before is not None
        desk.watched = False
        desk.want(1)
        await asyncio.sleep(0.1)
        desk.writer.saw(before)
        desk.writer.poke()
        await asyncio.sleep(0.1)
        assert desk.numbers() == [1]


async def test_what_is_not_ours_is_not_written() -> None:
    async with at_desk() as desk:
        desk.mine = False
        desk.want(3)
        await asyncio.sleep(1)
        assert desk.api.writes == []


async def test_a_conflict_is_read_and_tried_again_at_once() -> None:
    async with at_desk() as desk:
        desk.watched = False
        desk.cluster.change("deployments", "m", lambda item: item.update(status={"replicas": 0}))
        desk.want(1)
        await asyncio.sleep(0.1)
        assert (desk.replicas(), desk.numbers(), desk.api.reads) == (1, [1, 1], 1)
        assert desk.log == [1, False, 1, True]


async def test_an_order_that_a_conflict_made_pointless_is_dropped() -> None:
    async with at_desk() as desk:
        desk.watched = False
        desk.cluster.scale("m", 1, MANAGER)
        desk.want(1)
        await asyncio.sleep(0.1)
        assert (desk.replicas(), desk.numbers()) == (1, [1])


async def test_a_storm_of_conflicts_makes_no_more_than_five_writes_in_a_second_and_loses_nothing() -> None:
    async with at_desk() as desk:
        desk.watched = False

        async def meddle() -> None:
            while True:
                desk.cluster.change("deployments", "m", lambda item: item.update(status={"at": desk.clock()}))
                await asyncio.sleep(LAG / 2)

        desk.tasks.spawn(meddle(), "meddler")
        desk.want(3)
        await asyncio.sleep(10)
        times = [at for at, _, _ in desk.api.writes]
        assert max(sum(start <= at < start + 1 for at in times) for start in times) <= 5
        assert len(times) > 20


async def test_whose_writes_are_always_too_late_says_so_until_one_is_in_time() -> None:
    async with at_desk() as desk:
        desk.watched = False
        ends = desk.clock() + 10

        async def meddle() -> None:
            while desk.clock() < ends:
                desk.cluster.change("deployments", "m", lambda item: item.update(status={"at": desk.clock()}))
                await asyncio.sleep(LAG / 2)

        desk.tasks.spawn(meddle(), "meddler")
        desk.want(3)
        await asyncio.sleep(1)
        assert desk.writer.trouble == ""
        await asyncio.sleep(8)
        assert desk.writer.trouble.startswith("Deployment m is changed so often that its replicas cannot be written")
        assert desk.log.count(False) == len(desk.numbers()) + 1, "it is told once"
        await asyncio.sleep(5)
        assert (desk.replicas(), desk.writer.trouble) == (3, "")


async def test_a_correction_that_came_too_late_is_none() -> None:
    async with at_desk() as desk:
        desk.want(2)
        await asyncio.sleep(1)
        desk.watched = False
        desk.cluster.scale("m", 5, "kubectl")
        desk.writer.saw(count_of(desk.cluster.get("deployments", "m")))
        desk.writer.poke()
        await asyncio.sleep(LAG / 2)
        desk.cluster.scale("m", 6, "kubectl")
        await asyncio.sleep(1)
        assert desk.numbers() == [2, 2, 2]
        assert (desk.replicas(), desk.writer.conflicts, desk.writer.held) == (2, 1, "")


async def test_an_idle_connection_that_was_closed_costs_no_wait() -> None:
    async with at_desk() as desk:
        desk.api.refusals.append(UnreachableError("server disconnected"))
        desk.want(1)
        await asyncio.sleep(0.05)
        assert (desk.replicas(), desk.writer.trouble) == (1, "")


async def test_a_write_that_got_no_answer_is_looked_at_before_it_is_repeated() -> None:
    async with at_desk(3) as desk:
        desk.watched = False
        desk.api.refusals.append(UnreachableError("timeout"))
        desk.cluster.scale("m", 1, MANAGER)
        desk.want(1)
        await asyncio.sleep(1)
        assert (desk.api.reads, desk.numbers()) == (1, [1])


async def test_while_the_api_server_is_away_it_says_so_and_writes_within_seconds_of_its_return() -> None:
    async with at_desk() as desk:
        desk.api.away = True
        desk.want(1)
        await asyncio.sleep(60)
        assert "cannot be reached: connection refused" in desk.writer.trouble
        assert len(desk.api.writes) < 100
        desk.api.away = False
        await asyncio.sleep(2.1)
        assert (desk.replicas(), desk.writer.trouble) == (1, "")
        assert desk.log[-1] is True


async def test_an_order_may_change_while_the_api_server_is_away() -> None:
    async with at_desk() as desk:
        desk.api.away = True
        desk.want(1)
        await asyncio.sleep(10)
        desk.want(0)
        desk.api.away = False
        await asyncio.sleep(10)
        assert desk.replicas() == 0


async def test_what_rbac_forbids_is_told_and_tried_rarely() -> None:
    async with at_desk() as desk:
        desk.api.refusals += [ApiError(403, "Forbidden", "cannot patch deployments/scale")] * 100
        desk.want(1)
        await asyncio.sleep(60)
        assert len(desk.api.writes) < 18
        assert "cannot be written: the API server answered 403" in desk.writer.trouble
        desk.api.refusals.clear()
        await asyncio.sleep(10)
        assert (desk.replicas(), desk.writer.trouble) == (1, "")


async def test_what_rbac_forbids_for_a_moment_after_an_outage_is_written_soon_after_it() -> None:
    async with at_desk() as desk:
        desk.api.away = True
        desk.want(1)
        await asyncio.sleep(60)
        desk.api.refusals += [ApiError(403, "Forbidden", "cannot patch deployments/scale")] * 2
        desk.api.away = False
        await asyncio.sleep(3)
        assert (desk.replicas(), desk.writer.trouble) == (1, "")


async def test_a_busy_api_server_is_given_the_time_it_asks_for() -> None:
    async with at_desk() as desk:
        desk.api.refusals.append(ApiError(429, "TooManyRequests", "later", retry_after=5))
        desk.want(1)
        await asyncio.sleep(4.9)
        assert desk.replicas() == 0
        await asyncio.sleep(0.2)
        assert desk.replicas() == 1


async def test_a_deployment_that_is_not_there_is_told_and_not_asked_for_again_once_the_watch_says_so() -> None:
    desk = Desk()
    desk.want(1)
    await asyncio.sleep(60)
    assert desk.writer.trouble == f"there is no Deployment m in namespace {NAMESPACE}"
    desk.writer.gone()
    reads = desk.api.reads
    assert reads < 60
    await asyncio.sleep(60)
    assert desk.api.reads == reads
    desk.cluster.put("deployments", deployment("m", 0))
    await asyncio.sleep(1)
    assert desk.replicas() == 1
    await desk.tasks.close()


async def test_a_deployment_that_only_a_write_did_not_find_is_written_soon() -> None:
    async with at_desk() as desk:
        desk.api.refusals += [ApiError(404, "NotFound", "the server could not find the requested resource")] * 3
        desk.want(1)
        await asyncio.sleep(2)
        assert (desk.replicas(), desk.writer.trouble) == (1, "")


async def test_who_has_let_go_of_a_deployment_tries_no_more() -> None:
    async with at_desk() as desk:
        desk.api.refusals += [ApiError(404, "NotFound", "gone")] * 3
        desk.want(1)
        await asyncio.sleep(0.01)
        desk.writer.close()
        await asyncio.sleep(60)
        assert desk.numbers() == [1]


async def test_who_lets_go_of_a_deployment_while_it_is_read_does_not_write_it() -> None:
    desk = Desk()
    desk.watched = False
    desk.cluster.put("deployments", deployment("m", 0))
    desk.want(1)
    await asyncio.sleep(LAG / 2)
    desk.writer.close()
    await asyncio.sleep(60)
    assert (desk.api.reads, desk.api.writes) == (1, [])
    await desk.tasks.close()


async def test_a_deployment_that_no_write_finds_is_tried_every_second_or_two_until_the_lead_is_lost() -> None:
    async with at_desk() as desk:
        desk.api.refusals += [ApiError(404, "NotFound", "gone")] * 1000
        desk.want(1)
        await asyncio.sleep(60)
        assert 30 < len(desk.api.writes) < 70
        desk.mine = False
        await asyncio.sleep(2)
        writes = len(desk.api.writes)
        await asyncio.sleep(60)
        assert len(desk.api.writes) == writes
        desk.api.refusals.clear()


class TestOtherWriters:
    async def test_a_number_that_someone_else_wrote_is_corrected(self) -> None:
        async with at_desk() as desk:
            desk.want(2)
            await asyncio.sleep(1)
            desk.cluster.scale("m", 7, "kubectl")
            await asyncio.sleep(1)
            assert (desk.replicas(), desk.writer.held, desk.writer.conflicts) == (2, "", 1)

    async def test_a_correction_that_meets_a_conflict_counts_once(self) -> None:
        async with at_desk() as desk:
            desk.want(2)
            await asyncio.sleep(1)
            desk.api.refusals += [ApiError(409, "Conflict", "modified")] * 3
            desk.cluster.scale("m", 7, "kubectl")
            await asyncio.sleep(1)
            assert (desk.replicas(), desk.writer.held, desk.writer.conflicts) == (2, "", 1)

    @pytest.mark.parametrize("answer_lag", [0, 5 * LAG], ids=["answered first", "watch is first"])
    async def test_after_three_corrections_it_holds_and_says_what_to_do(self, answer_lag: float) -> None:
        async with at_desk() as desk:
            desk.api.answer_lag = answer_lag
            desk.want(2)
            for _ in range(6):
                await asyncio.sleep(10)
                desk.cluster.scale("m", 7, "kube-controller-manager")
            await asyncio.sleep(1)
            assert desk.numbers() == [2] * 4
            assert desk.replicas() == 7
            assert desk.writer.held.startswith("kube-controller-manager also writes the replicas of Deployment m")
            assert "kubectl -n models delete hpa" in desk.writer.held

    async def test_a_number_counts_that_comes_between_a_correction_and_its_answer(self) -> None:
        async with at_desk() as desk:
            desk.want(2)
            await asyncio.sleep(10)
            desk.api.answer_lag = 5 * LAG
            for _ in range(4):
                desk.cluster.scale("m", 7, "kubectl")
                await asyncio.sleep(4 * LAG)
            await asyncio.sleep(10)
            assert desk.writer.conflicts == len(desk.numbers()) - 1
            assert desk.replicas() == 2
            desk.cluster.scale("m", 7, "kubectl")
            await asyncio.sleep(10)
            assert desk.writer.held

    async def test_holding_ends_after_a_while(self) -> None:
        async with at_desk() as desk:
            desk.want(2)
            for _ in range(4):
                await asyncio.sleep(10)
                desk.cluster.scale("m", 7, "kubectl")
            await asyncio.sleep(10)
            assert desk.writer.held
            await asyncio.sleep(300)
            assert (desk.writer.held, desk.replicas()) == ("", 2)

    async def test_corrections_that_are_long_past_do_not_count(self) -> None:
        async with at_desk() as desk:
            desk.want(2)
            for _ in range(10):
                await asyncio.sleep(150)
                desk.cluster.scale("m", 7, "kubectl")
            await asyncio.sleep(1)
            assert (desk.writer.held, desk.replicas()) == ("", 2)

    async def test_another_edge_of_ours_is_no_other_writer(self) -> None:
        async with at_desk() as desk:
            desk.want(2)
            for _ in range(10):
                await asyncio.sleep(10)
                desk.cluster.scale("m", 7, MANAGER)
            await asyncio.sleep(1)
            assert (desk.writer.held, desk.writer.conflicts, desk.replicas()) == ("", 0, 2)

    async def test_who_set_the_number_before_us_is_no_other_writer(self) -> None:
        async with at_desk(1) as desk:
            desk.cluster.scale("m", 3, "kubectl")
            await asyncio.sleep(1)
            desk.want(0)
            await asyncio.sleep(1)
            assert (desk.replicas(), desk.writer.conflicts) == (0, 0)
