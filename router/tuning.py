"""Settings of the interpreter and the allocator for a process that relays: made once, at start."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MiB = 1 << 20


def tune() -> None:
    """Leave alone what exists already, and keep freed memory.

    The collector need not look again at what was made at start. glibc by default gives memory back to the kernel and
    takes it again for each large read, which costs more than half of the CPU of a large response; other allocators
    ignore this.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 16 * _MiB)
        libc.mallopt(_M_TOP_PAD, 4 * _MiB)
        libc.mallopt(_M_MMAP_THRESHOLD, 64 * _MiB)
