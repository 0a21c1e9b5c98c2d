"""A fault: a coroutine that builds its stage, does its harm under load and says what it may cost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.ledger.stage import Stage

if TYPE_CHECKING:
    from tests.ledger.stage import Verdict

Run = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """`known` = why it is violated today; `skipped` = why it cannot be run. `world` makes its stage: a directory, the
    seconds of load and a seed are given."""

    number: str
    title: str
    run: Run
    seconds: float
    quick: float | None = None  # seconds of load in `make test`, None = only in `make chaos`
    known: str = ""
    skipped: str = ""
    world: Callable[[Path, float, str], Any] = Stage

    async def play(self, seed: str, seconds: float) -> Verdict:
        """Run it once and judge. Its directory stays only if it is violated."""
        home = Path(tempfile.mkdtemp(prefix=f"ledger-{self.number}-"))
        stage = self.world(home, seconds, f"{seed}-{self.number}")
        try:
            await self.run(stage)
            verdict: Verdict = await stage.judge()
        finally:
            await stage.close()
        if verdict.good:
            shutil.rmtree(home)
        else:
            verdict.facts["kept"] = str(home)
        return verdict


FAULTS: dict[str, Fault] = {}


def fault(
    number: str, title: str, seconds: float, *, quick: float | None = None, known: str = ""
) -> Callable[[Run], Run]:
    """Register the decorated coroutine under its number."""

    def register(run: Run) -> Run:
        FAULTS[number] = Fault(number, title, run, seconds, quick, known)
        return run

    return register


def skip(number: str, title: str, why: str) -> None:
    """Register a fault that cannot be run."""

    async def nothing(_: Stage) -> None: ...

    FAULTS[number] = Fault(number, title, nothing, 0, skipped=why)
