"""A worker: a process that serves clients, and asks its parent for slots. It ends with its parent.

Only the parent decides when it ends: by an order to drain, or by being gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from activator import logs
from activator.edge_tls import ready
from activator.peers import messages as m
from activator.peers.balance import accepts
from activator.peers.claimer import Claimer
from activator.peers.reporter import Reporter
from activator.peers.wire import Wire
from activator.serving import Serving
from activator.stalls import Stalls
from router.proxy import Proxy
from router.tasks import Tasks
from router.tls import CertificateError
from router.tuning import tune

if TYPE_CHECKING:
    from collections.abc import Mapping

BEAT_SECONDS = 0.25
DECODER: msgspec.msgpack.Decoder[list[m.ToClaimer]] = msgspec.msgpack.Decoder(list[m.ToClaimer])


class Worker:
    """One worker. `sockets` are those to accept clients from: by key."""

    def __init__(self, number: int, sockets: Mapping[str, list[socket.socket]]) -> None:
        self._sockets = sockets
        self._log = logs.logger("edge").bind(worker=number)
        self._tasks = Tasks(self._failed)
        self._ended = asyncio.Event()
        self._wire: Wire[m.ToClaimer] = Wire(DECODER, self._hear, self._orphaned)
        self._claimer = Claimer(self._wire.send, time.monotonic)
        self._claimer.put, self._claimer.take_back = self._wire.put, self._wire.take_back
        self._proxy = Proxy(self._claimer, time.monotonic, make_queue=self._claimer.make_queue)
        self._serving = Serving(self._proxy, time.monotonic, self._log)
        self._reporter = Reporter(self._proxy.counters, self._proxy.queues, self._wire.send, time.monotonic)
        self._claimer.report = self._reporter.report
        self._serving.listener.servers.on_accept = self._balance
        self._claimer.bar = self._proxy.admission.bar
        self._listening = self._draining = False
        self._securing = asyncio.Lock()
        self._drain_seconds = 0.0
        self._stalls = Stalls(BEAT_SECONDS, time.monotonic, self._log)
        self._told = (0, 0, 0)  # defects, log lines dropped and stalls, as they were last told
        self._neighbours = m.Neighbours(None, room=False)

    async def run(self, parent: socket.socket) -> None:
        """Serve until the parent has had enough."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._wire, sock=parent)
        self._wire.send(m.Hello(m.VERSION))
        self._tasks.spawn(self._beat(), "beat")
        await self._ended.wait()
        await self._tasks.close()
        self._proxy.pool.close()

    def _hear(self, _: Wire[m.ToClaimer], messages: list[m.ToClaimer]) -> None:
        for message in messages:
            match message:
                case m.Configure():
                    self._configure(message)
                case m.Lead():
                    self._reporter.report_all()
                    self._serving.lead(message.table)
                case m.Renew():
                    self._tasks.spawn(self._renew(), "renew")
                case m.Neighbours():
                    self._neighbours = message
                    self._balance()
                case m.Drain():
                    self._drain(message.seconds)
                case _:
                    self._claimer.hear(message)

    def _configure(self, message: m.Configure) -> None:
        """Serve by new terms at once, but for certificates, which have to be loaded first."""
        self._reporter.report_all()
        self._serving.take(replace(message.terms, certificates=()))
        self._drain_seconds = message.terms.drain_timeout
        self._tasks.spawn(self._secure(message), "configure")

    async def _secure(self, message: m.Configure) -> None:
        """Serve by the certificates of a message; with one that cannot be used, go on with those that there are."""
        async with self._securing:  # what came last must be served last
            problem = ""
            try:
                if not await self._take_copies(message):
                    await ready(message.terms.certificates)
                    self._serving.tls.take(message.terms.certificates)
            except CertificateError as error:
                problem = str(error)
            if problem or self._listening:
                self._wire.send(m.Configured(problem))
            elif not self._draining:  # else it would accept who is for the next edge, and be gone
                self._listening = True
                await self._open(message)

    async def _renew(self) -> None:
        async with self._securing:
            await self._serving.tls.renew()

    async def _take_copies(self, message: m.Configure) -> bool:
        """Begin by the certificates that the others serve by; False when they have to be read from their files."""
        if self._listening or not message.copies:
            return False
        with suppress(AttributeError, OSError):
            await asyncio.to_thread(self._serving.tls.take_copies, message.copies)
            return True
        return False

    async def _open(self, message: m.Configure) -> None:
        secure = self._serving.tls.certificates if message.terms.certificates else None
        for name, sockets in self._sockets.items():
            await self._serving.listener.serve_on(sockets, secure if name == "listen" else None)
        tune()
        self._wire.send(m.Configured())
        self._tell()

    async def _beat(self) -> None:
        while True:
            self._stalls.look()
            await asyncio.sleep(BEAT_SECONDS)
            self._serving.sweep()
            self._claimer.sweep()
            self._reporter.report_all()
            self._tell()
            self._balance()

    def _tell(self) -> None:
        counters, door = self._proxy.counters, self._serving.listener.door
        totals = self._serving.defects, logs.OUTPUT.dropped, self._stalls.count
        defects, dropped, stalls = (total - told for total, told in zip(totals, self._told, strict=True))
        refusals = dict(counters.refusals)
        counters.refusals.clear()
        self._told = totals
        self._wire.send(m.Beat(len(door.guests), door.places, refusals, defects, dropped, stalls))

    def _balance(self) -> None:
        """Step back from accepting and say so, or return to it."""
        servers, door = self._serving.listener.servers, self._serving.listener.door
        if self._draining or not self._listening:
            return
        others = self._neighbours
        if accepts(len(door.guests), door.places, others.fewest, room=others.room):
            if servers.paused:
                self._tasks.spawn(servers.resume(), "accept")
        elif not servers.paused:
            servers.pause()
            self._tell()

    def _drain(self, seconds: float) -> None:
        if not self._draining:
            self._draining = True
            self._tasks.spawn(self._end(seconds), "drain")

    async def _end(self, seconds: float) -> None:
        await self._serving.drain(seconds)
        self._reporter.report_all()
        self._wire.close()
        self._ended.set()

    def _orphaned(self) -> None:
        """The parent is gone: nobody grants slots any more, and the models are gone, too."""
        self._claimer.lose_owner()
        self._drain(self._drain_seconds)

    def _failed(self, task: str, error: BaseException) -> None:
        self._log.error("defect", task=task, exc_info=error)
        os._exit(1)


def main(number: int, parent: int, listening: str) -> None:
    """Serve as worker `number`; `parent` is the descriptor of the socket to the parent, `listening` a JSON object with
    the descriptors to accept from."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    logs.configure(pretty=sys.stderr.isatty())
    logs.ignore_bad_server_names()
    given: dict[str, Any] = json.loads(listening)
    sockets = {name: [socket.socket(fileno=each) for each in found] for name, found in given.items()}

    async def run() -> None:
        await Worker(number, sockets).run(socket.socket(fileno=parent))

    uvloop.run(run())
