"""Names by which a request is found again: an id for logs, and the W3C trace context for tracing systems.

What a client sent is passed on if it is sound, else replaced. What is made is cheap and no secret: half of it is random
per process, half a quick random number, and the id is that of the trace.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router.headers import IN_REQUEST, Special

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.request import Request

NAMING = frozenset((b"x-request-id", b"traceparent", b"tracestate"))
IN_IDENTIFIED_REQUEST = Special(IN_REQUEST.names | NAMING)
_ID = re.compile(rb"[!-~]{1,128}")
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?", re.ASCII)


class Ids:
    """Gives every request its names. `bits` returns so many random bits; processes must not share it."""

    def __init__(self, bits: Callable[[int], int]) -> None:
        self._bits = bits
        self._prefix = b"%016x" % bits(64)

    def mark(self, request: Request) -> None:
        """Settle the request's `id`, and add the fields that go upstream. It must have been read with
        IN_IDENTIFIED_REQUEST."""
        own = b"%016x" % self._bits(64)
        trace = self._prefix + own
        looks = len(request.special) > 1 or request.version == "1.0"  # which may come without a Host
        given, context = _sent(request) if looks else (b"", b"")
        request.id = name = given or trace
        if context:
            request.lines += (b"X-Request-Id: ", name, b"\r\n", context)
        else:
            request.lines += (b"X-Request-Id: ", name, b"\r\ntraceparent: 00-", trace, b"-", own, b"-00\r\n")


def _sent(request: Request) -> tuple[bytes, bytes]:
    """Return the id and the lines of the trace context that came with a request, empty when they are not sound."""
    ids: list[bytes] = []
    parents: list[bytes] = []
    states: list[bytes] = []
    for name, value in request.special:
        if name == b"x-request-id":
            ids.append(value)
        elif name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    given = ids[0] if len(ids) == 1 and _ID.fullmatch(ids[0]) else b""
    if len(parents) != 1 or not _is_parent(parents[0]):
        return given, b""
    return given, b"".join(
        (b"traceparent: %b\r\n" % parents[0], *(b"tracestate: %b\r\n" % state for state in states if state))
    )


def _is_parent(value: bytes) -> bool:
    """Tell whether this is a traceparent (W3C Trace Context 3.2.2): version 00 has four parts, later ones may have
    more."""
    found = _PARENT.fullmatch(value)
    return found is not None and not (value.startswith(b"00") and found[1] is not None)
