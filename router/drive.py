"""Runs the coroutine of a request without a Task, and lets it wait without a Future.

A Task and its futures cost a fifth of a small request: the objects, asyncio's registry of all tasks, and a turn of the
loop before the first line and after each wait. A request needs none of it: it is never cancelled (it is failed), it
waits for one thing at a time, and whoever ends the wait holds the exchange. What its coroutine may not use is what
looks for the current task, such as `asyncio.timeout`; work that needs that is awaited as a Task of its own.
"""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Iterator


class Driven:
    """Runs its coroutine until that waits, and on when the wait is ended: in the next turn of the loop (`wake`, `fail`)
    or at once (`resume`), which is for those who have nothing left to do themselves, as anything may have changed when
    it returns. The first failure is kept: if it comes before the wait, or between its end and the next line of the
    coroutine, that line raises it all the same."""

    __slots__ = ("_steps", "_waits", "failure")

    failure: Exception | None
    _waits: bool
    _steps: Iterator[asyncio.Future[Any] | None]

    def run(self, coroutine: Coroutine[Any, None, None]) -> None:
        """Run `coroutine` now, until it first waits or awaits a future."""
        self._steps = coroutine.__await__()
        if (future := next(self._steps, None)) is not None:
            self._follow(future)

    @types.coroutine
    def wait(self) -> Generator[None, None, None]:
        """Wait until someone calls `wake`, `resume` or `fail`."""
        if self.failure is None:
            self._waits = True
            while self._waits:
                yield
        if self.failure is not None:
            raise self.failure

    def wake(self) -> None:
        """End the wait, if there is one, in the next turn of the loop."""
        if self._waits:
            self._waits = False
            asyncio.get_running_loop().call_soon(self._step)

    def resume(self) -> None:
        """End the wait, if there is one, and return when the coroutine waits again or has ended."""
        if self._waits:
            self._waits = False
            if (future := next(self._steps, None)) is not None:
                self._follow(future)

    def fail(self, error: Exception) -> None:
        """End the wait, or the next one, with `error`; the first failure counts."""
        if self.failure is None:
            self.failure = error
            self.wake()

    def _step(self, _: asyncio.Future[Any] | None = None) -> None:
        if (future := next(self._steps, None)) is not None:
            self._follow(future)

    def _follow(self, future: asyncio.Future[Any]) -> None:
        future._asyncio_future_blocking = False  # noqa: SLF001 - the protocol between a future and who awaits it
        future.add_done_callback(self._step)
