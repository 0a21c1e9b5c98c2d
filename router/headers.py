"""What becomes of header fields at the edge: hop-by-hop ones go, forwarding ones are written, all others pass
untouched.

Heads are always written anew from parsed fields (HTTP.md 4, point 15), in one pass, as bytes.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.request import Request

VIA = b"1.1 gpu-activator"
TAG_HEADER = b"knative-serving-tag"

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
_INTERNAL = frozenset((TAG_HEADER, b"knative-serving-revision", b"knative-serving-namespace", b"k-network-probe"))
FORWARDING = frozenset(b"x-forwarded-for x-forwarded-proto x-forwarded-host forwarded".split())
_OWN = frozenset(b"activator-reason activator-revision".split())
NOMINATES_NOTHING = frozenset((b"keep-alive", b"close", b"upgrade", b"keep-alive, upgrade"))  # of Connection's values
_NO_TRAILERS = frozenset(
    b"age authentication-info authorization cache-control content-encoding content-range content-type cookie expires"
    b" host location pragma proxy-authentication-info proxy-authorization retry-after set-cookie vary warning"
    b" www-authenticate".split()
)
UPGRADE = (b"Connection", b": ", b"Upgrade", b"\r\n", b"Upgrade", b": ", b"websocket", b"\r\n")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
TAKES_TRAILERS = (b"Connection", b": ", b"TE", b"\r\n", b"TE", b": ", b"trailers", b"\r\n")
_CLOSED = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*+")*+')  # every quoted string ends (RFC 9110 5.6.4)
MAX_NAME = 64
MOST_NAMES = 4096


class Special(dict[bytes, bytes]):
    """Maps a field name, as spelled, to its lower-case form if it is one of `names`, or is to servers that take `_` for
    `-` as CGI does (RFC 3875 4.1.18), else to nothing.

    Spellings are remembered, since telling them apart is much of the cost of a small request. Peers choose them, so the
    memory is bounded.
    """

    def __init__(self, names: frozenset[bytes]) -> None:
        super().__init__()
        self.names = names

    def __missing__(self, spelled: bytes) -> bytes:
        lower = spelled.lower()
        name = lower if lower.replace(b"_", b"-") in self.names else b""
        if len(self) < MOST_NAMES and len(spelled) <= MAX_NAME:
            self[spelled] = name
        return name


class StatusLines(dict[int, bytes]):
    """The first line of a response by its status."""

    def __missing__(self, status: int) -> bytes:
        return b"HTTP/1.1 %d \r\n" % status


STATUS_LINES = StatusLines(
    (each.value, b"HTTP/1.1 %d %s\r\n" % (each.value, each.phrase.encode())) for each in HTTPStatus
)
IN_REQUEST = Special(
    _HOP_BY_HOP
    | _INTERNAL
    | FORWARDING
    | {b"host", b"content-length", b"expect", b"proxy-authorization", b"via", b"max-forwards"}
)
IN_RESPONSE = Special(_HOP_BY_HOP | _OWN | {b"content-length", b"date", b"proxy-authenticate"})


def forwarding(peer: str, scheme: bytes = b"http") -> tuple[bytes, bytes]:
    """Return what is written for a client connection: all forwarding fields (RFC 7239, X-Forwarded-*, Via) up to and
    after the host, made once per connection. What the client wrote there is replaced."""
    address = peer.encode()
    return (
        b"X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\nVia: %s\r\n" % (address, scheme, VIA)
        + b'Forwarded: for=%s;proto=%s;host="' % (_node(address), scheme),
        b'"\r\nX-Forwarded-Host: ',
    )


def passed_on(request: Request, peer: str, scheme: bytes) -> bytes:
    """Return all forwarding fields for one request of a trusted hop: what it tells of those before it stays, the hop
    itself is appended to the chains (RFC 7239 4). A `Forwarded` in which a quote is left open would swallow what is
    appended, and goes."""
    told = {name: b", ".join(value for key, value in request.special if key == name) for name in FORWARDING}
    address, host = peer.encode(), request.host
    chain = told[b"forwarded"] if _CLOSED.fullmatch(told[b"forwarded"]) else b""
    own = b'for=%s;proto=%s;host="%s"' % (_node(address), scheme, host)
    return b"X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\nVia: %s\r\nForwarded: %s\r\nX-Forwarded-Host: %s\r\n" % (
        b", ".join(filter(None, (told[b"x-forwarded-for"], address))),
        told[b"x-forwarded-proto"] or scheme,
        VIA,
        b", ".join(filter(None, (chain, own))),
        told[b"x-forwarded-host"] or host,
    )


def _node(address: bytes) -> bytes:
    return b'"[%s]"' % address if b":" in address else address


def request_head(request: Request, forwarded: tuple[bytes, bytes]) -> bytes:
    """Return the head that goes to the replica; `forwarded` is of its connection, for one without its own."""
    host = request.host
    before, after = forwarded
    pieces = [request.method, b" ", request.target, b" HTTP/1.1\r\nHost: ", host, b"\r\n", request.fields]
    pieces += request.lines
    if request.length is None:
        pieces.append(CHUNKED)
    if request.forwarded:
        pieces += (request.forwarded, b"\r\n")
    else:
        pieces += (before, host, after, host, b"\r\n\r\n")
    request.sent = b"".join(pieces)
    return request.sent


def may_trail(name: bytes) -> bool:
    """Tell whether a field of a response may come behind the body: it says nothing of how to read, keep or believe the
    message (RFC 9110 6.5.1)."""
    lower = name.lower()
    return lower not in _NO_TRAILERS and lower not in IN_RESPONSE.names


def values(lines: list[bytes], name: bytes) -> list[bytes]:
    """Return the values of the field `name` (lower case) among lines, in pieces of four."""
    return [lines[start + 2] for start in range(0, len(lines), 4) if lines[start].lower() == name]


def tokens(value: bytes) -> set[bytes]:
    """Return the members of a list, in lower case."""
    return {token.strip().lower() for token in value.split(b",")}


def without_nominated(lines: list[bytes], connection: bytes, protected: frozenset[bytes] = frozenset()) -> list[bytes]:
    """Return the lines (in pieces of four) without those that a Connection field names (RFC 9110 7.6.1), but for the
    protected ones: a client must not be able to take away what the model's authorisation depends on."""
    named = tokens(connection) - protected
    kept: list[bytes] = []
    for start in range(0, len(lines), 4):
        if lines[start].lower() not in named:
            kept += lines[start : start + 4]
    return kept
