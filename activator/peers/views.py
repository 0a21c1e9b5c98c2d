"""Who owns admission to a revision, and when it may grant: edges agree on who they are before any of them acts.

The owner is the edge with the highest hash of its name and the revision's (rendezvous hashing), so that an edge that
joins or leaves moves only what it gains or had. An edge that fell silent without being known to be gone stays what it
was: it may be alive where we cannot see it, and grant. What it owns is held, what others own goes on without it.

Edges may learn of a loss at different moments, and two that saw different edges could both take themselves for the
owner. So an edge acts by its view only while every edge in it has said that it sees the same, and that it has heard of
this very view (its epoch). Of two connected edges that act, both act by the same view: the one that moved on had to
stop first, to let the other one hear of it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

Names = frozenset[str]


class Announced(NamedTuple):
    """The last view that a peer told, and the epoch of ours that it has heard since."""

    members: Names
    lost: Names
    epoch: int
    seen: int = 0

    @property
    def known(self) -> Names:
        """All edges that are not gone."""
        return self.members | self.lost


class Views:
    """The view of the edge `me`: `members` are those with whom it is connected, `lost` those that fell silent."""

    def __init__(self, me: str) -> None:
        self.me = me
        self.members: Names = frozenset((me,))
        self.lost: Names = frozenset()
        self.epoch = 1
        self._announced: dict[str, Announced] = {}

    def see(self, members: Names, lost: Names) -> None:
        """Take a new view."""
        self.members, self.lost = members | {self.me}, lost
        self.epoch += 1
        self._announced = {name: each for name, each in self._announced.items() if name in members}

    def heard(self, peer: str, announced: Announced) -> Names:
        """Take a peer's view; return who is lost to us, and gone as that peer has found out."""
        before = self._announced.get(peer)
        self._announced[peer] = announced
        return frozenset() if before is None else (before.known - announced.known) & self.lost

    def acknowledged(self, peer: str, epoch: int) -> None:
        """Take note that a peer has heard our view of that epoch."""
        if peer in self._announced:
            self._announced[peer] = self._announced[peer]._replace(seen=epoch)

    def agrees(self, peer: str) -> bool:
        """Tell whether a peer has the same view, as far as we know: it takes claims, even if others do not yet."""
        announced = self._announced.get(peer)
        return announced is not None and (announced.members, announced.lost) == (self.members, self.lost)

    def epoch_of(self, peer: str) -> int:
        """Return the epoch of a peer's last view; 0 = none was heard."""
        return self._announced[peer].epoch if peer in self._announced else 0

    @property
    def agreed(self) -> bool:
        """Whether this edge may act by its view."""
        return all(self.agrees(peer) and self._announced[peer].seen == self.epoch for peer in self.members - {self.me})

    def owner(self, revision: str) -> str:
        """Return the owner of a revision by the present view; it may be one that is lost."""
        return owner(revision, self.members | self.lost)


def owner(revision: str, edges: Names) -> str:
    """Return the edge with the highest hash for `revision`."""
    return max(edges, key=lambda name: (_weight(revision, name), name))


def _weight(revision: str, name: str) -> bytes:
    return blake2b(f"{name}\0{revision}".encode(), digest_size=8).digest()
