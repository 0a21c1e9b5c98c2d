from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

import pytest

from activator.kube.resources import CONFIG_MAPS
from activator.kube.store import Store
from activator.kube.watch import FIRST_WAIT, LAST_WAIT, PAGE, Reflector
from tests.activator.kube.talk import config_map, until
from tests.models.cluster import line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from activator.kube.client import Client
    from tests.models.cluster import Cluster


@asynccontextmanager
async def watching(
    client: Client, query: dict[str, str] | None = None, lasting: float = 60.0
) -> AsyncIterator[Reflector]:
    reflector = Reflector(client, CONFIG_MAPS, Store(), query, lasting=lasting, jitter=lambda: 0.0)
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def same(reflector: Reflector, cluster: Cluster) -> bool:
    return reflector.store.objects == cluster.objects.get("configmaps", {})


def lists(cluster: Cluster) -> int:
    return len(cluster.asked("list", "configmaps"))


def troubles(reflector: Reflector) -> list[str]:
    """Return a list to which every trouble from now on is added."""
    found: list[str] = []
    store = reflector.store
    store.on_state(lambda: found.append(store.trouble) if store.trouble else None)
    return found


async def test_what_is_there_is_listed_and_changes_follow(cluster: Cluster, client: Client) -> None:
    cluster.put("configmaps", config_map("a"))
    async with watching(client) as reflector:
        told = troubles(reflector)
        await until(lambda: reflector.store.synced)
        assert same(reflector, cluster)
        cluster.put("configmaps", config_map("b"))
        cluster.change("configmaps", "a", lambda item: item["data"].update(x="1"))
        await until(lambda: len(reflector.store.objects) == 2 and same(reflector, cluster))
        cluster.remove("configmaps", "a")
        await until(lambda: same(reflector, cluster))
        assert (lists(cluster), told) == (1, [])


async def test_a_long_list_comes_in_pages_and_is_begun_again_when_the_rest_of_it_was_forgotten(
    cluster: Cluster, client: Client
) -> None:
    for number in range(2 * PAGE + 1):
        cluster.put("configmaps", config_map(f"c{number}"))
    forgets = iter([False, True, False, False, False])
    cluster.faults.fail = lambda verb, resource: cluster.compact() if verb == "list" and next(forgets) else None
    async with watching(client) as reflector:
        told = troubles(reflector)
        await until(lambda: reflector.store.synced)
        assert same(reflector, cluster)
        assert [call.status for call in cluster.asked("list", "configmaps")] == [200, 410, 200, 200, 200]
        cluster.put("configmaps", config_map("later"))
        await until(lambda: same(reflector, cluster))
        assert told == []


async def test_only_what_is_selected_is_seen_and_leaves_when_its_label_does(cluster: Cluster, client: Client) -> None:
    cluster.put("configmaps", {"metadata": {"name": "a", "labels": {"ours": "yes"}}})
    cluster.put("configmaps", config_map("b"))
    async with watching(client, {"labelSelector": "ours=yes"}) as reflector:
        await until(lambda: list(reflector.store.objects) == ["a"])
        await until(lambda: cluster.asked("watch", "configmaps"))
        cluster.change("configmaps", "a", lambda item: item["metadata"].update(labels={}))
        await until(lambda: not reflector.store.objects)


async def test_a_watch_that_ends_goes_on_where_it_was_without_a_list(cluster: Cluster, client: Client) -> None:
    async with watching(client, lasting=1.4) as reflector:
        told = troubles(reflector)
        await until(lambda: len(cluster.asked("watch", "configmaps")) >= 2)
        cluster.put("configmaps", config_map("a"))
        await until(lambda: same(reflector, cluster) and reflector.store.objects)
        assert (lists(cluster), told) == (1, [])


async def test_a_watch_that_breaks_off_in_the_middle_loses_nothing(cluster: Cluster, client: Client) -> None:
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        for number in range(5):
            cluster.put("configmaps", config_map(f"a{number}"))
            cluster.cut(b'{"type": "ADDED", "object": {"metad')
        await until(lambda: len(reflector.store.objects) == 5 and same(reflector, cluster))
        assert lists(cluster) == 1


async def test_a_forgotten_version_leads_to_a_new_list(cluster: Cluster, client: Client) -> None:
    cluster.put("configmaps", config_map("a"))
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        await cluster.stop()
        cluster.put("configmaps", config_map("b"))
        cluster.remove("configmaps", "a")
        cluster.compact()
        await cluster.start()
        await until(lambda: list(reflector.store.objects) == ["b"])
        assert lists(cluster) == 2


async def test_bookmarks_spare_the_list_after_history_was_forgotten(client: Client, cluster: Cluster) -> None:
    cluster._bookmarks = 0.05
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        for _ in range(3):
            cluster.put("pods", {"metadata": {"name": "p"}, "spec": {}})
        cluster.compact()
        await until(lambda: reflector._version == str(cluster.version))
        cluster.cut()
        await until(lambda: len(cluster.asked("watch", "configmaps")) == 2)
        cluster.put("configmaps", config_map("b"))
        await until(lambda: "b" in reflector.store.objects)
        assert lists(cluster) == 1


