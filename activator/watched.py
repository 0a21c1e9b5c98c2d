"""Which files the configuration was read from, and whether one of them has changed since.

Files are compared by what `stat` tells of them, so that one that is replaced, edited or removed is seen, on any file
system, also through the symbolic links of a mounted ConfigMap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.stamps import Stamp, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Watched:
    """A set of files, as they were when they were last read."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._seen: dict[Path, Stamp | None] = {path: stamp(path) for path in files}
        self._last = self._seen

    def changed(self) -> bool:
        """Tell whether a file is not as it was read, and all are as they were at the last look: one that is being
        written is left alone until that is done."""
        found = {path: stamp(path) for path in self._seen}
        settled, self._last = found == self._last, found
        return settled and found != self._seen

    def read(self) -> None:
        """Take note that all files are being read now."""
        self._seen = {path: stamp(path) for path in self._seen}

    def follow(self, files: Iterable[Path]) -> None:
        """Watch `files` from now on; those watched already are as they were when they were last read."""
        self._seen = {path: self._seen[path] if path in self._seen else stamp(path) for path in files}

    def follow_also(self, files: Iterable[Path]) -> None:
        """Watch `files` beside those that are watched. Nobody knows how they were when they were read: those that are
        there have changed."""
        self._seen = dict.fromkeys(files) | self._seen
