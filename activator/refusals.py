"""Tells the log when requests get an error of the edge itself in place of a replica's answer: at once, then ever more
rarely for as long as it lasts, with how many there were. The metrics count them all, but at night the log is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.errors import STATUS, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

FIRST = 60.0  # seconds between the first two lines about a reason; then twice as long, and so on
LONGEST = 3600.0
MOST_NAMES = 5

MEANS: Mapping[Reason, str] = {
    Reason.QUEUE_FULL: "more wait than queue-depth or queue-bytes allow: more replicas (max-scale) may help",
    Reason.HOLD_TIMEOUT: "no slot came free within hold-timeout: `activator explain` tells why there are not more",
    Reason.START_FAILED: "replicas cannot be started: `activator explain` tells why",
    Reason.BUFFER_FULL: "bodies of waiting requests have reached limits.max-buffered-bytes",
    Reason.WAKE_LIMITED: "max-wakes-per-minute is reached",
    Reason.TOO_MANY_CONNECTIONS: "limits.max-connections is reached, or nearly half of the descriptors (ulimit -n)",
    Reason.TOO_MANY_FROM_SOURCE: "limits.max-connections-per-source is reached",
    Reason.UPSTREAM_BROKE: "replicas close connections, or answer what is no HTTP: look into their logs",
    Reason.UPSTREAM_TIMEOUT: "first-byte-timeout, idle-timeout or total-timeout is over: replicas hang, or it is short",
    Reason.INTERNAL: "a defect of the edge: the log has it as `defect`",
}


@dataclass(slots=True)
class Told:
    """What was last told of a reason: totals of all, and by revision. The next line is due at `due`, `pause` later."""

    due: float
    pause: float = FIRST
    total: int = 0
    revisions: dict[str, int] = field(default_factory=dict)


class Refusals:
    """Writes to `log`."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._told: dict[Reason, Told] = {}

    def look(self, totals: Mapping[str, int], revisions: Mapping[str, Mapping[str, int]], now: float) -> None:
        """Tell what is due at `now` (clock seconds) of the requests so far: by reason, and by revision and reason."""
        for reason in MEANS:
            total = totals.get(reason, 0)
            told = self._told.get(reason) or Told(now)
            if total <= told.total or now < told.due:
                continue
            pause = FIRST if reason not in self._told or now - told.due > told.pause else min(2 * told.pause, LONGEST)
            counts = {name: reasons[reason] for name, reasons in revisions.items() if reasons.get(reason)}
            self._tell(reason, total - told.total, told.revisions, counts)
            self._told[reason] = Told(now + pause, pause, total, counts)

    def _tell(self, reason: Reason, requests: int, before: Mapping[str, int], counts: Mapping[str, int]) -> None:
        known = {name: count for name, count in before.items() if count <= counts.get(name, 0)}  # else it came anew
        grown = Counter(counts) - Counter(known)
        most = sorted(grown, key=lambda name: -grown[name])[:MOST_NAMES]
        event = "requests were not answered by a replica"
        told = {"reason": str(reason), "status": STATUS[reason], "requests": requests, "revisions": most}
        self._log.warning(event, **told, means=MEANS[reason])
