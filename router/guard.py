"""What llhttp lets through and a proxy must not: Host, target, version, framing and method, checked on each head.

Everything refused here is refused before a byte goes upstream, and the connection is closed after the answer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from router.errors import EdgeError, Reason
from router.headers import NOMINATES_NOTHING, TAKES_TRAILERS, VIA, tokens, values, without_nominated

if TYPE_CHECKING:
    from router.request import Request

MAX_HEAD = 64 << 10
MAX_TARGET = 8 << 10
MAX_FIELDS = 100
MAX_HOST = 255 + len(":65535")  # RFC 1035 2.3.4
_VERSIONS = frozenset(("1.1", "1.0"))

METHODS = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND REPORT SEARCH PURGE".split())
MAX_HOPS = 8
_FRAMING = frozenset(b"content-length transfer-encoding".split())
_LENGTH_DIGITS = 20  # as many as 2^64 has: the parser bounds the number, but not the zeros before it
_MAX_DIGITS = 9
PROTECTED = frozenset(b"content-type authorization cookie".split())
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*+)([^#]*)", re.IGNORECASE)
_PATH = re.compile(rb"/[!\x22$-~]*")
_CONTROL = re.compile(rb"[^?]*%(?:[01][0-9a-f]|7f)|.*%00", re.IGNORECASE)  # a text in a query may have several lines
_WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes in base64
_METHOD_LINE = re.compile(rb"([A-Z]{1,32}) [!-~]+ HTTP/1\.[01]\r?\n")
_BEGUN_LINE = re.compile(rb"[A-Z]{1,32}(?: [!-~]*(?: [!-~]*\r?)?)?")
_OTHER_VERSION = re.compile(rb"[A-Z]{1,32} [!-~]+ HTTP/((?!1)[0-9]\.[0-9])")
_MAX_LINE = MAX_TARGET + 64


def check(request: Request, scheme: bytes = b"http") -> None:
    """Check a head that came by `scheme`; settle the request's `host` and body `length`. EdgeError says what is wrong.

    Sources: RFC 9110 7.2, 9.3.6, 10.1.1; RFC 9112 2.3, 3.2, 6.1, 6.3; RFC 6585 5.
    """
    too_many = too_many_fields(request.lines, request.special)
    if request.version not in _VERSIONS or request.method not in METHODS or too_many:
        raise _start_refused(request)
    hosts, length, others = 0, None, False
    for name, value in request.special:
        if name == b"host":
            request.host = value
            hosts += 1
        elif name == b"content-length":
            if len(value) > _LENGTH_DIGITS:
                raise EdgeError(Reason.BAD_REQUEST, f"The Content-Length has more than {_LENGTH_DIGITS} digits.")
            request.length = int(value)
            length = value  # the only one: llhttp lets no second one pass
        else:
            others = True
    if hosts != 1 or not _is_host(request.host):
        _check_no_host(request, hosts)
    if others:
        _check_rare(request)
    if length is not None:
        request.lines += (b"Content-Length", b": ", length, b"\r\n")
    if not _is_origin_form(request.target):
        _check_target(request, scheme)


def _check_rare(request: Request) -> None:
    """Check the special fields that most requests do not have."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in request.special:
        found.setdefault(name, []).append(value)
    for value in found.get(b"connection", ()):
        if value.lower() not in NOMINATES_NOTHING:
            request.lines = without_nominated(request.lines, value, PROTECTED)
    if encodings := found.get(b"transfer-encoding"):
        _check_encoding(request, encodings)
    if b"expect" in found and request.version == "1.1":
        request.expects_continue = any(b"100-continue" in tokens(value) for value in found[b"expect"])
    if request.version == "1.1" and any(b"trailers" in tokens(value) for value in found.get(b"te", ())):
        request.trailers = True  # RFC 9110 10.1.4
        request.lines += TAKES_TRAILERS
    if request.length != 0 and any(b"websocket" in tokens(value) for value in found.get(b"upgrade", ())):
        raise EdgeError(Reason.BAD_REQUEST, "A request that offers to upgrade to WebSocket must not have a body.")
    if hops := found.get(b"via"):
        _check_hops(request, hops)
    if steps := found.get(b"max-forwards"):
        _check_steps(request, steps)


def _check_hops(request: Request, hops: list[bytes]) -> None:
    passed = sum(value.count(VIA) for value in hops)
    if passed >= MAX_HOPS:
        raise EdgeError(
            Reason.LOOP_DETECTED, f"The request has passed through this edge {passed} times; a route leads back."
        )
    for value in hops:
        request.lines += (b"Via", b": ", value, b"\r\n")


