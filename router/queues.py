"""The queues of all revisions in the table, and how often their services may be woken."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from router.errors import EdgeError, Reason, spread
from router.queue import Queue
from router.wakes import Wakes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from router.ports import Clock, Replicas, Waker
    from router.table import Revision, Share


class MakeQueue(Protocol):
    """Makes the queue of a revision: `Queue`, or one whose waiters wait elsewhere."""

    def __call__(self, revision: Revision, wake: Callable[[str], None], clock: Clock) -> Queue:
        """Return a queue that asks `wake` for capacity when there is none at all."""


class Queues(dict[str, Queue]):
    """Queues by revision. `retired` are those of revisions that have left the table; they stay while something runs
    there. Those held for a revision that has a fallback leave it when it has no replica, those held for one that has
    lost its share leave it at once: they are resolved again."""

    def __init__(self, waker: Waker, clock: Clock, make_queue: MakeQueue = Queue) -> None:
        super().__init__()
        self.wakes = Wakes()
        self.retired: set[str] = set()
        self._waker = waker
        self._clock = clock
        self._make_queue = make_queue
        self._refused = 0
        self._idle: set[str] = set()  # revisions that have no share

    def replace(self, revisions: Mapping[str, Revision], shares: Sequence[Share]) -> None:
        """Take a new table's revisions and shares; those held for a revision that is gone are resolved again."""
        replaceable = {share.revision.name for share in shares if share.fallback is not None}
        for name, revision in revisions.items():
            queue = self.get(name)
            if queue is None:
                queue = self[name] = self._make_queue(revision, self.wake, self._clock)
            queue.revision = revision
            queue.replaceable = name in replaceable
            queue.refresh(self._clock())
        self.retired = self.keys() - revisions.keys()
        self._idle = revisions.keys() - {share.revision.name for share in shares if share.percent}
        for name, queue in self.items():
            if self.is_left(name):
                queue.dissolve()

    def cold(self, name: str) -> bool:
        """Tell whether a revision has no replica that can be sent requests."""
        return not self[name].replicas.endpoints

    def is_left(self, name: str) -> bool:
        """Tell whether a request for a revision is to be resolved again: it has left the table or lost its share, or
        another answers."""
        gone = name in self.retired or name in self._idle or name not in self
        return gone or (self[name].replaceable and self.cold(name))

    def take_snapshot(self, replicas: Replicas) -> None:
        """Take a capacity snapshot; one for a revision that has left the table is of no use."""
        queue = self.get(replicas.revision)
        if queue is not None:
            queue.update(replicas, self._clock())

    def sweep(self, now: float, in_use: Collection[str] = ()) -> None:
        """End holds that are over; forget the queues of revisions that have left the table once nothing runs or waits
        there. Those `in_use` stay: others know of requests there."""
        self.wakes.sweep(now)
        for queue in self.values():
            queue.expire(now)
        for name in self.retired - set(in_use):
            if not self[name].in_flight() and not self[name].held:
                del self[name]
                self.retired.discard(name)

    def nudge(self, name: str) -> None:
        """Ask for capacity on behalf of nobody who would wait; nothing comes of it where a wake is not allowed now."""
        retry_at = self[name].replicas.start.retry_at
        if retry_at is None or retry_at <= self._clock():
            with suppress(EdgeError):
                self.wake(name)

    def wake(self, name: str) -> None:
        """Ask for capacity. EdgeError when the service was woken too often."""
        queue = self[name]
        if queue.asleep:
            limits, now = queue.revision.limits, self._clock()
            wait = self.wakes.ask(queue.revision.service, limits.max_wakes, now)
            if wait:
                self._refused += 1
                raise EdgeError(
                    Reason.WAKE_LIMITED,
                    f"{queue.revision.service} is asleep; it, or all services, were woken as often as is allowed.",
                    retry_after=wait + spread(self._refused, 5.0, 0.0),
                )
            queue.woken = True
        self._waker.wake(name)
