"""What edges on several machines tell each other besides the messages of claims: version 4, see docs/peers.md.

Any two edges have one connection, on which each may be owner and claimer at once, for different revisions. Times are
seconds on the sender's clock; whoever hears them puts them on its own (see clocks).
"""

from __future__ import annotations

from activator.peers import messages as m
from router.ports import Endpoint  # noqa: TC001 - the decoder reads the annotations

VERSION = 4
NONCE_BYTES = 32


class Greet(m.Message, tag=40):
    """Who dials: its name among the edges, and a nonce."""

    version: int
    name: str
    nonce: bytes
    at: float


class Challenge(m.Message, tag=41):
    """Who was dialled: its name, a nonce, and the proof that it has the secret."""

    version: int
    name: str
    nonce: bytes
    proof: bytes
    at: float


class Proof(m.Message, tag=42):
    """Who dials: the proof that it has the secret, too. `ahead` is how far its clock is ahead of the other one's."""

    proof: bytes
    ahead: float


class Pulse(m.Message, tag=43):
    """It lives, a few times a second; and whether it is the leader. `heard` is the `at` of the other's last pulse,
    which came `after` seconds before this was sent (None = none came yet)."""

    at: float
    heard: float | None
    after: float
    leads: bool


class View(m.Message, tag=44):
    """Which edges it has connections with, itself included, and which it has `lost` without knowing that they are
    gone. It begins nothing of limited revisions before all it is connected with see the same. `epoch` counts its views.
    `running` is what it has running in slots that the other one owns if this view holds; it replaces all that was
    granted before."""

    epoch: int
    members: frozenset[str]
    lost: frozenset[str]
    running: list[tuple[str, Endpoint, int]]


class Seen(m.Message, tag=45):
    """It has heard the other's view of this epoch, and claimed what waits if it sees the same. Said again after each
    View of its own."""

    epoch: int


class Told(m.Message, tag=46):
    """To a new leader: all that is open here was told."""


class Farewell(m.Message, tag=47):
    """It leaves in order, and runs nothing any more."""


ToPeer = (
    Greet
    | Challenge
    | Proof
    | Pulse
    | View
    | Seen
    | Told
    | Farewell
    | m.Claim
    | m.Withdraw
    | m.Release
    | m.Avoid
    | m.Grant
    | m.Refuse
    | m.Move
    | m.Snapshot
    | m.Applied
    | m.Drained
    | m.Count
    | m.Poke
)
