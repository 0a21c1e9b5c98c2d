from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from activator.metrics import PIECE, Metrics
from activator.scrape import Page
from router.table import Revision, Service, Share
from tests.activator.parts import LIMITS, all_parts
from tests.activator.stage import plan

if TYPE_CHECKING:
    from tests.activator.parts import Parts

NAMES = [f"s{number}-1" for number in range(60)]


def crowded(parts: Parts) -> None:
    """Let there be many revisions, each with requests that ended in two ways."""
    revisions = [Revision(name, name[:-2], LIMITS) for name in NAMES]
    services = tuple(Service(each.service, (f"{each.service}.example",), (Share(each, 100),)) for each in revisions)
    parts.configure(services, tuple(plan(name) for name in NAMES))
    for counters in parts.proxy.counters.revisions.values():
        counters.durations[200].observe(0.01)
        counters.durations[404].observe(0.02)


async def test_a_page_is_written_in_pieces_between_which_others_run() -> None:
    async with all_parts() as parts:
        crowded(parts)
        page, turns = asyncio.create_task(Page(Metrics(parts.insight), parts.clock).latest()), 0
        while not page.done():
            await asyncio.sleep(0)
            turns += 1
        text = page.result().decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) == len({family.name for family in families}) == text.count("# TYPE ") == text.count("# HELP ")
    histograms = [family for family in families if family.name == "activator_request_latencies"]
    assert {sample.labels["revision_name"] for sample in histograms[0].samples} == set(NAMES)
    assert len(histograms[0].samples) == len(NAMES) * 2 * 19
    assert turns >= sum(len(family.samples) for family in families) / (2 * PIECE)


async def test_those_who_scrape_at_once_get_one_page_that_is_as_old_as_it_took_to_make_ten_times() -> None:
    async with all_parts() as parts:
        times = iter(range(100_000))

        page = Page(Metrics(parts.insight), parts.clock, lambda: next(times) / 1000)
        first, *others = await asyncio.gather(*(page.latest() for _ in range(5)))
        assert all(other is first for other in others)
        parts.now += 60.0
        assert await page.latest() is not first


async def test_what_stood_still_while_it_wrote_a_page_tells_new_numbers_as_soon_as_ever() -> None:
    async with all_parts() as parts:

        def clock() -> float:
            parts.now += 0.5
            return parts.now

        page = Page(Metrics(parts.insight), clock)
        first = await page.latest()
        parts.now += 1.0
        assert await page.latest() is not first
