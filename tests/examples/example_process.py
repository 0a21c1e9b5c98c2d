"""Starts an example the way a scaler does: as a process that is told HOST, PORT and REPLICA."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """A running example. `lines` are what it said until it listened."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._told_to_end = False

    async def listening(self) -> None:
        while not self.lines or "listening" not in self.lines[-1]:
            self.lines.append(await self._line())

    def terminate(self) -> None:
        """Send SIGTERM, once: sending a second one may reap the process before the loop does."""
        if not self._told_to_end:
            self._told_to_end = True
            self.process.terminate()

    async def said(self) -> list[str]:
        """Wait for the end and return what it said since it listened."""
        assert self.process.stdout is not None
        return (await self.process.stdout.read()).decode().splitlines()

    async def _line(self) -> str:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "it ended before it listened"
        return line.decode().rstrip()


async def spawn(script: str, *options: str, port: int) -> Example:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(EXAMPLES / script), *options),
        env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "REPLICA": "example-0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Example(process, port)


@asynccontextmanager
async def running(script: str, *options: str) -> AsyncIterator[Example]:
    """Run an example until the block ends; it must end by itself with 0 after SIGTERM."""
    (port,) = free_ports(1)
    example = await spawn(script, *options, port=port)
    try:
        async with asyncio.timeout(60):
            await example.listening()
            yield example
            example.terminate()
            assert await example.process.wait() == 0
    finally:
        if example.process.returncode is None:
            example.process.kill()
        await example.said()
        await example.process.wait()
