"""Heads about which nothing is special, taken as they are: most heads of most clients, though no two are equal.

To hand each field to Python is most of what the parser's way costs. A head that one regular expression takes whole, and
in which only the length and `Connection: keep-alive` are of a kind that the edge looks at, goes upstream as it came,
but for the forwarding fields. The expression is far narrower than what the parser and the guard accept, and all that it
does not take goes their way: a verdict is never made here.
"""

from __future__ import annotations

import re

from router.guard import MAX_FIELDS, MAX_TARGET
from router.headers import IN_REQUEST, MAX_NAME, MOST_NAMES
from router.request import Request

_HEAD = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[!\x22$&-~]*+(?:%(?![01]|7[Ff])[!\x22$&-~]*+)*+) HTTP/1\.1\r\n"
    rb"[Hh]ost: ([A-Za-z0-9._-]++(?::[0-9]{1,5}+)?)\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~][ -~]*+(?<! )\r\n)*+)\r\n"
)
_NAME = re.compile(rb"([^:]+): [^\r]+\r\n")
_MAX_DIGITS = 9
_ordinary: set[bytes] = set()  # names, as spelled, that were found to be of no special kind


def plain(data: bytes, forwarding: tuple[bytes, bytes]) -> Request | None:
    """Return the request that `data` is, with all of its body behind it; None when it has to be looked at. `forwarding`
    is what the client's heads get upstream."""
    found = _HEAD.match(data)
    if found is None:
        return None
    method, target, host, fields = found.groups()
    names = _NAME.findall(fields)
    length = 0
    if not _ordinary.issuperset(names):
        length, fields = _settle(names, fields)
    if len(data) - found.end() != length or len(target) > MAX_TARGET or len(names) >= MAX_FIELDS:
        return None
    request = Request(method, target, [], [(b"host", host)], True)
    request.host = host
    request.fields = fields
    request.length = length
    request.ordinary = True
    start = (method, b" ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n", fields)
    request.sent = b"".join((*start, forwarding[0], host, forwarding[1], host, b"\r\n\r\n"))
    return request


def _settle(names: list[bytes], fields: bytes) -> tuple[int, bytes]:
    """Return the length of the body and the fields that pass; a length of -1 when there is more to it."""
    lines = fields.split(b"\r\n")
    special: dict[bytes, bytes] = {}
    for spelled in set(names) - _ordinary:
        name = IN_REQUEST[spelled]
        if not name:
            if len(_ordinary) < MOST_NAMES and len(spelled) <= MAX_NAME:
                _ordinary.add(spelled)
        elif name in special or names.count(spelled) > 1:
            return -1, fields
        else:
            special[name] = lines[names.index(spelled)]
    length = special.pop(b"content-length", b": 0").partition(b": ")[2]
    connection = special.pop(b"connection", b"")
    if special or not length.isdigit() or len(length) > _MAX_DIGITS:
        return -1, fields
    if connection:
        if connection.partition(b": ")[2] != b"keep-alive":
            return -1, fields
        lines.remove(connection)
        fields = b"\r\n".join(lines)
    return int(length), fields
