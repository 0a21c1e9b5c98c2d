"""A message whose head is that of the one before it, byte by byte, is not parsed again.

Clients that keep their connection tend to repeat themselves: probes, pollers, load balancers, whoever sends tensors of
one shape. So do models: their heads change with the length of a body, and once a second with the date. To translate
heads is two fifths of a small request, and a translation depends on nothing but the head's bytes and what is settled
for its connection. User instructions of a small GET, counted by callgrind when this was made: 100,000 when both heads
are translated, 90,000 when the response's alone is repeated, and 59,000 when both are.

Only a verdict is kept here, never made: the parser and the guard have accepted the head, and found nothing out of the
ordinary. It counts for the next read only, if that is one whole message; any other goes the ordinary way, and what was
known is forgotten. It takes about four times the head's bytes of memory for each connection, and nine times with what
`template` keeps of heads that differ.
"""

from __future__ import annotations

from typing import Generic, TypeVar

LONGEST_KEPT = 4 << 10  # bytes that are kept for a connection
_END = b"\r\n\r\n"

T = TypeVar("T")


class Last(Generic[T]):
    """The last message on a connection, if it came whole in one read. A read of `size` bytes (0 = of none) that begins
    with `head` is a message with the same head and a body of the same length; `translation` is what became of it."""

    __slots__ = ("_before", "head", "size", "translation")

    translation: T

    def __init__(self) -> None:
        self.head = b""
        self.size = 0
        self._before = b""

    def learn(self, data: bytes, length: int) -> bool:
        """Tell whether to know a message for which the parser took all of `data`, from its first byte, to the last one
        of its body of `length` bytes; its translation is then to be set. It has to have come twice: else they do not
        repeat."""
        end = len(data) - length
        head = data[:end] if len(_END) <= end <= LONGEST_KEPT else b""
        if head != self._before:
            self._before = head
            return False
        if head.find(_END) != end - len(_END):
            return False  # there is more in it than a head and its body
        self.head = self._before  # the same bytes, kept once
        self.size = len(data)
        return True
