from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from activator.catalog.changes import Changes
from activator.kube.store import Store
from tests.activator.catalog.deployed import deployment
from tests.activator.catalog.kserve.objects import made, service

pytestmark = pytest.mark.looptime


def later(item: dict[str, Any], version: str, **changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(item)
    found["metadata"]["resourceVersion"] = version
    found["metadata"] |= changes.pop("metadata", {})
    return found | changes


async def heard(changes: Changes) -> bool:
    """Tell whether there is something to read again."""
    try:
        async with asyncio.timeout(1):
            await changes.wait()
    except TimeoutError:
        return False
    changes.present()
    return True


async def test_what_the_catalog_reads_is_heard_and_nothing_else() -> None:
    store, first = Store(), later(deployment("m-1", "m", hosts="m.example"), "1")
    changes = Changes(store)
    store.replace([first])
    assert await heard(changes)
    store.put(later(first, "2", status={"replicas": 1}))
    store.put(later(first, "3", spec={**first["spec"], "replicas": 3}))
    assert not await heard(changes)
    store.put(later(first, "4", metadata={"annotations": {}}))
    assert await heard(changes)
    store.put(later(first, "5", metadata={"labels": {}}))
    assert await heard(changes)
    store.put(later(first, "6", metadata={"labels": {}, "annotations": {"x": "y"}}))
    assert not await heard(changes)
    store.put(later(first, "7"))
    store.remove(store.objects["m-1"])
    assert await heard(changes)


async def test_a_burst_is_read_once() -> None:
    store = Store()
    changes = Changes(store, settle=0.05)
    reads = []

    async def follow() -> None:
        while True:
            await changes.wait()
            reads.append(len(changes.present()))

    task = asyncio.create_task(follow())
    for number in range(20):
        store.put(later(deployment(f"m-{number}", "m"), str(number + 1)))
        await asyncio.sleep(0.001)
    await asyncio.sleep(1)
    assert reads == [20]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_change_while_one_is_read_is_not_lost() -> None:
    store = Store()
    changes = Changes(store)
    store.put(later(deployment("m-1", "m"), "1"))
    assert len(changes.present()) == 1
    store.put(later(deployment("m-2", "m"), "2"))
    assert await heard(changes)


async def test_only_ours_are_present() -> None:
    store = Store()
    other = deployment("x", "y")
    del other["metadata"]["labels"]
    store.replace([deployment("m-1", "m"), other])
    assert [each["metadata"]["name"] for each in Changes(store).present()] == ["m-1"]


async def test_that_there_are_none_is_known_once_they_were_listed() -> None:
    store = Store()
    waiting = asyncio.create_task(Changes(store).known())
    await asyncio.sleep(1)
    assert not waiting.done()
    store.replace([])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting.done()
    await Changes(store).known()


async def test_inference_services_and_what_kserve_made_of_them_are_heard_where_they_are_wanted() -> None:
    store, wanted = Store(), Store()
    changes, other = Changes(store, services=wanted), Changes(store)
    one, part = later(service(), "1"), later(made("m-predictor"), "1")
    for stored, item in ((wanted, one), (store, part)):
        stored.replace([item])
        assert await heard(changes)
    wanted.put(later(one, "2", status={"conditions": [{"type": "Ready"}]}))
    store.put(later(part, "2", spec={**part["spec"], "replicas": 0}))
    assert not await heard(changes)
    wanted.put(later(one, "3", status={"url": "http://m.example"}))
    assert await heard(changes)
    store.put(later(made("m-predictor", port=9000), "3"))
    assert await heard(changes)
    wanted.remove(wanted.objects["m"])
    assert await heard(changes)
    assert not await heard(other)


async def test_inference_services_that_cannot_be_read_are_not_waited_for() -> None:
    store, services = Store(), Store()
    waiting = asyncio.create_task(Changes(store, services=services).known())
    store.replace([])
    await asyncio.sleep(1)
    assert not waiting.done()
    services.state(trouble="no answer yet")
    await asyncio.sleep(1)
    assert not waiting.done(), "what is only late is waited for: who leads without it would forget its clocks"
    services.state(trouble="there are none", refused=True)
    async with asyncio.timeout(1):
        await waiting


async def test_what_has_not_changed_is_read_again_when_that_is_asked_for() -> None:
    changes = Changes(Store())
    changes.present()
    assert not await heard(changes)
    changes.again()
    assert await heard(changes)
    assert not await heard(changes)
