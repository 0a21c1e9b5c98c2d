"""Responses whose head is known from those before, on the connection to a replica: it is the same, or like it."""

from __future__ import annotations

import re
from typing import NamedTuple

from router.headers import IN_RESPONSE, STATUS_LINES
from router.repeats import Last
from router.template import FIELD, LENGTH, Likeness, Line, fields_of

BODYLESS = frozenset((204, 304))
_HEAD = re.compile(rb"(HTTP/1\.1 [2-5][0-9]{2} [ -~]*+\r\n)((?:" + FIELD + rb")*+)\r\n")
_GONE = frozenset((b"connection", b"keep-alive", LENGTH))
_PLAIN = _GONE | {b"", b"date"}


class Answer(NamedTuple):
    """A whole response to an ordinary request: its status, what goes to the client of its head, whether there is a date
    in it, and where the body begins."""

    status: int
    head: bytes
    dated: bool
    body: int


class Known:
    """What is known of the heads on one connection. Only a verdict of the parser is kept here, never made."""

    __slots__ = ("_last", "_like", "_likeness")

    _like: tuple[int, bool]  # of the template's kind: the status, and whether there is a date

    def __init__(self) -> None:
        self._last: Last[Answer] = Last()
        self._likeness = Likeness()

    def take(self, data: bytes) -> Answer | None:
        """Return what the whole response is that `data` is; None when it has to be parsed."""
        last = self._last
        if len(data) == last.size and data[: len(last.head)] == last.head:
            return last.translation
        last.size = 0
        template = self._likeness.template
        if template is None or (filled := template.fill(data)) is None:
            return None
        pieces, length, body = filled
        pieces += (b"Content-Length: ", length, b"\r\n")
        status, dated = self._like
        return Answer(status, b"".join(pieces), dated, body)

    def learn(self, data: bytes, answer: Answer) -> None:
        """Take note of an answer that the parser made of `data`; its body has the length that it declares."""
        if self._last.learn(data, len(data) - answer.body):
            self._last.translation = answer
        if answer.status not in BODYLESS and self._likeness.study(data[: answer.body], _lines_of):
            self._like = answer.status, answer.dated


def _lines_of(head: bytes) -> list[Line] | None:
    found = _HEAD.fullmatch(head)
    if found is None:
        return None
    first, fields = found.groups()
    lines = fields_of(fields.split(b"\r\n")[:-1], _GONE)
    for line in lines:
        name = IN_RESPONSE[line.name]
        if name not in _PLAIN or (name == b"connection" and line.value.lower() != b"keep-alive"):
            return None
    return [Line(b"", b"", (first, b""), (STATUS_LINES[int(first[9:12])], b"")), *lines]
