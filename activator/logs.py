"""JSON logs: one line per change of state with its reason, one access line per request when enabled. Of a request's
head that has the host and the path; never another header, a body or a query string: prompts and credentials live there.

Logging never holds up the edge: what nobody reads from a full pipe, or no disk takes, is dropped and counted."""

from __future__ import annotations

import logging
import os
import select
import sys
from contextlib import suppress
from stat import S_ISFIFO
from typing import TYPE_CHECKING, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from router.exchange import Exchange


ATOMIC = select.PIPE_BUF
LONGEST_PATH, LONGEST_HOST = 500, 253  # bytes: an access line stays whole beside those of other processes


class Output:
    """A descriptor to write lines to without ever waiting. `dropped` counts the lines that it did not take.

    A pipe that polls as writable takes PIPE_BUF bytes at once (pipe(7)), unless another process was faster: see
    `share`. `write` is one for `os.write`.
    """

    def __init__(self, descriptor: int, write: Callable[[int, bytes], int] = os.write) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._write = write
        self._broken = False  # the last line was not written whole
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, text: str) -> None:
        """Write a line, or drop it."""
        data = (b"\n" if self._broken else b"") + text.encode("utf-8", "backslashreplace")
        try:
            while data and self._poll.poll(0):
                data = data[self._write(self._descriptor, data[:ATOMIC]) :]
                self._broken = bool(data)
        except OSError:
            self.dropped += 1
        else:
            self.dropped += bool(data)

    def share(self) -> None:
        """Wait for no room in a pipe either that another process has taken since the look. To make the descriptor
        non-blocking would do so for everyone who has it, so the pipe is opened anew, where that is allowed."""
        with suppress(OSError):
            if S_ISFIFO(os.fstat(self._descriptor).st_mode):
                self._descriptor = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_NONBLOCK)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""


OUTPUT = Output(2)


def configure(*, pretty: bool) -> None:
    """Send all logs to standard error: for people if `pretty`, else as JSON lines."""
    OUTPUT.share()
    to_output = structlog.WriteLogger(cast("TextIO", OUTPUT))
    renderer = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr) if pretty else lambda *_: to_output,
        cache_logger_on_first_use=True,
    )


def ignore_bad_server_names() -> None:
    """Let no client fill the log: `ssl` prints a traceback for a server name that is not ASCII, after refusing it."""

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not (isinstance(unraisable.exc_value, UnicodeDecodeError) and isinstance(unraisable.object, bytes)):
            sys.__unraisablehook__(unraisable)

    sys.unraisablehook = hook


def logger(component: str) -> FilteringBoundLogger:
    """Return the logger of one component."""
    log: FilteringBoundLogger = structlog.get_logger(component=component)
    return log


def access(log: FilteringBoundLogger, exchange: Exchange, now: float, client: str) -> None:
    """Write the access line of an exchange that has ended, from the address of a client."""
    request = exchange.request
    log.info(
        "request",
        client=client,
        host=_text(request.host, LONGEST_HOST) or None,
        method=request.method.decode("ascii", "replace"),
        path=_text(request.target.partition(b"?")[0], LONGEST_PATH),
        status=exchange.status,
        reason=exchange.reason or None,
        request_id=request.id.decode("ascii") or None,
        service=exchange.service.name or None,
        revision=exchange.revision.name or None,
        hold_ms=round((exchange.dispatched - exchange.arrived) * 1000, 1) if exchange.dispatched else None,
        total_ms=round((now - exchange.arrived) * 1000, 1),
        bytes=exchange.body_bytes,
    )


def _text(data: bytes, longest: int) -> str:
    """Return what came in a head as text, cut where it is too long."""
    return data[:longest].decode("ascii", "backslashreplace") + ("…" if len(data) > longest else "")
