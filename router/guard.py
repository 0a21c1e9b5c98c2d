"""What llhttp lets through and a proxy must not: Host, target, version, framing and method, checked on each head.

Everything refused here is refused before a byte goes upstream, and the connection is closed after the answer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from router.errors import EdgeError, Reason
from router.headers import without_nominated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.request import Request

MAX_HEAD = 64 << 10
MAX_FIELDS = 100

METHODS = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND REPORT SEARCH PURGE".split())
PROTECTED = frozenset(b"host content-length content-type authorization cookie via forwarded".split())
_CHECKED = frozenset(b"host content-length transfer-encoding expect upgrade connection".split())
_CONNECTION = frozenset((b"keep-alive", b"close", b"upgrade"))
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_TARGET = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_ENCODED = re.compile(rb"%00|%0[ad]", re.IGNORECASE)
_METHOD_LINE = re.compile(rb"(?:^|\n)([A-Z]{1,32}) [!-~]+ HTTP/1\.[01]\r?$", re.MULTILINE)


def check(request: Request) -> None:
    """Check a head and settle the request's `host` and body `length`. EdgeError says what is wrong.

    Sources: RFC 9110 7.2, 9.3.6, 10.1.1; RFC 9112 2.3, 3.2, 6.1, 6.3.
    """
    if request.version not in {"1.1", "1.0"}:
        raise EdgeError(Reason.VERSION_UNSUPPORTED, f"HTTP/{request.version} is not spoken here; use HTTP/1.1.")
    if request.method not in METHODS:
        raise _method_refused(request.method)
    found: dict[bytes, list[bytes]] = {}
    for lower, _, value in request.headers:
        if lower in _CHECKED:
            found.setdefault(lower, []).append(value)
    _check_host(request, found.pop(b"host", []))
    if found:
        _check_framing(request, found)
    _check_target(request)


def _check_framing(request: Request, found: Mapping[bytes, list[bytes]]) -> None:
    for value in found.get(b"connection", ()):
        if value.lower() not in _CONNECTION:
            request.headers = without_nominated(request.headers, value, PROTECTED)
    if lengths := found.get(b"content-length"):
        request.length = int(lengths[0])
    if encodings := found.get(b"transfer-encoding"):
        _check_encoding(request, encodings)
    if b"expect" in found and request.version == "1.1":
        request.expects_continue = found[b"expect"][0].lower() == b"100-continue"
    if b"upgrade" in found and request.length != 0:
        raise EdgeError(Reason.BAD_REQUEST, "A request that offers to upgrade must not have a body.")


def check_size(request: Request, *, spread: bool) -> None:
    """Check the head's size and number of fields (RFC 6585 5); one that is not spread over several reads is small."""
    headers = request.headers
    if len(headers) > MAX_FIELDS:
        raise EdgeError(Reason.HEAD_TOO_LARGE, f"The request has more than {MAX_FIELDS} header fields.")
    if spread and sum(len(name) + len(value) + 4 for _, name, value in headers) + len(request.target) > MAX_HEAD:
        raise EdgeError(Reason.HEAD_TOO_LARGE, f"The request's head is larger than {MAX_HEAD} bytes.")


def bad_method(data: bytes) -> EdgeError:
    """Return the refusal of a method that the parser does not know: 501 for a proper request line, else 400."""
    for line in _METHOD_LINE.finditer(data):
        if line[1] not in METHODS:
            return _method_refused(line[1])
    return EdgeError(Reason.BAD_REQUEST, "This is not an HTTP request.")


def _method_refused(method: bytes) -> EdgeError:
    name = method.decode("ascii", "replace")
    if method in {b"TRACE", b"CONNECT"}:
        return EdgeError(Reason.METHOD_NOT_ALLOWED, f"{name} is not allowed.")
    return EdgeError(Reason.METHOD_UNKNOWN, f"The method {name} is not implemented.")


def _check_encoding(request: Request, encodings: list[bytes]) -> None:
    if request.version != "1.1" or len(encodings) > 1 or encodings[0].lower() != b"chunked":
        raise EdgeError(
            Reason.BAD_REQUEST, "Transfer-Encoding must be exactly 'chunked', once, in an HTTP/1.1 request."
        )
    request.length = None


def _check_host(request: Request, hosts: list[bytes]) -> None:
    if len(hosts) > 1 or (not hosts and request.version == "1.1"):
        raise EdgeError(Reason.BAD_REQUEST, "A request needs exactly one Host header.")
    if hosts and not _is_host(hosts[0]):
        raise EdgeError(Reason.BAD_REQUEST, "The Host header is not a host name with an optional port.")
    request.host = hosts[0] if hosts else b""


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _check_target(request: Request) -> None:
    target = request.target
    if not target.startswith(b"/"):
        if target == b"*" and request.method == b"OPTIONS":
            return
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not _is_host(absolute[1]):
            raise EdgeError(Reason.BAD_REQUEST, "The request target must be a path, or an absolute http URL.")
        request.host = absolute[1]
        request.target = target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if target.translate(None, _TARGET) or (b"%" in target and _ENCODED.search(target)):
        raise EdgeError(Reason.BAD_REQUEST, "The request target has a character that is not allowed there.")
