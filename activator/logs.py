"""JSON logs: one line per change of state with its reason, one access line per request when enabled. Never a header, a
body or a query string: prompts and credentials live there."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.exchange import Exchange


def configure(*, pretty: bool) -> None:
    """Send all logs to standard error: for people if `pretty`, else as JSON lines."""
    renderer = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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


def access(log: FilteringBoundLogger, exchange: Exchange, now: float) -> None:
    """Write the access line of an exchange that has ended."""
    request = exchange.request
    log.info(
        "request",
        method=request.method.decode("ascii", "replace"),
        path=request.target.partition(b"?")[0].decode("ascii", "backslashreplace"),
        status=exchange.status,
        reason=exchange.reason or None,
        request_id=request.id.decode("ascii") or None,
        service=exchange.service.name or None,
        revision=exchange.revision.name or None,
        hold_ms=round((exchange.dispatched - exchange.arrived) * 1000, 1) if exchange.dispatched else None,
        total_ms=round((now - exchange.arrived) * 1000, 1),
        bytes=exchange.body_bytes,
    )
