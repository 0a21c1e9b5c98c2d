"""The parent and processes that stand in for workers, on the stock loop's real time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from activator.peers.crew import Crew
from tests.router.fakes import Wakes


class Log:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.enough = asyncio.Event()

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})
        if len(self.lines) == 4:
            self.enough.set()


class Stillborn(Crew):
    """Its workers end as soon as they are started."""

    script = "raise SystemExit(3)"


async def test_a_worker_that_dies_at_its_start_again_and_again_is_started_more_and_more_slowly() -> None:
    log = Log()
    crew = Stillborn(1, Wakes(), time.monotonic, cast("Any", log))
    keeping = asyncio.create_task(crew._keep(0))
    try:
        async with asyncio.timeout(30):
            await log.enough.wait()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert [line["in_seconds"] for line in log.lines[:4]] == [0.0, 0.4, 0.8, 1.6]
    assert {(line["event"], line["worker"]) for line in log.lines} == {("worker ended, another one starts", 0)}
    assert (crew.restarts, crew.health().workers) == (len(log.lines), 0)
