"""Heads about which nothing is special, taken as they are: most heads of most clients, though no two are equal.

To hand each field to Python is most of what the parser's way costs. A head that one regular expression takes whole, and
in which no field tells how to read it but a length and `Connection: keep-alive`, goes upstream as it came, without the
fields that the edge writes itself. The expression is far narrower than what the parser and the guard accept, and all
that it does not take goes their way: a verdict is never made here.

A client's heads differ in their values, seldom in their names: what these are is looked up once for all of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from router.guard import MAX_FIELDS, MAX_TARGET
from router.headers import FORWARDING, request_head
from router.ids import NAMING
from router.request import ordinary
from router.template import FIELD, LENGTH, MAX_DIGITS, TARGET, Likeness, Line, fields_of

if TYPE_CHECKING:
    from router.request import Request

_HEAD = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (" + TARGET + rb") HTTP/1\.1\r\n"
    rb"((?:(?![Hh]ost:)" + FIELD + rb")*+)"
    rb"[Hh]ost: ([A-Za-z0-9._-]{1,255}+(?::[0-9]{1,5}+)?)\r\n"
    rb"((?:" + FIELD + rb")*+)\r\n"
)
_NAME = re.compile(rb"([^:]+): [^\r]+\r\n")
_MAX_FIELDS_BYTES = 8 << 10  # a bound on what is remembered of names, which peers choose
_ONCE = frozenset((b"content-length", b"connection"))
_REWRITTEN = FORWARDING | NAMING


class _Names(NamedTuple):
    """What the fields of a head are: of the `special` ones the name, the number, and where the value begins; the
    numbers of those that do not pass, the last one first."""

    special: tuple[tuple[bytes, int, int], ...]
    gone: tuple[int, ...]


class Plain:
    """Takes the plain heads of one connection. `special` are the fields that the edge looks at; `forwarding` is what
    heads get upstream, None = that depends on more than the connection."""

    __slots__ = ("_behind", "_forwarding", "_like", "_likeness", "_special", "_start")

    _like: Request  # of the template's kind
    _start: int  # of the fields in the head that goes upstream, but for the target
    _behind: bytes  # what goes there behind the fields

    def __init__(self, special: frozenset[bytes], forwarding: tuple[bytes, bytes] | None = None) -> None:
        self._special = special
        self._forwarding = forwarding
        self._likeness = Likeness()

    def take(self, data: bytes) -> Request | None:
        """Return the request that `data` is, with all of its body behind it; None when it has to be looked at."""
        template = self._likeness.template
        if template is not None and (filled := template.fill(data)) is not None:
            pieces, told, _ = filled
            return self._again(pieces, told, retargets=0 in template.differing)
        found = _HEAD.match(data)
        if found is None:
            return None
        method, target, before, host, fields = found.groups()
        fields = before + fields
        names = tuple(_NAME.findall(fields))
        if len(names) >= MAX_FIELDS or len(fields) > _MAX_FIELDS_BYTES or len(target) > MAX_TARGET:
            return None
        known = _known(names, self._special)
        if known is None:
            return None
        length: int | None = 0
        special = [(b"host", host)]
        if known.special:
            lines = fields.split(b"\r\n")
            special += [(name, lines[number][start:]) for name, number, start in known.special]
            for number in known.gone:
                del lines[number]
            fields = b"\r\n".join(lines)
            length = _length(dict(special))
        if len(data) - found.end() != length:
            return None
        request = ordinary(method, target, host, fields, special)
        request.length = length
        if self._forwarding is not None and self._likeness.study(found[0], self._lines_of):
            self._like = like = request.again()
            self._start = len(method) + len(host) + len(b"  HTTP/1.1\r\nHost: \r\n")
            self._behind = request_head(like, self._forwarding)[self._start + len(target) + len(fields) :]
        return request

    def _again(self, pieces: list[bytes], told: bytes, *, retargets: bool) -> Request:
        """Return a request of the kind that is known, with the length that it `told`."""
        like, behind = self._like, self._behind
        pieces.append(behind)
        head = b"".join(pieces)
        target = pieces[1] if retargets else like.target
        request = ordinary(like.method, target, like.host, head[self._start + len(target) : -len(behind)], like.special)
        request.length = like.length
        if told and like.header(LENGTH) != told:
            request.length = int(told)
            request.special = [(name, told if name == LENGTH else value) for name, value in like.special]
        request.sent = head
        return request

    def _lines_of(self, head: bytes) -> list[Line]:
        first, *fields = head[: -len(b"\r\n\r\n")].split(b"\r\n")
        method, target, version = first.split(b" ")
        lines = fields_of(fields, self._special - {LENGTH})
        before, behind = method + b" ", b" %s\r\n" % version
        host = next(line.value for line in lines if line.name == b"host")
        return [Line(b"", target, (before, behind), (before, b"%sHost: %s\r\n" % (behind, host))), *lines]


@lru_cache(maxsize=256)
def _known(names: tuple[bytes, ...], special: frozenset[bytes]) -> _Names | None:
    """Return what fields with these names are; None when there is more to one of them."""
    found: dict[int, bytes] = {}
    for number, spelled in enumerate(names):
        name = spelled.lower()
        if b"_" in name and name.replace(b"_", b"-") in special:
            return None
        if name in special:
            if name not in _REWRITTEN and (name not in _ONCE or name in found.values()):
                return None
            found[number] = name
    return _Names(
        tuple((name, number, len(names[number]) + 2) for number, name in found.items()),
        tuple(number for number in reversed(found) if found[number] != b"content-length"),
    )


def _length(told: dict[bytes, bytes]) -> int | None:
    """Return the length of the body, None when there is more to it."""
    digits = told.get(b"content-length", b"0")
    if not digits.isdigit() or len(digits) > MAX_DIGITS or told.get(b"connection", b"keep-alive") != b"keep-alive":
        return None
    return int(digits)
