"""Runs the coroutine of a request without a Task.

A Task costs about a seventh of a small request: the object, its place in asyncio's registry of all tasks, and a turn of
the loop before the first line runs. A request needs none of it: it is never cancelled (it is failed, see Exchange), and
whoever waits for it is told by its connection. What it may not do is to use what looks for the current task, such as
`asyncio.timeout`; work that needs that is awaited as a Task of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


class Drive:
    """Runs `coroutine` at once until it first awaits a future, and on whenever that future is done."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[asyncio.Future[object], None, None]) -> None:
        self._coroutine = coroutine
        self._step()

    def _step(self, _: asyncio.Future[object] | None = None) -> None:
        try:
            future = self._coroutine.send(None)
        except StopIteration:
            return
        future._asyncio_future_blocking = False  # noqa: SLF001 - the protocol between a future and who awaits it
        future.add_done_callback(self._step)