def too_many_fields(lines: list[bytes], special: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a head has more fields than may be: `lines` in pieces of four, and those that are special."""
    return len(lines) + 4 * len(special) > 4 * MAX_FIELDS


def fields_refused() -> EdgeError:
    """Return the refusal of a head that has too many fields (RFC 6585 5)."""
    return EdgeError(Reason.HEAD_TOO_LARGE, f"The request has more than {MAX_FIELDS} header fields.")


def offers_websocket(request: Request) -> bool:
    """Tell whether a checked request, of which the parser says that it offers to upgrade, does so as RFC 6455 4.1 asks
    for, and has nothing that others may take for a body. All other offers are declined (RFC 9110 7.8)."""
    keys = values(request.lines, b"sec-websocket-key")
    return (
        request.method == b"GET"
        and request.version == "1.1"
        and [value.lower() for name, value in request.special if name == b"upgrade"] == [b"websocket"]
        and any(name == b"connection" and b"upgrade" in tokens(value) for name, value in request.special)
        and not any(name in _FRAMING for name, _ in request.special)
        and values(request.lines, b"sec-websocket-version") == [b"13"]
        and len(keys) == 1
        and _WEBSOCKET_KEY.fullmatch(keys[0]) is not None
    )


def _check_steps(request: Request, steps: list[bytes]) -> None:
    """Count down Max-Forwards, or answer here when no step is left; it means something to OPTIONS only, since TRACE is
    refused (RFC 9110 7.6.2)."""
    value = steps[0]
    if request.method == b"OPTIONS":
        if len(steps) > 1 or not value.isdigit() or len(value) > _MAX_DIGITS:
            raise EdgeError(Reason.BAD_REQUEST, "Max-Forwards is not one number.")
        if not int(value):
            request.refusal = _about_edge()
            return
        value = b"%d" % (int(value) - 1)
    request.lines += (b"Max-Forwards", b": ", value, b"\r\n")


def _about_edge() -> EdgeError:
    return EdgeError(Reason.OPTIONS, "This is the edge itself. It speaks HTTP/1.1.")


def check_line(line: bytes) -> None:
    """Check what the parser lets pass in a request line: protocols that are not spoken here, and more than one space,
    which some readers take for an empty target (RFC 9112 3). EdgeError for either."""
    if b" HTTP/" not in line or line.count(b" ") != 2:
        raise EdgeError(Reason.BAD_REQUEST, "This is not an HTTP request.")


def judge_line(line: bytes) -> EdgeError | None:
    """Return the refusal of a request line whose method the parser does not know: 501 for a proper one, 505 for one of
    another version, else 400; None while it may still become one."""
    if refusal := version_refused(line):
        return refusal
    if len(line) <= _MAX_LINE and (found := _METHOD_LINE.fullmatch(line)):
        return _method_refused(found[1])
    if not _BEGUN_LINE.fullmatch(line[:_MAX_LINE]):
        return EdgeError(Reason.BAD_REQUEST, "This is not an HTTP request.")
    if len(line) > _MAX_LINE:
        return EdgeError(Reason.TARGET_TOO_LONG, f"The request line is longer than {_MAX_LINE} bytes.")
    return None


def version_refused(line: bytes) -> EdgeError | None:
    """Return the refusal of a line, of which the beginning may be enough, that asks for another major version, such as
    the preface of HTTP/2 (RFC 9110 15.6.6, RFC 9113 3.4); None for all others."""
    found = _OTHER_VERSION.match(line)
    return _not_spoken(found[1].decode()) if found is not None else None


def _not_spoken(version: str) -> EdgeError:
    return EdgeError(Reason.VERSION_UNSUPPORTED, f"HTTP/{version} is not spoken here; use HTTP/1.1.")


def _start_refused(request: Request) -> EdgeError:
    if request.version not in _VERSIONS:
        return _not_spoken(request.version)
    if request.method not in METHODS:
        return _method_refused(request.method)
    return fields_refused()


def _check_no_host(request: Request, hosts: int) -> None:
    if hosts > 1 or (not hosts and request.version == "1.1"):
        raise EdgeError(Reason.BAD_REQUEST, "A request needs exactly one Host header.")
    if hosts:
        raise EdgeError(Reason.BAD_REQUEST, "The Host header is not a host name with an optional port.")


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


def _check_target(request: Request, scheme: bytes) -> None:
    """Check a target that is not a path, and cut an absolute one to its path; one without a path asks about the server
    as a whole where the method is OPTIONS (RFC 9112 3.2.4)."""
    if request.target == b"*" and request.method == b"OPTIONS":
        request.refusal = _about_edge()
        return
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is not None and absolute[1].lower() == scheme and _is_host(absolute[2]):
        if not absolute[3] and request.method == b"OPTIONS":
            request.refusal = _about_edge()
            return
        path = absolute[3] if absolute[3].startswith(b"/") else b"/" + absolute[3]
        if _is_origin_form(path):
            request.host, request.target = absolute[2], path
            return
    name = scheme.decode()
    raise EdgeError(
        Reason.BAD_REQUEST,
        f"The request target must be a path or an absolute {name} URL, without a fragment or control characters.",
    )


def _is_host(value: bytes) -> bool:
    return len(value) <= MAX_HOST and _reads_as_host(value)


@lru_cache(maxsize=512)
def _reads_as_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


@lru_cache(maxsize=512)
def _is_origin_form(target: bytes) -> bool:
    return _PATH.fullmatch(target) is not None and not _CONTROL.match(target)
