from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.router.waiting import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.router.waiting import Staged


@pytest.fixture
async def staged() -> AsyncIterator[Staged]:
    stages: list[Stage] = []

    def stage(**limits: object) -> Stage:
        stages.append(Stage(**limits))
        return stages[-1]

    yield stage
    for made in stages:
        await made.clear()
