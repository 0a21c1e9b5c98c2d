"""Several edges on one Deployment: whoever leads takes over what another has woken, and corrects only strangers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from activator.scalers.base import Phase
from activator.scalers.kubernetes.costs import CHEAPEST
from tests.activator.scalers.contract import phases, ready
from tests.activator.scalers.kubernetes.stage import MANAGER, on_stage

pytestmark = pytest.mark.looptime


async def test_the_leader_takes_over_what_another_edge_has_woken() -> None:
    async with on_stage() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(5)
        stage.scaler.scale("good", 0)
        await asyncio.sleep(5)
        writes = len(stage.api.writes)
        stage.cluster.scale("good", 1, MANAGER)
        await asyncio.sleep(30)
        assert (stage.replicas(), stage.scaler.replicas("good").desired) == (1, 1)
        assert len(stage.api.writes) == writes
        stage.scaler.scale("good", 0)
        await asyncio.sleep(5)
        assert stage.replicas() == 0


async def test_a_wake_in_the_turn_in_which_the_leader_puts_it_to_sleep_is_not_undone() -> None:
    async with on_stage() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(5)
        stage.scaler.scale("good", 0)
        async with asyncio.timeout(5):
            while stage.replicas():  # noqa: ASYNC110 - the cluster sends no event
                await asyncio.sleep(0.0001)
        stage.cluster.scale("good", 1, MANAGER)
        await asyncio.sleep(30)
        assert (stage.replicas(), stage.scaler.replicas("good").desired) == (1, 1)


async def test_a_wake_that_nobody_signed_is_taken_for_an_edges() -> None:
    async with on_stage() as stage:
        await asyncio.sleep(5)

        def wake(item: dict[str, Any]) -> None:
            item["spec"]["replicas"] = 1
            item["metadata"].pop("managedFields", None)

        stage.cluster.change("deployments", "good", wake)
        await asyncio.sleep(5)
        assert (stage.replicas(), stage.scaler.replicas("good").desired) == (1, 1)


async def test_a_stranger_who_signed_for_waking_it_is_corrected() -> None:
    async with on_stage() as stage:
        stage.scaler.scale("good", 1)
        await asyncio.sleep(5)
        stage.scaler.scale("good", 0)
        await asyncio.sleep(5)

        def wake(item: dict[str, Any]) -> None:
            item["spec"]["replicas"] = 1
            signed = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            item["metadata"]["managedFields"] = [signed]

        stage.cluster.change("deployments", "good", wake)
        await asyncio.sleep(5)
        assert stage.replicas() == 0


async def test_an_edge_that_writes_more_than_a_wake_is_no_wake() -> None:
    async with on_stage() as stage:
        stage.scaler.scale("good", 2)
        await asyncio.sleep(5)
        stage.cluster.scale("good", 4, MANAGER)
        await asyncio.sleep(30)
        assert stage.replicas() == 2


async def test_what_the_leader_has_chosen_gets_no_new_request_anywhere_until_it_is_unmarked() -> None:
    leads = False
    async with on_stage(leads=lambda: leads) as stage:
        stage.cluster.scale("good", 2, MANAGER)
        names = list(phases(await stage.watcher.until("good", ready(2))))
        await stage.api.set_cost(names[0], CHEAPEST + 3)
        snapshot = await stage.watcher.until("good", lambda seen: seen.count(Phase.READY) == 1)
        assert phases(snapshot) == {names[0]: Phase.DRAINING, names[1]: Phase.READY}
        assert (snapshot.desired, stage.replicas()) == (2, 2)
        leads = True
        await stage.watcher.until("good", ready(2))
        await asyncio.sleep(1)
        assert not any(pod["metadata"].get("annotations") for pod in stage.kubelet.pods("good"))


async def test_a_new_leader_may_scale_down_at_once_what_the_former_one_had_chosen_from() -> None:
    leads = False
    async with on_stage(leads=lambda: leads) as stage:
        stage.cluster.scale("good", 2, MANAGER)
        names = list(phases(await stage.watcher.until("good", ready(2))))
        await stage.api.set_cost(names[0], CHEAPEST + 3)
        await stage.watcher.until("good", lambda seen: seen.count(Phase.DRAINING) == 1)
        leads = True
        stage.scaler.scale("good", 1)
        await asyncio.sleep(30)
        assert stage.replicas() == 1


async def test_a_cost_that_someone_else_gave_a_pod_is_no_mark() -> None:
    async with on_stage(leads=lambda: False) as stage:
        stage.cluster.scale("good", 1, MANAGER)
        (name,) = phases(await stage.watcher.until("good", ready(1)))
        await stage.api.set_cost(name, -100_000)
        await asyncio.sleep(5)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.READY}


async def test_an_edge_that_leads_no_more_marks_no_pod() -> None:
    leads = True
    async with on_stage(leads=lambda: leads) as stage:
        stage.scaler.scale("good", 2)
        await stage.watcher.until("good", ready(2))
        stage.api.away = True
        stage.scaler.scale("good", 1)
        await asyncio.sleep(5)
        leads, stage.api.away = False, False
        await asyncio.sleep(10)
        assert not any(pod["metadata"].get("annotations") for pod in stage.kubelet.pods("good"))
        assert stage.replicas() == 2


async def test_an_order_that_was_not_written_while_it_led_wakes_nothing_that_another_leader_put_to_sleep() -> None:
    leads = True
    async with on_stage(leads=lambda: leads) as stage:
        stage.scaler.scale("good", 2)
        await stage.watcher.until("good", ready(2))
        stage.api.away = stage.away = True
        stage.scaler.scale("good", 3)
        await asyncio.sleep(15)
        leads = False
        stage.cluster.scale("good", 0, MANAGER)
        stage.api.away = False  # its watch is cut off still
        await asyncio.sleep(10)
        assert stage.replicas() == 0


async def test_a_wake_is_not_lost_by_what_else_changes_of_the_deployment_meanwhile() -> None:
    async with on_stage(leads=lambda: False) as stage:
        await asyncio.sleep(5)
        stage.scaler.scale("good", 1)
        stage.cluster.change("deployments", "good", lambda item: item["metadata"].update(annotations={"a": "b"}))
        await asyncio.sleep(10)
        assert stage.replicas() == 1


@pytest.mark.parametrize("waits", [0, 1])
async def test_an_edge_that_does_not_lead_wakes_late_only_what_somebody_waits_for(waits: int) -> None:
    async with on_stage(leads=lambda: False) as stage:
        await asyncio.sleep(5)
        stage.api.away = True
        stage.routing.held["good"] = 1
        stage.scaler.scale("good", 1)
        await asyncio.sleep(30)
        stage.api.away, stage.routing.held["good"] = False, waits
        await asyncio.sleep(10)
        assert (stage.replicas(), stage.scaler.replicas("good").desired) == (waits, waits)


async def test_an_order_to_have_fewer_has_no_effect_any_more_when_another_edge_can_lead() -> None:
    ceases = asyncio.get_running_loop().time() + 3600.0
    async with on_stage(leads=lambda: asyncio.get_running_loop().time() < ceases) as stage:
        stage.scaler.scale("good", 2)
        await stage.watcher.until("good", ready(2))
        stage.api.scale_lag = 9.0
        stage.scaler.scale("good", 1)
        while stage.api.writes[-1][2] != 1:  # noqa: ASYNC110 - the cluster sends no event
            await asyncio.sleep(0.001)
        ceases = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        assert stage.replicas() == 2


async def test_an_order_to_have_more_waits_for_an_api_server_that_takes_its_time() -> None:
    async with on_stage() as stage:
        stage.api.scale_lag = 9.0
        stage.scaler.scale("good", 2)
        await asyncio.sleep(20)
        assert stage.replicas() == 2
