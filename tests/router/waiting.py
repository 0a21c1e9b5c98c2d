"""Admission in virtual time: requests that arrive, wait, run until a test ends them, and leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from router.admission import Admission
from router.body import Body
from router.errors import EdgeError
from router.exchange import ClientGone, Exchange
from router.queues import Queues
from router.table import Limits, Revision, Share
from tests.router.fakes import Client, Connections, Wakes, replicas, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Staged = Callable[..., "Stage"]
    """Makes a stage with these limits, which is cleared and checked at the end of its test."""

TURNS = 12  # of the loop, after which everything that can happen has happened


class Caller:
    """A request and its client. `state` tells how far it has come; `replica` is where it ran."""

    def __init__(self, name: str, stage: Stage, exchange: Exchange, client: Client) -> None:
        self.name = name
        self.exchange = exchange
        self.client = client
        self.state = "waiting"
        self.replica = ""
        self.error: EdgeError | None = None
        self._stage = stage

    def begin(self) -> None:
        """Ask for a slot."""
        self.exchange.run(self._run())

    def __repr__(self) -> str:
        return f"{self.name} ({self.state})"

    def finish(self) -> None:
        """Let the response end."""
        assert self.state == "running"
        self.exchange.wake()

    def leave(self) -> None:
        """Hang up."""
        self.exchange.fail(ClientGone())

    def upload(self, size: int) -> None:
        """Send the whole body."""
        assert self.exchange.request.body is not None
        self.exchange.request.body.feed(b"x" * size)
        self.exchange.request.body.finish()

    async def _run(self) -> None:  # like Proxy.serve
        try:
            with await self._stage.admission.admit(self.exchange) as upstream:
                self.state, self.replica = "running", upstream.slots.endpoint.replica
                self._stage.dispatched.append(self.name)
                await self.exchange.wait()
            self.state = "done"
        except ClientGone:
            self.state = "gone"
        except EdgeError as error:
            self.state, self.error = "refused", error


class Stage:
    """Admission to revision `a-1`, and to what it is moved to by `retire`."""

    def __init__(self, **limits: object) -> None:
        self.clock = asyncio.get_running_loop().time
        self.connections = Connections(self.clock)
        self.wakes = Wakes()
        self.queues = Queues(self.wakes, self.clock)
        self.admission = Admission(self.connections, self.queues, self._resolve, self.clock)
        self.callers: list[Caller] = []
        self.dispatched: list[str] = []
        self.revision = Revision("a-1", "a")
        self.vanished: EdgeError | None = None
        self.limit(**limits)

    def limit(self, **limits: object) -> None:
        """Serve by these limits from now on."""
        self._replace(Revision(self.revision.name, "a", Limits(**limits)))  # type: ignore[arg-type]

    def retire(self, by: str) -> None:
        """Replace the only revision by another one."""
        self._replace(Revision(by, "a", self.revision.limits))

    def pass_over(self, by: str, percent: int = 0) -> None:
        """Give the share of the only revision to another, or leave it so many percent while it has a replica."""
        former, limits = self.revision, self.revision.limits
        self.revision = other = Revision(by, "a", limits)
        shares = [Share(former, percent, fallback=other if percent else None), Share(other, 100 - percent)]
        self.queues.replace({former.name: former, by: other}, shares)

    def grow(self, count: int, of: str = "a-1") -> None:
        """Tell that exactly `count` replicas are ready."""
        self.queues.take_snapshot(replicas(count, of))

    def start(self, phase: str, **facts: object) -> None:
        """Tell what the start does, while there is no replica."""
        self.queues.take_snapshot(replicas(0, "a-1", phase, **facts))

    def arrive(self, *fields: str, body: int | None = None, uploading: bool = False) -> Caller:
        """Begin a request, with `body` bytes of body already here or with one still to come."""
        fields += (f"Content-Length: {body or 7}",) if body or uploading else ()
        made = request("POST / HTTP/1.1", *fields)
        made.body = Body(Client()) if body or uploading else None
        if made.body is not None and body:
            made.body.feed(b"x" * body)
            made.body.finish()
        client = Client()
        exchange = Exchange(made, client, self.clock())
        exchange.revision = self.revision
        self.callers.append(Caller(f"c{len(self.callers) + 1}", self, exchange, client))
        self.callers[-1].begin()
        return self.callers[-1]

    async def turn(self) -> None:
        """Let everything happen that can happen without time passing."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def arrived(self, count: int) -> list[Caller]:
        """Begin `count` requests, and let them come as far as they can."""
        callers = [self.arrive() for _ in range(count)]
        await self.turn()
        return callers

    async def later(self, seconds: float) -> None:
        """Let time pass, and have the clocks checked."""
        await asyncio.sleep(seconds)
        self.admission.sweep(self.clock())
        await self.turn()

    async def clear(self) -> None:
        """Let everyone leave, and check that nothing is left of them."""
        for caller in self.callers:
            caller.leave()
        await self.later(0)
        assert {caller.state for caller in self.callers} <= {"done", "gone", "refused"}
        for queue in self.queues.values():
            assert (queue.held, queue.held_bytes, queue.in_flight()) == (0, 0, {})

    @property
    def present(self) -> list[Caller]:
        return self.callers

    @property
    def held(self) -> int:
        return self.queues[self.revision.name].held

    @property
    def held_bytes(self) -> int:
        return self.queues[self.revision.name].held_bytes

    def running(self, of: str = "a-1") -> Mapping[str, int]:
        queue = self.queues.get(of)
        return queue.in_flight() if queue is not None else {}

    def _replace(self, revision: Revision) -> None:
        self.revision = revision
        self.queues.replace({revision.name: revision}, [Share(revision, 100)])

    def _resolve(self, exchange: Exchange) -> None:
        if self.vanished is not None:
            raise self.vanished
        exchange.revision = self.revision
