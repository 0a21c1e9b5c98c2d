"""A proxy between an edge and the API server that fails to order: gone, frozen, slow, refusing, or cutting its watches.

So the API server can be away for one edge, or in ways that no cluster offers, and any cluster will do.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from tests.e2e.api import Api

PASSED = ("Authorization", "Content-Type", "Accept")
EXPIRED = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}


class FaultProxy:
    """What fails is what is set: `delay` seconds before each answer, `status` to refuse with, `frozen`."""

    def __init__(self, api: Api) -> None:
        self.port = 0
        self.delay = 0.0
        self.status = 0
        self.retry_after = ""
        self.calls = 0
        self._server = api.server
        self._tls = ssl.create_default_context(cafile=api.authority)
        self._running = asyncio.Event()
        self._running.set()
        self._watches: set[web.StreamResponse] = set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Serve; on the port of last time, if there was one."""
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls, limit=0), timeout=timeout)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone: all connections end, and new ones are refused."""
        self.thaw()
        self.cut(b"")
        if self._runner is not None and self._session is not None:
            await self._runner.cleanup()
            await self._session.close()
            self._runner = None

    def freeze(self) -> None:
        """Accept everything and answer nothing."""
        self._running.clear()

    def thaw(self) -> None:
        self._running.set()

    def cut(self, rest: bytes) -> None:
        """End all watches, in the middle of what `rest` begins."""
        for watch in list(self._watches):
            transport = watch._req.transport if watch._req is not None else None
            if transport is not None:
                transport.write(b"%x\r\n%s\r\n" % (len(rest), rest) if rest else b"")
                transport.close()

    def expire(self) -> None:
        """Tell all watches that their version is too old."""
        self.cut(json.dumps({"type": "ERROR", "object": EXPIRED}).encode() + b"\n")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        await self._running.wait()
        await asyncio.sleep(self.delay)
        if self.status:
            text = json.dumps({"kind": "Status", "code": self.status, "message": "as ordered", "reason": "Fault"})
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            return web.Response(status=self.status, text=text, headers=headers, content_type="application/json")
        assert self._session is not None
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        async with self._session.request(
            request.method, self._server + request.path_qs, headers=headers, data=await request.read()
        ) as answer:
            return await self._pass_on(request, answer)

    async def _pass_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        response.content_type = answer.content_type
        if "Retry-After" in answer.headers:
            response.headers["Retry-After"] = answer.headers["Retry-After"]
        await response.prepare(request)
        if "watch" in request.query:
            self._watches.add(response)
        try:
            async for piece in answer.content.iter_any():
                await self._running.wait()
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass
        finally:
            self._watches.discard(response)
        return response
