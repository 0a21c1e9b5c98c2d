"""The memory that bodies of held and uploading requests take, over all revisions, shared fairly.

A revision may have as much as is still free (dynamic thresholds, Choudhury and Hahne 1998): alone it gets half of the
limit, two get a third each. So one that hogs leaves room for the others, and the limit holds over all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class Buffers:
    """Bytes by revision. `limit` bounds their sum (0 = none)."""

    def __init__(self) -> None:
        self.limit = 0
        self.total = 0
        self.by_revision: dict[str, int] = {}
        self._kept: dict[Hashable, tuple[str, int]] = {}

    def keep(self, owner: Hashable, revision: str, size: int) -> bool:
        """Count `size` bytes for `owner`, instead of what it had before. False, and nothing is counted, when that was
        less and there is no room for them."""
        _, before = self._kept.get(owner, ("", 0))
        self.release(owner)
        if size > before and self.limit and self.by_revision.get(revision, 0) + size > self.limit - self.total:
            return False
        self._kept[owner] = (revision, size)
        self._add(revision, size)
        return True

    def release(self, owner: Hashable) -> None:
        """Count nothing more for `owner`."""
        kept = self._kept.pop(owner, None)
        if kept is not None:
            self._add(kept[0], -kept[1])

    def _add(self, revision: str, size: int) -> None:
        self.total += size
        left = self.by_revision.get(revision, 0) + size
        if left:
            self.by_revision[revision] = left
        else:
            self.by_revision.pop(revision, None)
