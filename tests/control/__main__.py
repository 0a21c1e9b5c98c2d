"""All faults of the control plane, or those named, against the stand-in for an API server:
`python -m tests.control [--seed SEED] [--at-a-time 3] [F20 F26 ...]`; 1 = a violation. Most of the time they wait."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.control.catalog import ALL
from tests.ledger.__main__ import row, say

if TYPE_CHECKING:
    from tests.ledger.fault import Fault

AT_A_TIME = 3
THREADS = 32  # each edge that starts or ends is waited for in one


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.control")
    parser.add_argument("--seed", default=str(random.getrandbits(32)))
    parser.add_argument("--at-a-time", type=int, default=AT_A_TIME)
    parser.add_argument("faults", nargs="*")
    options = parser.parse_args()
    say(f"seed {options.seed}")
    chosen = [fault for fault in ALL.values() if not options.faults or fault.number in options.faults]
    violated = asyncio.run(play_all(chosen, options.seed, options.at_a_time))
    if violated:
        say(f"violated: {' '.join(violated)}; again: python -m tests.control --seed {options.seed} {violated[0]}")
    sys.exit(bool(violated))


async def play_all(faults: list[Fault], seed: str, at_a_time: int) -> list[str]:
    """Run them, print a row for each, and return the numbers of those that were violated."""
    room = asyncio.Semaphore(at_a_time)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))

    async def play(fault: Fault) -> bool:
        async with room:
            begun = time.monotonic()
            try:
                verdict = await fault.play(seed, fault.seconds)
            except (AssertionError, TimeoutError):  # it never came to what was waited for
                say(f"{fault.number}  VIOLATED  {fault.title}\n{traceback.format_exc(limit=-6)}")
                return False
            word = "good" if verdict.good else "VIOLATED"
            say(f"{fault.number}  {word:8}  {fault.title}  ({time.monotonic() - begun:.0f} s)\n{row(verdict)}")
            return verdict.good

    good = await asyncio.gather(*map(play, faults))
    return [fault.number for fault, fine in zip(faults, good, strict=True) if not fine]


if __name__ == "__main__":
    main()
