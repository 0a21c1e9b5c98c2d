"""Stand-ins for what surrounds the router's parts, and short ways to make requests and tables."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from router.exchange import Exchange
from router.headers import forwarding
from router.http1 import RequestReader
from router.pool import Pool
from router.ports import Endpoint, Replicas, StartStatus
from router.table import Limits, Revision, Service, Share, Table
from router.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.request import Request
    from router.slots import Slots

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Client:
    """A client's connection that keeps what it is sent."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, peer: str = "192.0.2.7") -> None:
        with contextlib.suppress(RuntimeError):
            self.loop = asyncio.get_running_loop()
        self.forwarding = forwarding(peer)
        self.ended: list[Exchange] = []
        self.got = b""
        self.full = False
        self.aborted = False
        self.ended_side = False
        self.reading = True

    def done(self, exchange: Exchange, now: float) -> None:
        self.ended.append(exchange)

    def write(self, data: bytes) -> None:
        self.got += data

    def write_eof(self) -> bool:
        self.ended_side = True
        return True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Wakes(list[str]):
    """The revisions for which capacity was asked. `error` is raised instead, if there is one."""

    error: Exception | None = None

    def wake(self, revision: str) -> None:
        if self.error is not None:
            raise self.error
        self.append(revision)


class Connections(Pool):
    """A pool whose replicas refuse or delay connections as a test says. Nothing is ever sent."""

    def __init__(self, clock: Callable[[], float], most: int = 0) -> None:
        super().__init__(clock, most)
        self.clock = clock
        self.refused: set[str] = set()
        self.delay = 0.0
        self.tried = 0
        self.made: list[Upstream] = []

    @property
    def idle(self) -> int:
        """How many connections may be used again."""
        return sum(upstream in upstream.slots.idle for upstream in self.made)

    def take(self, slots: Slots, request: Request) -> Upstream | None:
        return None

    async def _connect(self, slots: Slots) -> Upstream:
        self.tried += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if slots.endpoint.replica in self.refused:
            raise ConnectionRefusedError
        upstream = Upstream(slots, self.clock)
        upstream.connection_made(Transport())
        self.made.append(upstream)
        return upstream


def request(line: str = "GET / HTTP/1.1", *fields: str, host: str = "a.example") -> Request:
    """Return the checked head of a request, as the reader would hand it over."""

    class Sink(Client):
        def on_request(self, request: Request) -> None:
            self.request = request

    sink = Sink()
    head = "\r\n".join((line, f"Host: {host}", *fields, "", "")).encode("latin-1")
    RequestReader(sink).feed(head)
    return sink.request


def exchange(made: Request | None = None, client: Client | None = None, now: float = 1000.0) -> Exchange:
    return Exchange(made or request(), client or Client(), now)


def revision(name: str = "a-1", service: str = "a", **limits: object) -> Revision:
    return Revision(name, service, Limits(**limits))  # type: ignore[arg-type]


def service(*shares: Share, name: str = "a", hosts: tuple[str, ...] = ("a.example",), **more: object) -> Service:
    return Service(name, hosts, shares or (Share(revision(f"{name}-1", name), 100),), **more)  # type: ignore[arg-type]


def table(*services: Service) -> Table:
    return Table(services or (service(),))


def replicas(count: int, of: str = "a-1", phase: str = "ready", **start: object) -> Replicas:
    """Return a snapshot of `count` replicas, named r1, r2 and so on."""
    endpoints = tuple(Endpoint(f"r{number}", "192.0.2.1", 8000 + number) for number in range(1, count + 1))
    return Replicas(of, endpoints, StartStatus(phase, **start))  # type: ignore[arg-type]


class Transport(asyncio.Transport):
    """A socket that keeps what is written to it; `reading` is whether it would be read."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 1234)})
        self.got = b""
        self.reading = True
        self.closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.got += bytes(data)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True
