"""Finding processes by a mark in their environment or command line, whoever their parent is by now."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    """Tell whether a process exists, a zombie being one too."""
    return Path("/proc", str(pid)).exists()


def dead(pid: int) -> bool:
    """Tell whether a process has ended, waited for or not: it holds no file or socket any more."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def marked(mark: str) -> list[int]:
    """Return the living processes that carry `mark`; not zombies, and not this one."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, mark)]


def _carries(entry: Path, mark: str) -> bool:
    try:
        carried = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return mark.encode() in carried and int(entry.name) != os.getpid()


async def all_gone(mark: str, within: float) -> bool:
    """Wait until no process carries `mark`."""
    try:
        async with asyncio.timeout(within):
            while marked(mark):  # noqa: ASYNC110 - the world sends no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


async def some(mark: str, count: int, within: float = 60) -> list[int]:
    """Wait until at least `count` processes carry `mark`; return them."""
    async with asyncio.timeout(within):
        while len(found := marked(mark)) < count:  # noqa: ASYNC110 - the world sends no event
            await asyncio.sleep(0.01)
    return found
