"""Keeps what must survive a restart on disk: the state of all revisions, the rollouts, and the usage ledger.

A file that cannot be used is set aside, so that the edge starts all the same and somebody can look at it later. One
that cannot be read stays as it is until it can.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any

from activator import state
from activator.kpa import checks
from activator.troubles import Trouble
from activator.usage import FILE as USAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from activator.loop import Loop
    from activator.rollouts import Rollouts
    from activator.usage import Ledger

SAVE_SECONDS = 5.0
Document = dict[str, Any] | tuple[bytes, ...]
ROLLOUTS = "rollouts.json"
LOST = "a restart goes on from what was last saved: free space there, or make it writable"
UNREADABLE = {
    USAGE: "usage of earlier runs cannot be read yet, and is not saved",
    ROLLOUTS: "saved rollouts cannot be read yet, and are not saved",
    state.FILE: "saved state cannot be read yet, and is not saved",
}


class Savings:
    """The state of `loop`, `ledger` and `rollouts` in `directory`. `wall` gives Unix seconds."""

    def __init__(
        self,
        directory: Path,
        parts: tuple[Loop, Ledger, Rollouts],
        wall: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self._directory = directory
        self._loop, self._ledger, self._rollouts = parts
        self._wall = wall
        self._log = log
        self._unsaved = Trouble(log, "state cannot be saved", over="state is saved again")
        self._unreadable = {name: Trouble(log, event) for name, event in UNREADABLE.items()}
        self._restored = False
        self._unread = {state.FILE, USAGE}  # stay as they are on disk
        self._written: Document = ()  # of the usage
        self._saving = threading.Lock()
        self._turn = asyncio.Lock()
        self._hold: int | None = None  # a descriptor of the directory, with its lock

    @property
    def saved(self) -> bool:
        """Whether all could be written when it was last tried, and nothing waits to be read before."""
        return not (self._unsaved.lasts or (self._restored and self._unread))

    def claim(self) -> None:
        """Have the directory for this edge alone, until it lets go or its process ends. One that cannot be made or
        locked is not kept from anyone. OSError when another edge has it."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._hold = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.let_go()
            raise OSError(f"state-dir: another edge that runs has {self._directory}; each needs its own") from None
        except OSError:
            return

    def let_go(self) -> None:
        """Leave the directory to the next edge."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    def restore_usage(self) -> None:
        """Go on with the ledger of earlier runs. Until it can be read, it stays as it is on disk, and what is counted
        meanwhile is added then."""
        path = self._directory / USAGE
        try:
            self._ledger.restore(state.read_json(path))
        except state.UnreadableError as error:
            self._unreadable[USAGE].met(str(error))
            return
        except (state.StateError, ValueError) as error:
            kept = str(state.set_aside(path))
            self._log.error("usage of earlier runs cannot be read, counting starts afresh", error=str(error), kept=kept)
        self._ledger.text()  # what takes long of it is done before anyone is served
        self._unread.discard(USAGE)

    def restore_rollouts(self) -> None:
        """Go on with the rollouts of an earlier run; to be called before the first configuration, so that a revision
        that was rolled back gets no request meanwhile. Those that cannot be read before go on as soon as they can."""
        path, late = self._directory / ROLLOUTS, ROLLOUTS in self._unread
        try:
            saved = checks.mapping(state.read_json(path) or {}, "rollouts")
        except state.UnreadableError as error:
            self._unread.add(ROLLOUTS)
            self._unreadable[ROLLOUTS].met(str(error))
            return
        except (state.StateError, ValueError) as error:
            kept = str(state.set_aside(path))
            self._log.error("saved rollouts cannot be used, they begin anew", error=str(error), kept=kept)
            saved = {}
        self._unread.discard(ROLLOUTS)
        if not late:
            self._rollouts.restore(saved)
            return
        for problem in self._rollouts.adopt(saved):
            self._log.warning("saved state not used", problem=problem)

    def restore(self) -> None:
        """Go on with the revisions as an earlier run left them, or, while that cannot be read, without it."""
        self._restored = True
        try:
            saved = state.load(self._directory, self._wall())
        except state.UnreadableError as error:
            self._unreadable[state.FILE].met(str(error))
            return
        except state.StateError as error:
            kept = str(state.set_aside(self._directory / state.FILE))
            self._log.error("saved state cannot be used, all starts afresh", error=str(error), kept=kept)
            saved = state.Saved({}, 0.0)
        self._unread.discard(state.FILE)
        for problem in self._loop.restore(saved.revisions, saved.age):
            self._log.warning("saved state not used", problem=problem)
        if saved.revisions:
            self._log.info("state restored", revisions=len(saved.revisions), seconds_ago=round(saved.age, 1))

    async def keep(self, every: float = SAVE_SECONDS) -> None:
        """Save, each time that so many seconds have passed, until cancelled."""
        while True:
            await asyncio.sleep(every)
            if state.FILE in self._unread:
                self.restore()
            await self.save_aside()

    async def save_aside(self) -> bool:
        """Save now, and return once it is on disk, whether the rollouts are; the loop goes on meanwhile. Until the
        revisions have been restored, that is the rollouts alone."""
        async with self._turn:  # what is newer must be written later
            return await asyncio.to_thread(self._write, self._documents())

    def save_usage(self) -> None:
        """Save what replicas have run since: all else is to stay as it was while they did."""
        if USAGE not in self._unread:
            self._write({USAGE: self._ledger.text()})

    def save(self) -> bool:
        """Save now, for the last time but for the usage: all is written, and what cannot be is told once more.
        Otherwise as `save_aside`."""
        self._unsaved.remind()
        self._written = ()
        return self._write(self._documents())

    def _documents(self) -> dict[str, Document]:
        """Return what is to be written, by name of its file, in order: a rollout that went on without its replicas
        would make requests wait for them."""
        if ROLLOUTS in self._unread:
            self.restore_rollouts()
        documents: dict[str, Document] = {ROLLOUTS: self._rollouts.dump()}
        if self._restored:
            now = self._wall()
            if USAGE in self._unread:
                self.restore_usage()
            self._ledger.forget()
            documents = {state.FILE: state.written(self._loop.dump(), now), **documents, USAGE: self._ledger.text()}
        return {name: document for name, document in documents.items() if name not in self._unread}

    def _write(self, documents: dict[str, Document]) -> bool:
        """Write each document, whatever becomes of the others, unless it is the very one that is there; tell whether
        the rollouts are on disk."""
        errors: dict[str, OSError] = {}
        with self._saving:
            for name, document in documents.items():
                if document is self._written:
                    continue
                try:
                    state.write_json(self._directory / name, document)
                    self._written = document if name == USAGE else self._written
                except OSError as error:
                    errors[name] = error
            if errors:
                first = str(next(iter(errors.values())))
                self._unsaved.met(first, directory=str(self._directory), files=[*errors], means=LOST)
            else:
                self._unsaved.passed()
        return ROLLOUTS in documents and ROLLOUTS not in errors
