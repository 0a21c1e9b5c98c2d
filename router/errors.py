"""Every way in which the edge itself answers a request, with its status.

A caller can tell an answer of the edge from the model's own by the header `Activator-Reason`, which carries the reason.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reason(StrEnum):
    """Machine-readable reason of an answer made by the edge."""

    OPTIONS = "options"
    BAD_REQUEST = "bad_request"
    UNKNOWN_HOST = "unknown_host"
    UNKNOWN_PATH = "unknown_path"
    MODELS = "models"
    MODEL_REQUIRED = "model_required"
    MODEL_AMBIGUOUS = "model_ambiguous"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_NOT_READY = "model_not_ready"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    TARGET_TOO_LONG = "target_too_long"
    MISDIRECTED = "misdirected"
    HEAD_TOO_LARGE = "head_too_large"
    METHOD_UNKNOWN = "method_unknown"
    VERSION_UNSUPPORTED = "version_unsupported"
    LOOP_DETECTED = "loop_detected"
    UPSTREAM_BROKE = "upstream_broke"
    QUEUE_FULL = "queue_full"
    BUFFER_FULL = "buffer_full"
    WAKE_LIMITED = "wake_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_FROM_SOURCE = "too_many_connections_from_source"
    HOLD_TIMEOUT = "hold_timeout"
    START_FAILED = "start_failed"
    SHUTTING_DOWN = "shutting_down"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    INTERNAL = "internal_error"


STATUS: Mapping[Reason, int] = {
    Reason.OPTIONS: 200,
    Reason.BAD_REQUEST: 400,
    Reason.UNKNOWN_HOST: 404,
    Reason.UNKNOWN_PATH: 404,
    Reason.MODELS: 200,
    Reason.MODEL_REQUIRED: 400,
    Reason.MODEL_AMBIGUOUS: 400,
    Reason.MODEL_NOT_FOUND: 404,
    Reason.MODEL_NOT_READY: 503,
    Reason.METHOD_NOT_ALLOWED: 405,
    Reason.REQUEST_TIMEOUT: 408,
    Reason.BODY_TOO_LARGE: 413,
    Reason.TARGET_TOO_LONG: 414,
    Reason.MISDIRECTED: 421,
    Reason.HEAD_TOO_LARGE: 431,
    Reason.METHOD_UNKNOWN: 501,
    Reason.VERSION_UNSUPPORTED: 505,
    Reason.LOOP_DETECTED: 508,
    Reason.UPSTREAM_BROKE: 502,
    Reason.QUEUE_FULL: 503,
    Reason.BUFFER_FULL: 503,
    Reason.WAKE_LIMITED: 503,
    Reason.TOO_MANY_CONNECTIONS: 503,
    Reason.TOO_MANY_FROM_SOURCE: 429,
    Reason.HOLD_TIMEOUT: 503,
    Reason.START_FAILED: 503,
    Reason.SHUTTING_DOWN: 503,
    Reason.UPSTREAM_TIMEOUT: 504,
    Reason.INTERNAL: 500,
}

_GOLDEN = 0.618034


def spread(number: int, most: float = 10.0, least: float = 4.0) -> float:
    """Return the `number`-th of a series of seconds that is spread evenly over least < s <= most (multiples of the
    golden ratio): those who were refused together shall not come back together."""
    return most - (most - least) * (number * _GOLDEN % 1)


class EdgeError(Exception):
    """The edge does not have this request answered by a replica.

    `retry_after` is in seconds (None = no hint). `detail` is merged into the JSON body. `sent` says that the request
    may have reached a replica, so that a client must not repeat it blindly.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retry_after: float | None = None,
        detail: Mapping[str, object] | None = None,
        sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.detail = detail or {}
        self.sent = sent

    @property
    def status(self) -> int:
        """The HTTP status that goes with the reason."""
        return STATUS[self.reason]


class Unanswered(EdgeError):
    """A connection that was kept ended before a byte of the answer came: the replica may just have closed it for being
    idle, so a request that changes nothing may be sent once more (RFC 9112 9.3.1)."""


class Told(EdgeError):
    """What the edge answers because it knows it itself: `document` is the JSON body, for `reason` as any other."""

    def __init__(self, reason: Reason, document: Mapping[str, object]) -> None:
        super().__init__(reason, "")
        self.document = document
