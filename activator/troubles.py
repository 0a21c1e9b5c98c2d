"""What is tried again every few seconds fails again every few seconds, as long as a disk is full or a right is missing.

The log of a night must show it, and all the rest, too: so it is told when it begins, when its cause is another one,
once in a while, and when it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

AGAIN = 120
"""So many failures later a trouble that lasts is told again: every ten minutes, of what is tried every 5 s."""


class Trouble:
    """One kind of trouble: `event` tells of it in `log` as an error, `over` of its end (nothing does, when empty)."""

    def __init__(self, log: FilteringBoundLogger, event: str, over: str = "") -> None:
        self._log = log
        self._event, self._over = event, over
        self._cause = ""
        self._quiet = 0

    @property
    def lasts(self) -> bool:
        """Whether it was met and has not passed."""
        return bool(self._cause)

    def met(self, cause: str, **facts: object) -> None:
        """Take note that it was met, for `cause`, which is not empty."""
        self._quiet = self._quiet - 1 if cause == self._cause else 0
        self._cause = cause
        if self._quiet <= 0:
            self._quiet = AGAIN
            self._log.error(self._event, error=cause, **facts)

    def passed(self) -> None:
        """Take note that what failed has succeeded."""
        if self._cause and self._over:
            self._log.info(self._over)
        self._cause = ""

    def remind(self) -> None:
        """Have it told when it is met next, if it lasts."""
        self._quiet = 0
