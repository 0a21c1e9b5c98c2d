"""A selection of the faults, shortly. `make chaos-cluster` runs all of them for longer."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.control import catalog
from tests.ledger.__main__ import row

if TYPE_CHECKING:
    from tests.ledger.fault import Fault

SEED = os.environ.get("LEDGER_SEED") or str(random.getrandbits(32))
QUICK = [fault for fault in catalog.ALL.values() if fault.quick is not None]


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: f"{fault.number}-{fault.run.__name__}")
async def test_the_promises_hold_under(fault: Fault) -> None:
    verdict = await fault.play(SEED, fault.quick or 0)
    assert verdict.good, f"{fault.number}, LEDGER_SEED={SEED}\n{row(verdict)}"


def test_every_fault_of_the_control_plane_is_there() -> None:
    assert {*(f"F{number}" for number in range(16, 28)), "F36"} <= set(catalog.ALL)
