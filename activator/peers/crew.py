"""The parent's side of its workers: starts them, hears them, replaces the dead and the hung, and ends them in order."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from activator.edge_tls import EdgeTls
from activator.front import Health, addresses, listening
from activator.peers import messages as m
from activator.peers.account import Account
from activator.peers.balance import neighbours
from activator.peers.owner import Owner
from activator.peers.wire import Wire
from router.servers import close
from router.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from activator.settings.schema import Settings
    from activator.terms import Pair, Terms
    from router.ports import Clock, Waker
    from router.table import EdgeLimits, Table

START_SECONDS = 15.0
HUNG_SECONDS = 3.5  # of silence
AWAY_SECONDS = 1.0  # without a look of our own: it was we who stood still
GRACE_SECONDS = 2.0  # beyond the time to drain
SHORT_LIFE = 2.0
LONGEST_PAUSE = 5.0
SCRIPT = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from activator.peers.worker import main
main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
"""
DECODER: msgspec.msgpack.Decoder[list[m.ToOwner]] = msgspec.msgpack.Decoder(list[m.ToOwner])


class Mate:
    """One worker process. `serving` = it has the terms and accepts clients; `heard` is when it last said something;
    `problem` is why it could not take the last terms whole."""

    def __init__(self, number: int, crew: Crew, now: float) -> None:
        self.number = number
        self.heard = now
        self.serving = False
        self.problem = ""
        self.connections = 0
        self.places = 0
        self.neighbours: m.Neighbours | None = None  # as they were last told
        self.process: asyncio.subprocess.Process | None = None
        self.wire: Wire[m.ToOwner] = Wire(
            DECODER, lambda _, messages: crew.hear(self, messages), lambda: crew.lost(self)
        )
        self.account = Account(self.wire, number)

    def kill(self) -> None:
        """End the process, however it is."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()


class Crew:
    """So many workers, and the owner of their admission. `script` is the program of a worker."""

    script = SCRIPT

    def __init__(self, count: int, waker: Waker, clock: Clock, log: FilteringBoundLogger) -> None:
        self.router = Owner(waker, clock)
        self.restarts = 0
        self._count = count
        self._clock = clock
        self._log = log
        self._tls = EdgeTls()  # a configuration is taken over only if its certificates can be
        self.expiries = self._tls.expiries
        self._terms: m.Configure | None = None
        self._mates: dict[int, Mate] = {}
        self._sockets: dict[str, list[socket.socket]] = {}
        self._tasks = Tasks(self._failed)
        self._all_serve = asyncio.Event()
        self._draining = False
        self._looked = clock()

    # Front

    async def open(self, settings: Settings) -> Mapping[str, int]:
        """See Front. OSError also when the workers do not start."""
        for key, address in addresses(settings).items():
            self._sockets[key] = listening(address, key)
        for number in range(self._count):
            self._tasks.spawn(self._keep(number), f"worker {number}")
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._all_serve.wait()
        except TimeoutError:
            raise OSError(f"the workers do not start within {START_SECONDS:g} s; the log tells more") from None
        return {key: found[0].getsockname()[1] for key, found in self._sockets.items()}

    def take(self, terms: Terms) -> None:
        """See Front."""
        self._tls.take(terms.certificates)
        certificates = self._certificates_for(terms.certificates)
        self._terms = m.Configure(replace(terms, table=self._table_of_one(terms.table), certificates=certificates))
        for account in self.router.accounts:
            account.line.send(self._terms)
        self.router.replace_table(terms.table)

    def _certificates_for(self, given: tuple[Pair, ...]) -> tuple[Pair, ...]:
        """Return what workers are to serve: whether that is TLS was settled when the edge began, for those, too, that
        start later."""
        if self._terms is None:
            return given
        before = self._terms.terms.certificates
        return before and (given or before)

    def lead(self, table: Table) -> None:
        """See Front."""
        theirs = self._table_of_one(table)
        if self._terms is not None:
            self._terms = m.Configure(replace(self._terms.terms, table=theirs))
        for account in self.router.accounts:
            account.line.send(m.Lead(theirs))
        self.router.replace_table(table)

    def _table_of_one(self, table: Table) -> Table:
        return replace(table, limits=share_of(table.limits, self._count))

    async def renew(self) -> None:
        """See Front."""
        await self._tls.renew()
        for account in self.router.accounts:
            account.line.send(m.Renew())

    def sweep(self) -> None:
        """See Front: end those that hang, give the terms once more to who could not take them, and tell all how the
        others are."""
        now = self._clock()
        self.router.sweep()
        was_away, self._looked = now - self._looked > AWAY_SECONDS, now
        for mate in self._mates.values():
            if was_away:
                mate.heard = now
            patience = HUNG_SECONDS if mate.serving else START_SECONDS
            if now - mate.heard > patience:
                self._log.error("worker hangs", worker=mate.number, silent_seconds=round(now - mate.heard, 1))
                mate.kill()
            elif mate.problem and self._terms is not None:
                mate.wire.send(self._terms)
        self._tell_neighbours(now)

    def health(self) -> Health:
        """See Front."""
        serving = [mate for mate in self._mates.values() if mate.serving]
        connections = sum(mate.connections for mate in serving)
        router = self.router
        return Health(connections, router.defects, router.dropped, len(serving), self.restarts, router.stalls)

    async def drain(self, seconds: float) -> None:
        """See Front."""
        self._draining = True
        for sockets in self._sockets.values():
            close(sockets)
        for mate in self._mates.values():
            mate.wire.send(m.Drain(seconds))
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                await self._tasks.ended()
        except TimeoutError:
            for mate in self._mates.values():
                self._log.error("worker does not end", worker=mate.number)
                mate.kill()
            await self._tasks.ended()

    def close(self) -> None:
        """See Front: nothing is held here."""

    # one worker

    async def _keep(self, number: int) -> None:
        """Have worker `number` run until the end; one that dies young again and again is started more slowly."""
        short_lives = 0
        while True:
            began = self._clock()
            try:
                how: dict[str, object] = {"code": await self._run(number)}
            except Exception as error:  # whatever it is, there has to be a worker
                how = {"error": repr(error)}
            if self._draining:
                return
            self.restarts += 1
            short_lives = short_lives + 1 if self._clock() - began < SHORT_LIFE else 0
            pause = min(0.1 * 2**short_lives, LONGEST_PAUSE) if short_lives > 1 else 0.0
            self._log.error("worker ended, another one starts", worker=number, in_seconds=pause, **how)
            await asyncio.sleep(pause)

    async def _run(self, number: int) -> int:
        """Start a worker, unless the edge has begun to drain, and return its exit code when it has ended."""
        if self._draining:
            return 0
        mate = self._mates[number] = Mate(number, self, self._clock())
        try:
            mate.process = await self._spawn(mate)
            return await mate.process.wait()
        finally:
            mate.wire.close()
            self.lost(mate)
            del self._mates[number]

    async def _spawn(self, mate: Mate) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_connection(lambda: mate.wire, sock=ours)
        listening = {key: [each.fileno() for each in found] for key, found in self._sockets.items()}
        arguments = (json.dumps(sys.path), str(mate.number), str(theirs.fileno()), json.dumps(listening))
        with theirs:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                self.script,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *(each for found in listening.values() for each in found)],
                start_new_session=True,
            )

    def hear(self, mate: Mate, messages: list[m.ToOwner]) -> None:
        """Take what a worker says."""
        mate.heard = self._clock()
        for message in messages:
            if isinstance(message, m.Hello):
                self._greet(mate, message)
            elif isinstance(message, m.Configured):
                self._configured(mate, message)
            elif isinstance(message, m.Beat):
                self._take_beat(mate, message)
        self.router.hear(mate.account, *messages)

    def lost(self, mate: Mate) -> None:
        """Take note that a worker cannot be spoken to any more: it is gone, or has to go."""
        mate.serving = False
        self.router.leave(mate.account)
        if not self._draining:
            mate.kill()

    def _greet(self, mate: Mate, hello: m.Hello) -> None:
        if hello.version != m.VERSION or self._terms is None:
            self._log.error("worker speaks another version", worker=mate.number, version=hello.version)
            mate.kill()
            return
        mate.wire.send(m.Configure(self._terms.terms, self._tls.copies()))
        self.router.join(mate.account)
        if self._draining:
            mate.wire.send(m.Drain(0))

    def _configured(self, mate: Mate, message: m.Configured) -> None:
        before, mate.problem = mate.problem, message.problem
        if message.problem and message.problem != before:
            self._log.error("worker cannot use the configuration", worker=mate.number, problem=message.problem)
        if message.problem:
            return
        mate.serving = True
        if sum(each.serving for each in self._mates.values()) == self._count:
            self._all_serve.set()

    def _take_beat(self, mate: Mate, beat: m.Beat) -> None:
        """Take note of how loaded a worker is, and tell the others at once: they may have stepped back, or have to."""
        before = mate.connections, mate.places
        mate.connections, mate.places = beat.connections, beat.places
        if before != (mate.connections, mate.places):
            self._tell_neighbours(mate.heard)

    def _tell_neighbours(self, now: float) -> None:
        serving = [mate for mate in self._mates.values() if mate.serving]
        for mate in serving:
            others = [other for other in serving if other is not mate and other.places]
            told = m.Neighbours(*neighbours(others, now))
            if told != mate.neighbours:
                mate.neighbours = told
                mate.wire.send(told)

    def _failed(self, task: str, error: BaseException) -> None:
        self._log.error("defect", task=task, exc_info=error)


def share_of(limits: EdgeLimits, count: int) -> EdgeLimits:
    """Return one worker's part of the bounds of the edge as a whole; wakes are the owner's to count."""

    def part(number: int) -> int:
        return math.ceil(number / count)

    return replace(
        limits,
        connections=part(limits.connections),
        connections_per_source=part(limits.connections_per_source),
        buffered=part(limits.buffered),
        max_wakes=0,
    )
