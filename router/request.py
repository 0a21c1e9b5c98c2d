"""A request as the path sees it: a checked head, and its body as it comes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router.headers import values

if TYPE_CHECKING:
    from router.body import Body
    from router.errors import EdgeError


_FIELD = re.compile(rb"([^:]+): ([^\r]+)\r\n")


class Request:
    """The head of a request, and its body as it comes (None = it has none).

    `lines` are the fields that pass untouched, in pieces that can be joined (name, colon, value, line end), or `fields`
    has all of them, where they never had to be taken apart; `special` are those that the edge looks at, as (lower-case
    name, value). `length` is the declared body length, None when it is chunked; `host` is the authority the request is
    for, from the Host field or from an absolute-form target, which is cut to its origin form (RFC 9112 3.2.2).
    `upgrade` is what the client sends behind an offer to upgrade to WebSocket, None when it makes none that may be
    accepted; those bytes are not HTTP and never parsed. `id` is its name in logs, if it has one; `forwarded` the
    forwarding fields that go upstream, where they are not its connection's; `refusal` how the edge itself answers it,
    if that is clear from its head; `trailers` tells whether the client takes them, `ordinary` that nothing about it is
    special: HTTP/1.1 without chunks, upgrade, trailers or expectation, on a connection that stays open, and not HEAD.
    `sent` is the head that went upstream, once it did.
    """

    __slots__ = (
        "body",
        "expects_continue",
        "fields",
        "forwarded",
        "host",
        "id",
        "keep_alive",
        "length",
        "lines",
        "method",
        "ordinary",
        "refusal",
        "sent",
        "special",
        "target",
        "trailers",
        "upgrade",
        "version",
    )

    def __init__(
        self, method: bytes, target: bytes, lines: list[bytes], special: list[tuple[bytes, bytes]], keep_alive: bool
    ) -> None:
        self.method = method
        self.target = target
        self.version = "1.1"
        self.lines = lines
        self.fields = b""
        self.special = special
        self.keep_alive = keep_alive
        self.host = b""
        self.length: int | None = 0
        self.expects_continue = False
        self.trailers = False
        self.body: Body | None = None
        self.upgrade: Body | None = None
        self.id = b""
        self.forwarded = b""
        self.refusal: EdgeError | None = None
        self.sent = b""
        self.ordinary = False

    @property
    def head_size(self) -> int:
        """About how many bytes its head takes."""
        special = sum(len(value) for _, value in self.special)
        return len(self.target) + len(self.fields) + sum(map(len, self.lines)) + special

    def declare(self, length: int) -> None:
        """Give a body that came in chunks its length, as all of it is here: there are models that read no chunks."""
        self.length = length
        self.lines += (b"Content-Length", b": ", b"%d" % length, b"\r\n")

    def again(self) -> Request:
        """Return a request with this head, for a body of its own."""
        request = Request(self.method, self.target, self.lines, self.special, self.keep_alive)
        request.fields = self.fields
        request.host = self.host
        request.length = self.length
        request.sent = self.sent
        request.ordinary = self.ordinary
        return request

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field (lower case) that passes untouched."""
        if self.fields:
            return [value for spelled, value in _FIELD.findall(self.fields) if spelled.lower() == name]
        return values(self.lines, name)

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a special field (lower case), None when it is absent."""
        for lower, value in self.special:
            if lower == name:
                return value
        return None


def ordinary(method: bytes, target: bytes, host: bytes, fields: bytes, special: list[tuple[bytes, bytes]]) -> Request:
    """Return a request with a head that is ordinary, and taken as it is."""
    request = Request(method, target, [], special, True)
    request.host = host
    request.fields = fields
    request.ordinary = True
    return request
