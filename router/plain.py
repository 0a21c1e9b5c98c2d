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
from router.headers import FORWARDING
from router.ids import NAMING
from router.request import ordinary
from router.template import MAX_DIGITS, MAX_HEAD, TARGET, VALUE, Template, differing

if TYPE_CHECKING:
    from router.request import Request

_LINE = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++: " + VALUE + rb"\r\n"
_HEAD = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (" + TARGET + rb") HTTP/1\.1\r\n"
    rb"((?:(?![Hh]ost:)" + _LINE + rb")*+)"
    rb"[Hh]ost: ([A-Za-z0-9._-]{1,255}+(?::[0-9]{1,5}+)?)\r\n"
    rb"((?:" + _LINE + rb")*+)\r\n"
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

    __slots__ = ("_former", "_forwarding", "_names", "_special", "_template")

    def __init__(self, special: frozenset[bytes], forwarding: tuple[bytes, bytes] | None = None) -> None:
        self._special = special
        self._forwarding = forwarding
        self._names: _Names | None = None  # of the former head
        self._former = b""
        self._template: Template | None = None

    def take(self, data: bytes) -> Request | None:
        """Return the request that `data` is, with all of its body behind it; None when it has to be looked at."""
        template = self._template
        if template is not None and (request := template.fill(data)) is not None:
            return request
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
        self._study(known, found[0], request)
        return request

    def _study(self, names: _Names, head: bytes, request: Request) -> None:
        """Compare a head with the former one, to know the next one if only some values differ. If more does, none with
        these names is compared again."""
        if self._forwarding is None:
            return
        template, self._template = self._template, None
        former, self._former = self._former, head if len(head) <= MAX_HEAD else b""
        if names is not self._names:
            self._names = names
            return
        changed = differing(head, former, self._special) if former and self._former else None
        if changed is None:
            self._former = b""
        elif changed:
            known = template.differing if template is not None else frozenset()
            self._template = Template(head, changed | known, request, self._special, self._forwarding)


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
