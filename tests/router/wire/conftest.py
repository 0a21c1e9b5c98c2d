"""Everything below here runs on uvloop, as in production, against real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.router.wire.edge import Edge

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncIterator, Callable

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
