"""A kubelet whose pods are HTTP servers of this process, each on a loopback address of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from tests.models.kubelet import Kubelet
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.models.cluster import Cluster
    from tests.models.kubelet import Actor


@dataclass
class Served:
    """A request that a pod began to answer, at the loop's time, and when that ended."""

    pod: str
    target: str
    at: float
    until: float | None = None
    id: str = ""


class PodServers(Kubelet):
    """Pods that answer `/ready`, and everything else with their name; `?delay=` and `?stream=` are seconds.

    Those of Deployments that are `broken` answer with 500. `served` are the requests without probes; `listening` is
    when each pod began to listen, `cut` those that a pod took down with it.
    """

    def __init__(self, cluster: Cluster, *, nodes: Mapping[str, int] | None = None) -> None:
        super().__init__(cluster, nodes=nodes)
        (self.port,) = free_ports(1)
        self.served: list[Served] = []
        self.cut: list[str] = []
        self.broken: set[str] = set()
        self.listening: dict[str, float] = {}
        self._runners: dict[str, asyncio.Task[web.AppRunner]] = {}
        self._ips: dict[str, str] = {}
        self._ended: set[asyncio.Task[None]] = set()

    def address(self, name: str, number: int) -> str:
        """Return the IP of a new pod."""
        ip = self._ips[name] = super().address(name, number)
        return ip

    def listen(self, actor: Actor) -> None:
        """Begin to answer."""
        self._runners[actor.name] = asyncio.ensure_future(self._open(actor.name))

    def deafen(self, actor: Actor) -> None:
        """Stop answering, in the middle of a word if need be, or before the first one."""
        if runner := self._runners.pop(actor.name, None):
            task = asyncio.ensure_future(_close(runner))
            self._ended.add(task)
            task.add_done_callback(self._ended.discard)

    async def stop(self) -> None:
        """End all."""
        self.close()
        await asyncio.gather(*map(_close, self._runners.values()), *self._ended, return_exceptions=True)

    async def _open(self, name: str) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/ready", self._ready_probe)
        app.router.add_route("*", "/{rest:.*}", partial(self._serve, name))
        runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, self._ips[name], self.port).start()
        self.listening[name] = asyncio.get_running_loop().time()
        return runner

    async def _ready_probe(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _serve(self, name: str, request: web.Request) -> web.StreamResponse:
        target = request.path_qs
        served = Served(name, target, asyncio.get_running_loop().time(), id=request.headers.get("X-Req-Id", ""))
        self.served.append(served)
        try:
            await asyncio.sleep(float(request.query.get("delay", 0)))
            status = 500 if any(name.startswith(f"{each}-") for each in self.broken) else 200
            response = web.StreamResponse(status=status, headers={"Pod": name})
            await response.prepare(request)
            for _ in range(int(float(request.query.get("stream", 0)) * 20)):
                await response.write(b".")
                await asyncio.sleep(0.05)
            await response.write(name.encode())
            await response.write_eof()
        except asyncio.CancelledError:
            self.cut.append(target)
            raise
        finally:
            served.until = asyncio.get_running_loop().time()
        return response


async def _close(runner: asyncio.Task[web.AppRunner]) -> None:
    await (await runner).cleanup()
