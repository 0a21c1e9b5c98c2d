"""A proxy of aiohttp's server and client, on uvloop: what the usual Python proxy costs.

Arguments: port, upstream port.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Mapping

HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE", "Trailer")


async def main() -> None:
    port, upstream_port = map(int, sys.argv[1:])
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, auto_decompress=False, cookie_jar=DummyCookieJar()) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            url = f"http://127.0.0.1:{upstream_port}{request.raw_path}"
            headers = CIMultiDict(request.headers)
            headers["X-Forwarded-For"] = request.remote or "unknown"
            body = request.content if request.body_exists else None
            async with session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                response = web.StreamResponse(
                    status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers)
                )
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                return response

        runner = web.ServerRunner(web.Server(forward))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept


if __name__ == "__main__":
    uvloop.run(main())
