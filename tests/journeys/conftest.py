"""Edges for journeys: one that most of them share, because a start costs a second, and others for those that hurt
theirs. Each is looked over after each journey: no traceback, no defect, a clean end, no process left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.journeys.daemon import Daemon
from tests.journeys.edge import Edge
from tests.journeys.services import configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.journeys.services import Keys

    Serve = Callable[..., Edge]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("edge"))
    daemon.write(configuration())
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
async def edge(shared_daemon: Daemon, session: ClientSession) -> AsyncIterator[Edge]:
    """The shared edge, started again if a journey has broken it. What a journey deploys is taken away after it."""
    if not shared_daemon.running:
        shared_daemon.write(configuration())
        shared_daemon.start()
    edge = Edge(shared_daemon, session)
    yield edge
    await edge.undeploy()
    shared_daemon.check_words()


@pytest.fixture
def serve(tmp_path: Path, session: ClientSession) -> Iterator[Serve]:
    """Starts an edge of a journey's own, by a configuration."""
    daemons: list[Daemon] = []

    def start(config: Keys) -> Edge:
        daemon = Daemon(tmp_path / f"edge-{len(daemons)}")
        daemon.home.mkdir()
        daemons.append(daemon)
        daemon.write(config)
        daemon.start()
        return Edge(daemon, session)

    yield start
    for daemon in daemons:
        daemon.stop()
