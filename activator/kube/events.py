"""Kubernetes Events: what happens to a Deployment is told where its owner looks, by `kubectl describe`.

Nothing waits for them and nothing depends on them: they are written in the background, few at a time, and given up when
the API server does not take them.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from activator.kube.errors import CONFLICT, TOO_MANY, ApiError, UnreachableError
from activator.kube.resources import EVENTS, name_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.kube.client import Client
    from activator.kube.resources import Object

CONTROLLER = "gpu-activator"
LONGEST_NOTE = 1024  # bytes (events.k8s.io/v1: note)
LONGEST_INSTANCE = 128
LONGEST_NAME = 230
BURST = 20
REFILL = 30.0
WAITING = 500
ATTEMPTS = 4
PAUSE = 5.0

NORMAL = "Normal"
WARNING = "Warning"


@dataclass(slots=True)
class Allowance:
    """How many Events one object may still get: BURST at once, then one every REFILL seconds, as of `at`."""

    at: float
    left: float = BURST
    withheld: int = 0

    def take(self, now: float) -> bool:
        """Use up one; tell whether there was one."""
        self.left = min(BURST, self.left + (now - self.at) / REFILL)
        self.at = now
        if self.left < 1:
            self.withheld += 1
            return False
        self.left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be told of an object. `action` is what was done (`Scale`), `reason` why in one word (`ScaledUp`);
    `once` = it is the same Event whoever tells it and whenever, so it is written only once. Two are the same if their
    notes are, or if they have a `key` and that is."""

    about: Object = field(repr=False)
    kind: str
    action: str
    reason: str
    note: str
    once: bool = False
    key: str = ""


class Recorder:
    """Writes Events through `client` in the name of `instance`, the pod. `clock` gives seconds, `wall` Unix seconds.

    `written`, `withheld` (an object got too many) and `lost` (the API server did not take them) count since the start.
    """

    def __init__(self, client: Client, instance: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.written = 0
        self.withheld = 0
        self.lost = 0
        self._client = client
        self._instance = instance[:LONGEST_INSTANCE]
        self._clock = clock
        self._wall = wall
        self._allowances: dict[str, Allowance] = {}
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(WAITING)

    def tell(self, report: Report) -> None:
        """Have a report written soon, unless its object got too many; the next one says how many were withheld."""
        now = self._clock()
        allowance = self._allowances.setdefault(uid_of(report.about), Allowance(now))
        if not allowance.take(now):
            self.withheld += 1
            return
        more = f" ({allowance.withheld} earlier Events were withheld)" if allowance.withheld else ""
        allowance.withheld = 0
        try:
            self._waiting.put_nowait(event_of(report, more, self._instance, self._wall()))
        except asyncio.QueueFull:
            self.lost += 1

    async def run(self) -> None:
        """Write what is told, until cancelled."""
        while True:
            event = await self._waiting.get()
            if await self._write(event):
                self.written += 1
            else:
                self.lost += 1
            self._forget()

    async def _write(self, event: Object) -> bool:
        for attempt in range(1, ATTEMPTS + 1):
            wait = PAUSE * attempt
            try:
                await self._client.create(EVENTS, event)
            except ApiError as error:
                if error.status == CONFLICT:
                    return True
                if error.status != TOO_MANY and error.status < 500:
                    return False
                wait = max(wait, error.retry_after)
            except UnreachableError:
                pass
            else:
                return True
            if attempt < ATTEMPTS:
                await asyncio.sleep(wait)
        return False

    def _forget(self) -> None:
        """Drop the allowances that are whole again."""
        now = self._clock()
        whole = [uid for uid, each in self._allowances.items() if each.left + (now - each.at) / REFILL >= BURST]
        for uid in whole:
            if not self._allowances[uid].withheld:
                del self._allowances[uid]


def event_of(report: Report, more: str, instance: str, wall: float) -> Object:
    """Return an Event of events.k8s.io/v1, at `wall` (Unix seconds). Its note is cut so that `more` has room."""
    about = report.about
    meta = about["metadata"]
    same = f"{uid_of(about)} {report.reason} {report.key or report.note}"
    suffix = hashlib.sha256(same.encode()).hexdigest()[:16] if report.once else f"{int(wall * 1e9):x}"
    regarding = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion") if key in meta}
    return {
        "apiVersion": EVENTS.version,
        "kind": "Event",
        "metadata": {"name": f"{name_of(about)[:LONGEST_NAME]}.{suffix}", "namespace": meta.get("namespace", "")},
        "eventTime": datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "action": report.action,
        "reason": report.reason,
        "regarding": {"apiVersion": _version(about), "kind": about.get("kind", "Deployment"), **regarding},
        "note": cut(report.note, LONGEST_NOTE - len(more.encode())) + more,
        "type": report.kind,
    }


def cut(text: str, most: int) -> str:
    """Return `text` within `most` bytes of UTF-8, with an ellipsis where it is cut."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    return data[: most - 3].decode("utf-8", "ignore") + "..."


def _version(about: Object) -> Any:
    return about.get("apiVersion", "apps/v1")
