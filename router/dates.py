"""The date of a message, which whoever makes one writes, and whoever passes one on adds where it is missing (RFC 9110
6.6.1). It is written once a second, and nothing is decided by it."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache


def date_line() -> bytes:
    """Return the field line that gives the present time."""
    return _line(int(time.time()))


@lru_cache(maxsize=2)
def _line(seconds: int) -> bytes:
    return b"Date: %s\r\n" % formatdate(seconds, usegmt=True).encode()
