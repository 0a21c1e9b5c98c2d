"""What becomes of header fields at the edge: hop-by-hop ones go, forwarding ones are written, all others pass
untouched.

Heads are always written anew from parsed fields (HTTP.md 4, point 15), in one pass, as bytes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from router.errors import EdgeError, Reason

if TYPE_CHECKING:
    from router.request import Header, Request

VIA = b"1.1 gpu-activator"
TAG_HEADER = b"knative-serving-tag"
MAX_HOPS = 8

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
_INTERNAL = frozenset((TAG_HEADER, b"knative-serving-revision", b"knative-serving-namespace", b"k-network-probe"))
_FORWARDING = frozenset(b"x-forwarded-for x-forwarded-proto x-forwarded-host forwarded".split())
_REQUEST_DROPS = HOP_BY_HOP | _INTERNAL | _FORWARDING | {b"host", b"expect", b"proxy-authorization"}
RESPONSE_DROPS = HOP_BY_HOP | {
    b"content-length",
    b"proxy-authenticate",
    b"activator-reason",
    b"activator-revision",
}
_REASONS = {status.value: b"%d %s" % (status.value, status.phrase.encode()) for status in HTTPStatus}


def forwarding(peer: str) -> tuple[bytes, bytes]:
    """Return what is written for a client connection: all forwarding fields (RFC 7239, X-Forwarded-*, Via) up to and
    after the host, made once per connection. What the client wrote there is replaced."""
    address = peer.encode()
    node = b'"[%s]"' % address if b":" in address else address
    return (
        b"X-Forwarded-For: %s\r\nX-Forwarded-Proto: http\r\nVia: %s\r\n" % (address, VIA)
        + b'Forwarded: for=%s;proto=http;host="' % node,
        b'"\r\nX-Forwarded-Host: ',
    )


def request_head(request: Request, forwarded: tuple[bytes, bytes]) -> bytes:
    """Return the head that goes to the replica; `forwarded` comes from `forwarding`. EdgeError (508) when the request
    has passed here too often."""
    host = request.host
    before, after = forwarded
    parts = [request.method, b" ", request.target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
    hops = 0
    for lower, name, value in request.headers:
        if lower in _REQUEST_DROPS:
            continue
        if lower == b"via":
            hops += value.count(VIA)
        parts += (name, b": ", value, b"\r\n")
    if hops >= MAX_HOPS:
        raise EdgeError(
            Reason.LOOP_DETECTED,
            f"The request has passed through this edge {hops} times; a route leads back.",
        )
    if request.length is None:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    parts += (before, host, after, host, b"\r\n\r\n")
    return b"".join(parts)


def response_head(status: int, lines: list[bytes]) -> bytes:
    """Return the head that goes to the client, of pieces of lines; what is in RESPONSE_DROPS is not among them."""
    return b"".join((b"HTTP/1.1 ", _REASONS.get(status) or b"%d " % status, b"\r\n", *lines, b"\r\n"))


def without_nominated(headers: list[Header], connection: bytes, protected: frozenset[bytes]) -> list[Header]:
    """Return `headers` without those that a Connection field names (RFC 9110 7.6.1), but for the protected ones: a
    client must not be able to take away what routing, framing or the model's authorisation depend on."""
    named = {token.strip().lower() for token in connection.split(b",")} - protected
    return [header for header in headers if header[0] not in named]
