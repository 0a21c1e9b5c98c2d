"""An edge on real sockets: proxy and listener in this process, replicas that follow a script, clients by hand."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from router.listener import Listener
from router.ports import Endpoint, Replicas, StartStatus
from router.proxy import Proxy
from router.servers import bind
from router.table import EdgeLimits, Limits, Revision, Service, Share, Table
from router.tls import Certificates, load_certificate
from tests.certificates import client_context, pair, server_context
from tests.router.fakes import HELLO, Wakes
from tests.router.wire.talk import PATIENCE, Talk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from router.errors import EdgeError
    from router.exchange import Exchange

    Script = Callable[[Talk], Awaitable[None]]

LOCAL = "127.0.0.1"


def answer(response: bytes = HELLO, *, go: asyncio.Event | None = None) -> Script:
    """Return the script of a replica that answers every request alike, once it may `go`."""

    async def script(edge: Talk) -> None:
        while True:
            await edge.request()
            if go is not None:
                await go.wait()
            await edge.send(response)

    return script


class Replica:
    """A server whose connections are run by a script; it keeps who talked to it, and what they said."""

    def __init__(self, name: str, script: Script) -> None:
        self.name = name
        self.port = 0
        self.talks: list[Talk] = []
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.name, LOCAL, self.port)

    @property
    def heard(self) -> bytes:
        return b"".join(talk.heard for talk in self.talks)

    async def open(self, port: int = 0, *, tls: str = "") -> None:
        """Listen; by TLS with the certificate `tls`, if that is given."""
        context = server_context(tls) if tls else None
        self._server = await asyncio.start_server(self._accept, LOCAL, port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for talk in self.talks:
            talk.reset()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        self.talks.append(talk)
        task = asyncio.get_running_loop().create_task(self._run(talk))
        self._tasks.add(task)

    async def _run(self, talk: Talk) -> None:
        try:
            await self._script(talk)
        except (EOFError, ConnectionError):
            talk.leave()


class Pushed:
    """A clock that stands still but for a test's push: how long the machine takes is not what is tested."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._began = time.monotonic()

    def __call__(self) -> float:
        return self._began + self.ahead


class Edge:
    """A proxy behind a listener. Clocks are checked only by `later`."""

    def __init__(self) -> None:
        self.clock = Pushed()
        self.wakes = Wakes()
        self.ended: list[Exchange] = []
        self.refusals: list[EdgeError] = []
        self.defects: list[object] = []
        self.limits = Limits()
        self.bounds = EdgeLimits()
        self.port = 0
        self.proxy = Proxy(self.wakes, self.clock)
        self.proxy.on_end = self.ended.append
        self.proxy.on_defect = self.defects.append
        self.listener = Listener(self.proxy.serve, self.clock, self.refusals.append)
        self._replicas: list[Replica] = []
        self._clients: list[Talk] = []

    async def open(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.defects.append(context))
        self.limit()
        await self._listen()

    async def speak_tls(self, *names: str, handshake: float = 5.0) -> Certificates:
        """Listen by TLS from now on, with certificates of these names; return them."""
        certificates = Certificates()
        certificates.replace([load_certificate(*pair(name)) for name in names])
        self.listener.handshake = handshake
        await self._listen(certificates)
        return certificates

    async def _listen(self, certificates: Certificates | None = None) -> None:
        sockets = bind(LOCAL, 0)
        await self.listener.serve_on(sockets, certificates)
        self.port = sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all, and check that nothing is left of any request and that nothing broke unseen."""
        for client in self._clients:
            client.leave()
        for replica in self._replicas:
            await replica.close()
        try:
            await self.settle()
            await self.until(lambda: not self.listener.door.guests)
            assert not self.listener.door.idle
        finally:
            await self.listener.drain(0)
            self.proxy.pool.close()
            await asyncio.sleep(0)
        assert self.defects == []

    def limit(self, **limits: object) -> None:
        """Set limits of the only revision, `a-1`."""
        self.limits = replace(self.limits, **limits)  # type: ignore[arg-type]
        service = Service("a", ("a.example", "b.example"), (Share(Revision("a-1", "a", self.limits), 100),))
        self.proxy.replace_table(Table((service,), self.bounds))
        self.listener.limit(self.bounds)

    def bound(self, **bounds: object) -> None:
        """Set bounds of the edge as a whole."""
        self.bounds = EdgeLimits(**bounds)  # type: ignore[arg-type]
        self.limit()

    def ready(self, *replicas: Replica) -> None:
        """Tell the router that these replicas, and no others, are ready."""
        self.proxy.update(self.snapshot("a-1", *replicas))

    def snapshot(self, of: str, *replicas: Replica) -> Replicas:
        return Replicas(of, tuple(replica.endpoint for replica in replicas), StartStatus("ready"))

    def replica(self, script: Script) -> Replica:
        """Return a replica that does not listen yet."""
        made = Replica(f"r{len(self._replicas) + 1}", script)
        self._replicas.append(made)
        return made

    async def serving(self, script: Script | bytes = HELLO) -> Replica:
        """Return a replica that is ready, and the only one."""
        made = self.replica(answer(script) if isinstance(script, bytes) else script)
        await made.open()
        self.ready(made)
        return made

    async def client(self, *data: bytes | str, tls: str = "") -> Talk:
        """Return a client that has connected, and said `data`; by TLS to the host `tls`, if that is given."""
        client = Talk(
            *await asyncio.open_connection(
                LOCAL, self.port, ssl=client_context() if tls else None, server_hostname=tls or None
            )
        )
        self._clients.append(client)
        await client.send(*data)
        return client

    def later(self, seconds: float) -> None:
        """Let time pass, for the edge's clocks only, and have them checked."""
        self.clock.ahead += seconds
        self.listener.sweep(self.clock())
        self.proxy.sweep()

    @property
    def open_requests(self) -> int:
        return self.proxy.look("a-1").open

    @property
    def held(self) -> int:
        return self.proxy.look("a-1").held

    @property
    def running(self) -> int:
        return sum(self.proxy.in_flight("a-1").values())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - what is waited for is the state of the real thing
                await asyncio.sleep(0.001)

    async def settle(self) -> None:
        """Wait until no request is open, held or running."""
        await self.until(lambda: not (self.open_requests or self.held or self.running))
