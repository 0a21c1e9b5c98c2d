"""A request as the path sees it: a checked head, and its body as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.body import Body

Header = tuple[bytes, bytes, bytes]
"""A header field: (lower-case name, name as received, value)."""


class Request:
    """The head of a request, and its body as it comes (None = it has none).

    `length` is the declared body length, None when it is chunked; `host` is the authority it is for, from the Host
    header or from an absolute-form target, which is cut to its origin form (RFC 9112 3.2.2).
    """

    __slots__ = ("body", "expects_continue", "headers", "host", "keep_alive", "length", "method", "target", "version")

    def __init__(self, method: bytes, target: bytes, version: str, headers: list[Header], *, keep_alive: bool) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.host = b""
        self.length: int | None = 0
        self.expects_continue = False
        self.body: Body | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of `name` (lower case), None when it is absent."""
        for lower, _, value in self.headers:
            if lower == name:
                return value
        return None
