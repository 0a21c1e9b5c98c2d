"""A model for journeys that talks WebSocket: sends back each message, and does what the path of the offer asks.

`/close/CODE` closes with that code at the first message; `/refuse` answers 403.
"""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.asyncio.server import ServerConnection, serve

if TYPE_CHECKING:
    from websockets.http11 import Request, Response


async def converse(connection: ServerConnection) -> None:
    assert connection.request is not None
    path = connection.request.path
    async for message in connection:
        if path.startswith("/close/"):
            await connection.close(int(path.rpartition("/")[2]), "as you wish")
        else:
            await connection.send(message)


def look(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/ready":
        return connection.respond(HTTPStatus.OK, "ready\n")
    if request.path == "/refuse":
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")
    return None


async def main() -> None:
    async with serve(converse, os.environ["HOST"], int(os.environ["PORT"]), process_request=look) as server:
        await server.serve_forever()


asyncio.run(main())
