"""The manners every replica needs, so that the example models hold only their model and its protocol.

A replica is told HOST, PORT and REPLICA by its environment, says on stdout when it listens and what it
answered, and on SIGTERM takes no new connection, finishes what it is doing and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

LONGEST_REQUEST = 3600.0
CLIENT_LEFT = 499


def amount(text: str) -> float:
    """Read an option's number, finite and >= 0."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every example has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--load-seconds", type=amount, default=0.0, help="simulate a long load before listening (default 0)"
    )
    return parser


def log(text: str) -> None:
    """Print one line with the time (UTC) and this replica's name."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(now, os.environ.get("REPLICA", "-"), text, flush=True)


def run(app: web.Application, *, load_seconds: float) -> None:
    """Serve `app` until SIGTERM or SIGINT. A PORT that is bad or taken ends it with a message, status 1."""
    host = os.environ.get("HOST", "127.0.0.1")
    time.sleep(load_seconds)
    app.middlewares.append(_log_request)
    try:
        port = int(os.environ.get("PORT", "8000"))
        web.run_app(
            app,
            host=host,
            port=port,
            print=lambda _: log(f"listening on http://{host}:{port}"),
            access_log=None,
            shutdown_timeout=LONGEST_REQUEST,
            handler_cancellation=True,
        )
    except (ValueError, OverflowError, OSError) as error:
        sys.exit(f"cannot listen on {host}:{os.environ.get('PORT')}: {error}")
    log("stopped")


@web.middleware
async def _log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    started, status = time.monotonic(), 500
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as refusal:
        status = refusal.status
        raise
    except (asyncio.CancelledError, ConnectionError):
        status = CLIENT_LEFT
        raise
    finally:
        log(f"{request.method} {request.raw_path} {status} {time.monotonic() - started:.3f}s")
    return response
