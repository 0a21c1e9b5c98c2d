"""The faults of the control plane, by the numbers under which they are run and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.control.stage import Stage
from tests.ledger.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ledger.fault import Run

FAULTS: dict[str, Fault] = {}


def fault(number: str, title: str, seconds: float, *, quick: float | None = None) -> Callable[[Run], Run]:
    """Register the decorated coroutine. `quick` = seconds in `make test`, None = only in `make chaos-cluster`."""

    def register(run: Run) -> Run:
        FAULTS[number] = Fault(number, title, run, seconds, quick, world=Stage)
        return run

    return register
