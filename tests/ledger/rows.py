"""The rows of the two ledgers: what clients asked and got, what models were sent and answered.

Times are seconds of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_IDEMPOTENT = frozenset({"POST", "PATCH"})


class Outcome(StrEnum):
    """What became of a request, as its client saw it."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"  # it broke off after the head
    REFUSED = "refused"  # no connection
    RESET = "reset"  # the connection ended before a head came
    TIMEOUT = "timeout"  # the client's own patience ended
    LEFT = "left"  # the client went away on purpose


@dataclass(slots=True)
class Asked:
    """A client's row. `first_byte` is None when there was none; hashes are SHA-256 in hexadecimal."""

    id: str
    method: str
    service: str
    sent: float
    patience: float
    body_hash: str = ""
    first_byte: float | None = None
    end: float = 0.0
    status: int = 0
    outcome: Outcome | None = None
    answer_hash: str = ""
    reason: str = ""
    retry_after: float | None = None
    hold: float = 0.0  # seconds, by Server-Timing
    closing: bool = False
    target: str = "/"
    retries: int = 0  # how often it was made again, since a kept connection had ended without a byte

    @property
    def good(self) -> bool:
        """Whether it is a whole answer of a model, as wanted, or a whole WebSocket."""
        return self.outcome is Outcome.COMPLETE and (200 <= self.status < 300 or self.status == 101)

    @property
    def kind(self) -> str:
        """The outcome, and the status where the answer is whole."""
        return str(self.status) if self.outcome is Outcome.COMPLETE else str(self.outcome)


@dataclass(slots=True)
class Served:
    """A model's row of one request. `ending`: `end` = a proper answer, `cut` = an improper one on purpose, `broken` =
    its peer left, "" = unknown, as after a kill."""

    id: str
    replica: str
    process: int
    head: float
    body_hash: str = ""
    ending: str = ""
    end: float | None = None
    answer_hash: str = ""

    @property
    def revision(self) -> str:
        return self.replica.rpartition("-")[0]

    @property
    def service(self) -> str:
        return self.revision.rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class Started:
    """The start of a replica's process."""

    replica: str
    process: int
    at: float
    port: int

    @property
    def revision(self) -> str:
        return self.replica.rpartition("-")[0]

    @property
    def alive(self) -> bool:
        """Whether it is there, and is not another process by now: a dead one has no environment."""
        try:
            return f"REPLICA={self.replica}\0".encode() in Path(f"/proc/{self.process}/environ").read_bytes()
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Scaled:
    """The edge asked for `replicas` of a revision, of which it had asked for `before`."""

    at: float
    revision: str
    replicas: int
    before: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a quiet edge has: requests held and running, descriptors, resident bytes."""

    held: int
    running: int
    descriptors: int
    resident: int


@dataclass(slots=True)
class Ledgers:
    """All that is known of a run."""

    asked: list[Asked] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    scaled: list[Scaled] = field(default_factory=list)

    def served_of(self) -> dict[str, list[Served]]:
        """Return the models' rows by id."""
        found: dict[str, list[Served]] = defaultdict(list)
        for row in self.served:
            found[row.id].append(row)
        return found


def read(lines: Iterable[str]) -> tuple[list[Served], list[Started]]:
    """Return the rows of a models' ledger; a request is known by its id within one process."""
    served: list[Served] = []
    started: list[Started] = []
    open_rows: dict[tuple[int, str], Served] = {}
    for line in lines:
        event, pid, replica, request, at, value = line.split()
        process, when = int(pid), int(at) / 1e9
        if event == "start":
            started.append(Started(replica, process, when, int(value)))
        elif event == "head":
            row = open_rows[process, request] = Served(request, replica, process, when)
            served.append(row)
        else:
            _fill(open_rows[process, request], event, when, value)
    return served, started


def _fill(row: Served, event: str, at: float, value: str) -> None:
    if event == "body":
        row.body_hash = value
    elif not row.ending:
        row.ending, row.end, row.answer_hash = event, at, value
    elif event == "broken":
        row.end = at


def p99(rows: Iterable[Asked]) -> float:
    """Return the 99th percentile of what the requests of `load` took, in seconds; streams left out."""
    took = sorted(row.end - row.sent for row in rows if "stream" not in row.target and row.outcome is not Outcome.LEFT)
    return round(took[len(took) * 99 // 100], 3)


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def resident(pid: int) -> int:
    """Return a process's resident bytes."""
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
