"""Settings of the interpreter and the allocator for a process that relays: made once, at start."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MiB = 1 << 20
_RARELY = 200  # instead of 10: what is left of that many collections of the young is a million objects


def tune() -> None:
    """Leave alone what exists already, look rarely at all the rest, and keep freed memory.

    The collector need not look again at what was made at start. To look at everything that 2,500 connections are made
    of takes it 40 ms, in which nobody is served; nearly all of that goes without its help when they end. glibc by
    default gives memory back to the kernel and takes it again for each large read, which costs more than half of the
    CPU of a large response; other allocators ignore this.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _RARELY)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 16 * _MiB)
        libc.mallopt(_M_TOP_PAD, 4 * _MiB)
        libc.mallopt(_M_MMAP_THRESHOLD, 64 * _MiB)
