"""Load that wrk does not make: small programs of this package on the second core, which tell what they saw in JSON.

Each prints a word when what it was to set up is there, and its figures on the last line when it has ended; it ends by
itself, or when its standard input is closed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from benchmarks.processes import ROOT, cores, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

END_SECONDS = 60.0


class Helper:
    """A program that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said = cast("IO[str]", process.stdout)

    def wait(self) -> str:
        """Return the next line that it says. RuntimeError when it ends instead."""
        line = self._said.readline().strip()
        if not line:
            status = self._process.wait(END_SECONDS)
            raise RuntimeError(f"{self._process.args!r} ended with {status}")
        return line

    def figures(self) -> dict[str, Any]:
        """Let it end, if it waits for that, and return what it has to tell."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        told: dict[str, Any] = json.loads(self.wait())
        return told


def command(module: str, *arguments: object) -> list[str]:
    """Return how to run a module of benchmarks.crowds."""
    return [sys.executable, "-m", f"benchmarks.crowds.{module}", *map(str, arguments)]


@contextmanager
def helper(module: str, *arguments: object) -> Iterator[Helper]:
    """Run a module of benchmarks.crowds on the second core while the context lasts."""
    pinned_command = pinned(cores()[1], command(module, *arguments))
    with subprocess.Popen(
        pinned_command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Helper(process)
        finally:
            process.kill()


def run(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module to its end and return its figures."""
    with helper(module, *arguments) as running:
        return running.figures()
