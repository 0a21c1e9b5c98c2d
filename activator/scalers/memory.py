"""The memory scaler: replicas that exist by a script only, for tests of whatever stands on a scaler.

It keeps to the loop's timers, so it works in virtual time too.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from activator.scalers.base import Phase
from activator.scalers.local import LocalScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from activator.scalers.base import Routing
    from activator.scalers.fleet import Launch, News


@dataclass(frozen=True, slots=True)
class Start:
    """What becomes of one start. Times in seconds.

    The replica is PENDING with `reason` for `unschedulable`, if that is not 0, then STARTING for `delay`.
    Then it is READY at `host`:`port` (0 = a number of its own, where nobody answers) - or fails, if there
    is a `failure` to tell of. Told to end, it is gone after `ending`.
    """

    delay: float = 0.0
    unschedulable: float = 0.0
    reason: str = "unschedulable"
    failure: str = ""
    doomed: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    ending: float = 0.0


class MemoryScaler(LocalScaler):
    """A Scaler without processes. Names are REVISION-1, REVISION-2 and so on."""

    def __init__(self, routing: Routing, *, clock: Callable[[], float]) -> None:
        self._actors = Actors()
        numbers: dict[str, Iterator[int]] = {}
        super().__init__(
            self._actors,
            routing,
            clock,
            lambda revision: f"{revision}-{next(numbers.setdefault(revision, itertools.count(1)))}",
        )

    def script(self, revision: str, starts: Iterable[Start]) -> None:
        """Let the next starts of `revision` go like `starts`, one each, and all later ones like the last of
        them.

        A generator may decide as late as it is asked. Without a script a start takes no time.
        """
        self._actors.scripts[revision] = Script(iter(starts))

    def crash(self, replica: str, message: str = "crashed") -> None:
        """End a replica as if it had died. KeyError when there is none of this name."""
        self._actors.finish(replica, message)

    def unready(self, replica: str, message: str = "does not answer") -> None:
        """Let a replica fail its probes until `ready` is called."""
        self._actors.acting[replica].news.unready(replica, message)

    def ready(self, replica: str) -> None:
        """Let a replica answer its probes from now on."""
        self._actors.acting[replica].news.ready(replica)


@dataclass(slots=True)
class Script:
    """The starts of one revision to come, and the one that was last."""

    starts: Iterator[Start]
    last: Start = field(default_factory=Start)

    def next(self) -> Start:
        """Return how the next start goes."""
        self.last = next(self.starts, self.last)
        return self.last


@dataclass(slots=True, eq=False)
class Actor:
    """A replica that plays its script."""

    name: str
    start: Start
    news: News
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class Actors:
    """A Runner of scripts."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.acting: dict[str, Actor] = {}
        self._ports = itertools.count(10001)

    def start(self, launch: Launch, news: News) -> Phase:
        """Begin to play a start."""
        start = self.scripts.setdefault(launch.revision, Script(iter(()))).next()
        actor = self.acting[launch.name] = Actor(launch.name, start, news)
        if start.unschedulable:
            self._later(actor, 0, lambda: news.pending(launch.name, start.reason))
        self._later(actor, start.unschedulable, lambda: self._run(actor))
        return Phase.PENDING if start.unschedulable else Phase.STARTING

    def end(self, name: str) -> None:
        """Let an actor go, after the time it takes to end."""
        if actor := self.acting.get(name):
            self._cancel(actor)
            self._later(actor, actor.start.ending, lambda: self.finish(name, "ended"))

    async def close(self) -> None:
        """Drop whoever is left."""
        for name in list(self.acting):
            self._cancel(self.acting.pop(name))

    def finish(self, name: str, message: str, *, doomed: bool = False) -> None:
        """Let an actor be gone now."""
        actor = self.acting.pop(name)
        self._cancel(actor)
        actor.news.ended(name, message, doomed=doomed)

    def _run(self, actor: Actor) -> None:
        actor.news.running(actor.name, actor.start.host, actor.start.port or next(self._ports))
        self._later(actor, actor.start.delay, lambda: self._come_up(actor))

    def _come_up(self, actor: Actor) -> None:
        if actor.start.failure:
            self.finish(actor.name, actor.start.failure, doomed=actor.start.doomed)
        else:
            actor.news.ready(actor.name)

    def _later(self, actor: Actor, delay: float, action: Callable[[], None]) -> None:
        actor.timers.append(asyncio.get_running_loop().call_later(delay, action))

    def _cancel(self, actor: Actor) -> None:
        for timer in actor.timers:
            timer.cancel()
        actor.timers.clear()
