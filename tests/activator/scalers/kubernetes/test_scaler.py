from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.activator.scalers.contract import ScalerContract
from tests.activator.scalers.kubernetes.stage import KubernetesStage, on_stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.looptime


@pytest.fixture
async def stage() -> AsyncIterator[KubernetesStage]:
    async with on_stage() as stage:
        yield stage


class TestKubernetesScaler(ScalerContract):
    pass
