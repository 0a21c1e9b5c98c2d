"""All faults, or those named: `python -m tests.ledger [--seed SEED] [--quick] [F06 F12 ...]`; 1 = a violation."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from typing import TYPE_CHECKING

from tests.ledger import catalog

if TYPE_CHECKING:
    from tests.ledger.fault import Fault
    from tests.ledger.stage import Verdict


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger")
    parser.add_argument("--seed", default=str(random.getrandbits(32)))
    parser.add_argument("--quick", action="store_true", help="only what `make test` runs, as shortly")
    parser.add_argument("faults", nargs="*")
    options = parser.parse_args()
    say(f"seed {options.seed}")
    chosen = [fault for fault in catalog.ALL.values() if not options.faults or fault.number in options.faults]
    if options.quick:
        chosen = [fault for fault in chosen if fault.quick is not None]
    violated = [fault.number for fault in chosen if not play(fault, options.seed, quick=options.quick)]
    if violated:
        say(f"violated: {' '.join(violated)}; again: python -m tests.ledger --seed {options.seed} {violated[0]}")
    sys.exit(bool(violated))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def play(fault: Fault, seed: str, *, quick: bool) -> bool:
    """Run a fault, print its row, and return whether all is as it should be or is known to be."""
    if fault.skipped:
        say(f"{fault.number}  skipped   {fault.title}: {fault.skipped}")
        return True
    begun = time.monotonic()
    verdict = asyncio.run(fault.play(seed, fault.quick if quick and fault.quick else fault.seconds))
    word = "good" if verdict.good else "known" if fault.known else "VIOLATED"
    say(f"{fault.number}  {word:8}  {fault.title}  ({time.monotonic() - begun:.0f} s, seed {seed})\n{row(verdict)}")
    if fault.known:
        say(f"      known: {fault.known}" + (" - but it was good this time" if verdict.good else ""))
    return verdict.good or bool(fault.known)


def row(verdict: Verdict) -> str:
    """Return what a run has shown, in a few lines."""
    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(verdict.kinds.items()))
    marks = " ".join(f"{name}:{'-' if of is None else 'NO' if of else 'ok'}" for name, of in verdict.found.items())
    facts = [f"      {name}: {fact}" for name, fact in verdict.facts.items()]
    lines = [f"      {sum(verdict.kinds.values())} requests: {kinds}", f"      {marks}", *facts]
    for name, found in verdict.found.items():
        lines += [f"      {name}: {sentence}" for sentence in (found or [])[:8]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
