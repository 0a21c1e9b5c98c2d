"""A head that is like the one before it but for a few values: a length, a date, a trace, an id, a target.

What is the same is compared, what differs is checked by itself, and what comes of the rest is known. Most clients that
keep their connection send such heads, and most models answer so. A verdict is never made here: heads like that have
been accepted, and whatever does not fit goes the ordinary way.

User instructions of a POST as OpenAI's client sends it, with another id each time, that is answered with another length
and another id, counted by callgrind when this was made: 183,000 when both heads are looked at as a whole, 113,000 so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from router.repeats import LONGEST_KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MAX_DIGITS = 9
TARGET = rb"/[!\x22$&-~]*+(?:%(?![01]|7[Ff])[!\x22$&-~]*+)*+"
FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~][ -~]*+(?<! )\r\n"
LENGTH = b"content-length"
_VALUES = {b"": re.compile(TARGET), LENGTH: re.compile(rb"[0-9]{1,%d}+" % MAX_DIGITS)}
_VALUE = re.compile(rb"[!-~][ -~]*+(?<! )")
PATIENCE = 8  # heads in a row that are not like the one before, until no more are compared
_END = b"\r\n"


class Line(NamedTuple):
    """A line of a head: the `name` of its field in lower case, "" = it is the first one; the value (of a request line,
    the target), what comes before and behind it, and what of that is sent on, None = nothing."""

    name: bytes
    value: bytes
    came: tuple[bytes, bytes]
    sent: tuple[bytes, bytes] | None


def fields_of(lines: list[bytes], gone: Collection[bytes]) -> list[Line]:
    """Return the lines of fields (NAME: VALUE), of which those that are `gone` are not sent on."""
    found = []
    for line in lines:
        spelled, colon, value = line.partition(b": ")
        name, around = spelled.lower(), (spelled + colon, _END)
        found.append(Line(name, value, around, None if name in gone else around))
    return found


class Template:
    """Heads with these lines, of which those with the numbers `differing` may have other values."""

    __slots__ = ("_first", "_gaps", "_length", "_sent", "differing")

    def __init__(self, lines: list[Line], differing: frozenset[int]) -> None:
        self.differing = differing
        self._length = b""
        came, sent, values = [b""], [b""], []
        for number, line in enumerate(lines):
            before, behind = line.sent or (b"", b"")
            came[-1] += line.came[0]
            sent[-1] += before
            if number in differing:
                values.append((_VALUES.get(line.name, _VALUE), line.name == LENGTH, line.sent is not None))
                came.append(line.came[1])
                sent.append(behind)
            else:
                came[-1] += line.value + line.came[1]
                sent[-1] += line.value + behind if line.sent else b""
                self._length = line.value if line.name == LENGTH else self._length
        came[-1] += _END
        self._first, self._sent = came[0], sent[0]
        self._gaps = list(zip(values, came[1:], sent[1:], strict=True))

    def fill(self, data: bytes) -> tuple[list[bytes], bytes, int] | None:
        """Take `data` if it is one message with such a head, and all of its body behind it: return the pieces that are
        sent on, the length that it declares (b"" = none), and where its body begins."""
        if not data.startswith(self._first):
            return None
        at, length, pieces = len(self._first), self._length, [self._sent]
        for (value, is_length, passes), behind, sent in self._gaps:
            found = value.match(data, at)
            if found is None:
                return None
            at = found.end()
            if not data.startswith(behind, at):
                return None
            at += len(behind)
            if is_length:
                length = found[0]
            pieces += (found[0], sent) if passes else (sent,)
        if len(data) - at != int(length or 0) or at > LONGEST_KEPT:
            return None
        return pieces, length, at


class Likeness:
    """What the heads of one connection have in common. `template` is for the next one, None = there is none."""

    __slots__ = ("_former", "_vain", "template")

    def __init__(self) -> None:
        self.template: Template | None = None
        self._former = b""
        self._vain = 0

    def study(self, head: bytes, lines_of: Callable[[bytes], list[Line] | None]) -> bool:
        """Compare a head that was looked at, and accepted, with the one before; tell whether there is a new template.
        `lines_of` takes such a head to pieces, None = there is more to it."""
        template, self.template = self.template, None
        former, self._former = self._former, b""
        if len(head) > LONGEST_KEPT or self._vain >= PATIENCE:
            return False
        self._former = head
        if not former:
            return False
        lines, others = lines_of(head), lines_of(former)
        changed = _differing(lines, others) if lines and others else None
        if lines is None or changed is None:
            self._vain += 1
        elif changed:
            self._vain = 0
            self.template = Template(lines, changed | (template.differing if template is not None else frozenset()))
        return self.template is not None


def _differing(lines: list[Line], others: list[Line]) -> frozenset[int] | None:
    """Return the numbers of the lines that have other values; None when more than that differs, or a value of those
    that are not sent on, the length apart."""
    if len(lines) != len(others):
        return None
    changed = {number for number, pair in enumerate(zip(lines, others, strict=True)) if pair[0] != pair[1]}
    for number in changed:
        line, other = lines[number], others[number]
        if line._replace(value=b"") != other._replace(value=b"") or not (line.sent or line.name == LENGTH):
            return None
    return frozenset(changed)
