"""An edge takes over a configuration whenever it is asked to, and of one only what can change without a restart."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from activator.app import Edge
from activator.origin import Origin
from activator.settings.load import settings_of
from activator.settings.source import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from activator.settings.schema import Settings

TEXT = """
listen: 127.0.0.1:0
admin: 127.0.0.1:0
scaler: {scaler}
drain-timeout: {drain}
state-dir: state
log-dir: logs
services: [{{name: {name}, hosts: [m.example], revisions: [{{name: {name}-1, command: [model]}}]}}]
"""


def settings(home: Path, name: str, scaler: str = "memory", drain: str = "1s") -> Settings:
    return settings_of(parse(TEXT.format(name=name, scaler=scaler, drain=drain), "test"), home)


class Next(Origin):
    """A place where the next configuration lies already."""

    def __init__(self, found: Settings) -> None:
        super().__init__("test")
        self._found = found

    async def read(self) -> Settings:
        return self._found


@asynccontextmanager
async def started(first: Settings, second: Settings) -> AsyncIterator[Edge]:
    """An edge that is asked to reload while it starts, once it has done so."""
    edge = Edge(Next(second), first)
    running = asyncio.create_task(edge.run())
    await asyncio.sleep(0)
    await edge.reload()
    yield edge
    edge._stop()
    assert await running


async def test_a_reload_that_is_asked_for_while_the_edge_starts_comes_after_the_start(tmp_path: Path) -> None:
    async with started(settings(tmp_path, "old", "process"), settings(tmp_path, "new", "process")) as edge:
        pass
    assert [service.name for service in edge._table.services] == ["new"]


async def test_a_scaler_that_needs_a_restart_is_not_the_one_that_replicas_are_described_for(tmp_path: Path) -> None:
    first, second = settings(tmp_path, "m"), settings(tmp_path, "m", "kubernetes")
    with capture_logs() as logs:
        async with started(first, second) as edge:
            assert edge._loop.revisions["m-1"].plan.replica.readiness_path != ""
            assert "scaler" in " ".join(edge._insight.troubles())
            edge._origin = Next(first)
            await edge.reload()
            assert not edge._insight.troubles()
    assert [line["keys"] for line in logs if line["event"] == "these keys need a restart"] == [["scaler"]]


async def test_the_drain_takes_as_long_as_the_configuration_in_force_says(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with started(settings(tmp_path, "m"), settings(tmp_path, "m", drain="2s")):
            pass
    assert [line["seconds"] for line in logs if line["event"] == "draining"] == [2.0]
