"""Tells in the log which right is missing: an edge without one goes on as well as it can, and what it lacks shows only
in what does not happen, which is hard to find a cause for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from activator.kube.client import ERRORS
from activator.kube.errors import FORBIDDEN
from activator.kube.permissions import ROLE
from activator.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from activator.kube.client import Call

LASTS = 10.0  # seconds: one that has just started denies all for a moment, since it does not know the roles yet
NEEDED = frozenset((verb, grant.path) for grant in ROLE for verb in grant.verbs)


class Denials:
    """Tells once of each kind of call that the Role grants and RBAC still denies LASTS seconds later, and once that it
    is allowed again. Other refusals (a quota, a webhook) are about one object, and are told where it is dealt with."""

    def __init__(self, log: FilteringBoundLogger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._denied: dict[tuple[str, str], tuple[float, Trouble]] = {}

    def heard(self, call: Call, said: str) -> None:
        """Take note of how a call ended; `said` is the API server's reason to refuse it."""
        what = (call.verb, call.resource)
        if call.status == FORBIDDEN and what in NEEDED and f"cannot {call.verb} resource" in said:
            over = f"a right is there again: {call.verb} {call.resource}"
            first = (self._clock(), Trouble(self._log, "a right is missing", over))
            since, trouble = self._denied.setdefault(what, first)
            if self._clock() >= since + LASTS:
                trouble.met(f"{call.verb} {call.resource}", problem=said, needs="the Role in deploy/rbac")
        elif 0 < call.status < ERRORS and what in self._denied:  # 401, 429 and 5xx come before rights are looked at
            self._denied.pop(what)[1].passed()