async def test_old_and_repeated_events_change_nothing(cluster: Cluster, client: Client) -> None:
    first = cluster.put("configmaps", config_map("a", x="1"))
    cluster.put("configmaps", config_map("a", x="2"))
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        told: list[object] = []
        reflector.store.subscribe(lambda old, new: told.append(new))
        cluster.say(line("MODIFIED", first))
        cluster.say(line("MODIFIED", cluster.get("configmaps", "a")))
        cluster.put("configmaps", config_map("b"))
        await until(lambda: "b" in reflector.store.objects)
        assert len(told) == 2
        assert reflector.store.objects["a"]["data"] == {"x": "2"}


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("ADDED", {"metadata": {}}),
        ("MODIFIED", {"metadata": None}),
        ("DELETED", {}),
        ("BOOKMARK", {"kind": "ConfigMap"}),
    ],
)
async def test_what_is_no_object_ends_a_watch_and_all_is_listed_anew(
    cluster: Cluster, client: Client, kind: str, item: dict[str, object]
) -> None:
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        cluster.say(line(kind, item))
        await until(lambda: lists(cluster) == 2)
        cluster.put("configmaps", config_map("a"))
        await until(lambda: same(reflector, cluster))


async def test_a_list_of_what_is_no_object_is_asked_for_again(cluster: Cluster, client: Client) -> None:
    cluster.objects["configmaps"] = {"a": {"metadata": {}}}
    async with watching(client) as reflector:
        await until(lambda: reflector.store.trouble)
        assert not reflector.store.synced
        cluster.objects["configmaps"] = {}
        await until(lambda: reflector.store.synced)


async def test_while_the_api_server_is_away_what_is_known_stays_and_trouble_is_told(
    cluster: Cluster, client: Client
) -> None:
    cluster.put("configmaps", config_map("a"))
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        await cluster.stop()
        await until(lambda: reflector.store.trouble)
        assert "127.0.0.1" in reflector.store.trouble
        assert list(reflector.store.objects) == ["a"]
        await cluster.start()
        await until(lambda: not reflector.store.trouble)


async def test_a_store_that_never_had_a_list_is_not_synced(cluster: Cluster, client: Client) -> None:
    cluster.faults.fail = lambda verb, resource: 500
    async with watching(client) as reflector:
        await until(lambda: lists(cluster) >= 2)
        assert not reflector.store.synced
        cluster.faults.fail = lambda verb, resource: None
        await until(lambda: reflector.store.synced)


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_what_is_forbidden_is_not_asked_for_over_and_over(cluster: Cluster, client: Client, verb: str) -> None:
    cluster.faults.denied.add((verb, "configmaps"))
    async with watching(client) as reflector:
        await until(lambda: reflector.store.trouble)
        await asyncio.sleep(3)
        assert lists(cluster) <= 6
        assert "forbidden" in reflector.store.trouble
        assert (reflector.store.refused, reflector.store.settled) == (True, True)
        assert reflector.store.synced == (verb == "watch")


async def test_a_kind_that_is_not_installed_is_refused_and_not_asked_for_over_and_over(
    cluster: Cluster, client: Client
) -> None:
    cluster.faults.fail = lambda verb, resource: 404
    async with watching(client) as reflector:
        await until(lambda: reflector.store.refused)
        await asyncio.sleep(3)
        assert lists(cluster) <= 6
        cluster.faults.fail = lambda verb, resource: None
        await until(lambda: reflector.store.synced)
        assert not reflector.store.refused


async def test_what_is_forbidden_for_a_moment_after_an_outage_is_seen_soon_after_it(
    cluster: Cluster, client: Client
) -> None:
    async with watching(client) as reflector:
        await until(lambda: cluster.asked("watch", "configmaps"))
        reflector._streaks[False] = 1000  # as after a long outage
        cluster.faults.fail = lambda verb, resource: 403
        cluster.cut()
        await until(lambda: reflector.store.refused)
        cluster.put("configmaps", config_map("a"))
        cluster.faults.fail = lambda verb, resource: None
        await until(lambda: same(reflector, cluster), within=1.9)  # a long outage's pause is 2 s at least


async def test_a_busy_api_server_is_given_the_time_it_asks_for(cluster: Cluster, client: Client) -> None:
    cluster.faults.fail = lambda verb, resource: 429
    cluster.faults.retry_after = 1
    async with watching(client):
        await until(lambda: len(cluster.asked("list", "configmaps")) == 2)
        first, second = cluster.asked("list", "configmaps")
        assert second.at - first.at >= 1.0


async def test_failures_slow_the_attempts_down_but_never_by_more_than_seconds(cluster: Cluster, client: Client) -> None:
    cluster.faults.fail = lambda verb, resource: 500
    reflector = Reflector(client, CONFIG_MAPS, Store(), jitter=lambda: 1.0)
    task = asyncio.create_task(reflector.run())
    await until(lambda: len(cluster.asked("list", "configmaps")) == 4)
    task.cancel()
    waits = [later.at - sooner.at for sooner, later in pairwise(cluster.asked("list", "configmaps"))]
    assert all(wait >= least for wait, least in zip(waits, (FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT), strict=True))
    reflector._streaks[False] = 1000
    assert reflector._pause() == LAST_WAIT


async def test_refusals_and_failures_that_alternate_slow_the_attempts_down_too(
    cluster: Cluster, client: Client
) -> None:
    codes = cycle((403, 500))  # as of two API servers
    cluster.faults.fail = lambda verb, resource: next(codes)
    async with watching(client):
        await asyncio.sleep(2)
        assert lists(cluster) <= 12


async def test_history_that_was_forgotten_is_no_failure(cluster: Cluster, client: Client) -> None:
    async with watching(client) as reflector:
        told = troubles(reflector)
        await until(lambda: cluster.asked("watch", "configmaps"))
        cluster.put("pods", {"metadata": {"name": "p"}, "spec": {}})
        cluster.compact()
        cluster.cut()
        await until(lambda: lists(cluster) == 2)
        assert told == []
