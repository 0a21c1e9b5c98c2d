"""Answers made by the edge itself: JSON, in OpenAI's error shape where OpenAI's clients look for it.

Every one carries `Activator-Reason`. A 503 carries Retry-After, kept under the 120 s that OpenAI's client obeys; an
error after the request may have reached a replica tells that client not to repeat it.
"""

from __future__ import annotations

import json
import re
from math import ceil
from typing import TYPE_CHECKING

from router.dates import date_line
from router.errors import Reason, Told
from router.guard import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.errors import EdgeError
    from router.request import Request

REASON_HEADER = "Activator-Reason"
ALLOWED = ", ".join(sorted(method.decode() for method in METHODS))
MAX_RETRY_AFTER = 120.0
_OPENAI = (
    b"/v1/chat/",
    b"/v1/completions",
    b"/v1/embeddings",
    b"/v1/responses",
    b"/v1/audio/",
    b"/v1/images/",
    b"/v1/moderations",
    b"/openai/",
)
_BEFORE_PATH = re.compile(rb" *(?:https?://[^/? ]*)?", re.IGNORECASE)
_ABOUT_MODEL = frozenset((Reason.MODEL_REQUIRED, Reason.MODEL_AMBIGUOUS, Reason.MODEL_NOT_FOUND))
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    508: "Loop Detected",
}


def respond(error: EdgeError, request: Request, facts: Mapping[str, object], *, keep_alive: bool) -> bytes:
    """Return the whole response to `request` for `error`; `facts` are what else is known, such as the revision."""
    fields: dict[str, object] = {"reason": error.reason, "message": error.message, **facts, **error.detail}
    if isinstance(error, Told):
        fields = dict(error.document)
    elif _is_openai(request.method, request.target):
        fields = {**_for_openai(error), **fields}
    answer = compose(error, fields, keep_alive=keep_alive, bodyless=request.method == b"HEAD")
    own = b"\r\nX-Request-Id: %b" % request.id if request.id else b""
    if keep_alive and request.version == "1.0":
        own += b"\r\nConnection: keep-alive"  # else such a client waits for the end of the connection
    return answer.replace(b"\r\n", own + b"\r\n", 1) if own else answer


def refuse_head(error: EdgeError, line: bytes = b"") -> bytes:
    """Return the response to bytes that never became a request, of whose `line` so much came; the connection is closed
    after it."""
    method, _, rest = line.partition(b" ")
    fields: dict[str, object] = {"reason": error.reason, "message": error.message}
    if _is_openai(method, _BEFORE_PATH.sub(b"", rest, count=1).partition(b" ")[0]):
        fields = {**_for_openai(error), **fields}
    return compose(error, fields, keep_alive=False, bodyless=method == b"HEAD")


def _is_openai(method: bytes, target: bytes) -> bool:
    path = target.partition(b"?")[0]
    asks_for_model = path.startswith(b"/v1/models/") and method in {b"GET", b"HEAD"}
    return path.startswith(_OPENAI) or path == b"/v1/models" or asks_for_model


def _for_openai(error: EdgeError) -> dict[str, object]:
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    param = "model" if error.reason in _ABOUT_MODEL else None
    return {"error": {"message": error.message, "type": kind, "param": param, "code": error.reason}}


def compose(error: EdgeError, fields: dict[str, object], *, keep_alive: bool, bodyless: bool) -> bytes:
    """Return head and JSON body of an error response."""
    body = json.dumps(fields).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {error.status} {_PHRASES[error.status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"{REASON_HEADER}: {error.reason}",
    ]
    if error.retry_after is not None:
        lines.append(f"Retry-After: {ceil(min(max(error.retry_after, 1.0), MAX_RETRY_AFTER))}")
    if error.sent:
        lines.append("X-Should-Retry: false")
    if error.reason in {Reason.OPTIONS, Reason.METHOD_NOT_ALLOWED}:
        lines.append(f"Allow: {ALLOWED}")
    if not keep_alive:
        lines.append("Connection: close")
    head = b"%b\r\n%b\r\n" % ("\r\n".join(lines).encode(), date_line())
    return head if bodyless else head + body
