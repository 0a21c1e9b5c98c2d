"""A head that is like the one before it but for a few values: a length, a trace, an id, a target.

What is the same is compared, what differs is checked as `plain` checks it, and what comes of the rest is known. Most
clients that keep their connection send such heads. User instructions of a POST as OpenAI's client sends it, with an id
that differs, counted by callgrind when this was made: 150,000 when its head is looked at as a whole, 90,000 so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from router.headers import request_head
from router.request import ordinary

if TYPE_CHECKING:
    from collections.abc import Collection

    from router.request import Request

MAX_HEAD = 4 << 10  # bytes that are kept for a connection
MAX_DIGITS = 9
TARGET = rb"/[!\x22$&-~]*+(?:%(?![01]|7[Ff])[!\x22$&-~]*+)*+"
VALUE = rb"[!-~][ -~]*+(?<! )"
_LENGTH = b"content-length"
_VALUES = {b"": re.compile(TARGET), _LENGTH: re.compile(rb"[0-9]{1,%d}+" % MAX_DIGITS)}
_VALUE = re.compile(VALUE)


class _Line(NamedTuple):
    """A line of a plain head. `name` is its field's, in lower case, "" = it is the request line, whose value is the
    target. `before` and `behind` are around the value."""

    name: bytes
    before: bytes
    value: bytes
    behind: bytes


class Template:
    """What is known of heads like `head`, of which `request` came, but for the values of the lines with the numbers
    `differing`. Of the `special` fields only a length goes upstream; `forwarding` is the connection's."""

    __slots__ = ("_begin", "_end", "_first", "_gaps", "_like", "_retargets", "_sent", "differing")

    def __init__(
        self,
        head: bytes,
        differing: frozenset[int],
        request: Request,
        special: Collection[bytes],
        forwarding: tuple[bytes, bytes],
    ) -> None:
        self.differing = differing
        self._like = request.again()
        self._retargets = 0 in differing
        host = b"Host: %s\r\n" % request.host
        came, sent, values = [b""], [b""], []
        for number, (name, before, value, behind) in enumerate(_lines(head)):
            passes = name not in special or name == _LENGTH
            came[-1] += before
            sent[-1] += before if passes else b""
            if number in differing:
                values.append((_VALUES.get(name, _VALUE), name == _LENGTH))
                came.append(behind)
                sent.append(behind)
            else:
                came[-1] += value + behind
                sent[-1] += value + behind if passes else b""
            sent[-1] += b"" if number else host
        self._begin = len(request.method) + len(b"  HTTP/1.1\r\n") + len(host)  # of the fields, but for the target
        whole = request_head(self._like, forwarding)
        forwarded = whole[self._begin + len(request.target) + len(request.fields) :]
        self._end = -len(forwarded)
        came[-1] += b"\r\n"
        sent[-1] += forwarded
        self._first, self._sent = came[0], sent[0]
        self._gaps = list(zip(values, came[1:], sent[1:], strict=True))

    def fill(self, data: bytes) -> Request | None:
        """Return the request that `data` is, with all of its body behind it; None when it is not of this kind."""
        first, like = self._first, self._like
        if not data.startswith(first):
            return None
        at, length, special = len(first), like.length, like.special
        pieces = [self._sent]
        for (value, is_length), behind, sent in self._gaps:
            found = value.match(data, at)
            if found is None:
                return None
            at = found.end()
            if not data.startswith(behind, at):
                return None
            at += len(behind)
            told = found[0]
            pieces += (told, sent)
            if is_length:
                length = int(told)
                special = [(name, told if name == _LENGTH else known) for name, known in special]
        if len(data) - at != length or at > MAX_HEAD:
            return None
        head = b"".join(pieces)
        target = pieces[1] if self._retargets else like.target
        request = ordinary(like.method, target, like.host, head[self._begin + len(target) : self._end], special)
        request.length = length
        request.sent = head
        return request


def differing(head: bytes, former: bytes, special: Collection[bytes]) -> frozenset[int] | None:
    """Return the numbers of the lines that have other values in two plain heads with the same names; None when more
    than that differs: where a field stands, the method, or a `special` field that is not a length."""
    changed = set()
    for number, (line, other) in enumerate(zip(_lines(head), _lines(former), strict=True)):
        if line == other:
            continue
        if line._replace(value=b"") != other._replace(value=b"") or (line.name in special and line.name != _LENGTH):
            return None
        changed.add(number)
    return frozenset(changed)


def _lines(head: bytes) -> list[_Line]:
    first, *fields = head[: -len(b"\r\n\r\n")].split(b"\r\n")
    method, target, version = first.split(b" ")
    lines = [_Line(b"", method + b" ", target, b" %s\r\n" % version)]
    for field in fields:
        name, colon, value = field.partition(b": ")
        lines.append(_Line(name.lower(), name + colon, value, b"\r\n"))
    return lines
