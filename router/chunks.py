"""The chunks of a body, as far as llhttp does not tell: where the last one ends, and what they take beside their data.

A body in chunks has to end with what is fed to the parser, so that its bytes can be counted. It ends with the first
blank line behind the last chunk, but data may be full of blank lines; so chunks are followed by their sizes. Whether a
chunk is sound is for llhttp to say.
"""

from __future__ import annotations

import re

from router.errors import EdgeError, Reason

MAX_EXTENSIONS = 4 << 10
TINY = 16
MANY = 1024
_LARGEST = 1 << 63
_DIGITS = 17  # which are more than that, whatever follows
_BESIDES = 12  # bytes that a chunk may take beside its data: its size, and two line ends
_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class Chunks:
    """The chunks of one body. `count` is how many have begun."""

    __slots__ = ("_last", "_left", "_size", "count")

    def __init__(self) -> None:
        self.count = 0
        self._left = 0  # bytes of the present chunk that are still to come, with the line end behind them
        self._size = b""  # what has come of a line with a size, as far as it matters
        self._last = False  # the last chunk has come, only trailers follow

    def follow(self, data: bytes, at: int) -> int:
        """Return where the last chunk's size ends in `data`, which goes on at `at` where it ended before; its length if
        the last chunk is still to come. EdgeError for a chunk of 2^63 bytes or more (RFC 9112 7.1)."""
        while at < len(data) and not self._last:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            self._size = (self._size + data[at : end or len(data)]).lstrip(b"0")[:_DIGITS]
            at = end or len(data)
            if end:
                self._begin()
        return at

    def check(self, size: int, received: int) -> None:
        """Check what a body of `size` bytes has taken beside the `received` ones of its data. EdgeError if that is too
        much (RFC 9112 7.1.1)."""
        if self.count > MANY and self.count * TINY > received:
            raise EdgeError(Reason.BAD_REQUEST, "The body comes in too many tiny chunks.")
        if size - received - _BESIDES * self.count > MAX_EXTENSIONS:
            raise EdgeError(
                Reason.BAD_REQUEST, f"The body has more than {MAX_EXTENSIONS} bytes of chunk extensions and trailers."
            )

    def _begin(self) -> None:
        """Begin a chunk by its line; a line without a size is llhttp's to refuse."""
        found, self._size = _SIZE.match(self._size), b""
        size = int(found[0], 16) if found is not None else 0
        if size >= _LARGEST:
            raise EdgeError(Reason.BAD_REQUEST, "A chunk of the body is larger than can be.")
        self._last = not size
        self._left = size + 2
