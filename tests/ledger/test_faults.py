"""A selection of the faults, shortly. `make chaos` runs all of them for longer."""

from __future__ import annotations

import os
import random

import pytest

from tests.ledger import catalog
from tests.ledger.__main__ import row

SEED = os.environ.get("LEDGER_SEED") or str(random.getrandbits(32))
QUICK = [fault for fault in catalog.ALL.values() if fault.quick is not None and not fault.skipped]


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: f"{fault.number}-{fault.run.__name__}")
async def test_the_promises_hold_under(fault: catalog.Fault) -> None:
    verdict = await fault.play(SEED, fault.quick or 0)
    told = f"{fault.number}, LEDGER_SEED={SEED}\n{row(verdict)}"
    if fault.known and not verdict.good:
        pytest.xfail(f"{fault.known}\n{told}")
    assert verdict.good, told


def test_every_fault_that_needs_no_cluster_is_there() -> None:
    numbers = {*range(1, 16), *range(28, 36), *range(37, 49)}
    assert {f"F{number:02}" for number in numbers} <= set(catalog.ALL)
