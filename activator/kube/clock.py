"""The API server's time, from the Date of its answers: the one wall clock that all edges share.

An age that one edge wrote and another reads would else be wrong by as much as their machines' clocks differ.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ServerClock:
    """Gives Unix seconds, to the second. `clock` never jumps; `own` is asked until the API server has answered once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, own: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._own = own
        self._offset: float | None = None

    def hear(self, date: str) -> None:
        """Take note of the Date field of an answer that has just come (RFC 9110 5.6.7)."""
        try:
            self._offset = parsedate_to_datetime(date).timestamp() - self._clock()
        except (ValueError, TypeError, OverflowError):
            return

    def __call__(self) -> float:
        """Return the present time."""
        return self._own() if self._offset is None else self._clock() + self._offset
