"""Everything below here runs on uvloop, as in production, against real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    import pytest

    Factories = dict[str, Callable[[], AbstractEventLoop]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Factories:
    return {"uvloop": uvloop.new_event_loop}
