"""A model's output on disk."""

from __future__ import annotations

import os
from pathlib import Path


class Log:
    """A model's output on disk, of at most `limit` bytes: half in the file, half in the one before it (`.1`).

    A full disk or a missing directory costs output, never the model.
    """

    def __init__(self, path: str, limit: int) -> None:
        self._path = Path(path)
        self._half = max(limit // 2, 1)
        self._file: int | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append `data`; what does not fit in one file is cut at its front."""
        data = data[-self._half :]
        try:
            if self._file is not None and self._size + len(data) > self._half:
                self._rotate()
            if self._file is None:
                self._open()
            self._size += os.write(self._file, data) if self._file is not None else 0
        except OSError:
            return

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        self._size = 0

    def _rotate(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._path.replace(f"{self._path}.1")
