"""What the owner of admission and those who claim from it tell each other: version 6, documented in docs/peers.md.

Each side has one role. The *owner* has the queues of its revisions, and tells capacity. A *claimer* has clients; it
asks for slots, and tells what it counted. Neither knows how messages travel: they are plain values, in order, in frames
of those of one loop turn, or a few (see wire). Times are seconds on the owner's clock, which all processes of one
machine share; a transport between machines has to translate them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from activator.terms import Copy, Terms  # noqa: TC001 - the decoder reads the annotations
from router.ports import Endpoint, StartStatus, UpstreamTls  # noqa: TC001
from router.table import Table  # noqa: TC001

VERSION = 6


class Message(Struct, array_like=True, gc=False):
    """An element of a frame: an array that begins with its class's tag."""


class Hello(Message, tag=0):
    """Claimer: the first message."""

    version: int


class Configure(Message, tag=1):
    """Owner: serve by these terms from now on; answered by Configured. Who does not serve yet begins by the `copies` of
    the certificates, as their files may be bad by now."""

    terms: Terms
    copies: tuple[Copy, ...] = ()


class Configured(Message, tag=2):
    """Claimer: the terms are in force; or `problem` says which certificate cannot be used. Who serves does so by its
    former ones then, and else by the new terms; who does not serve yet waits to be told once more."""

    problem: str = ""


class Snapshot(Message, tag=3):
    """Owner: a revision's capacity, which replaces the former; replicas that are `ending` get no more requests, but
    still run some. `free` = the claimer may choose replicas of an unlimited revision itself, and keep slots for its
    next requests; else each request is a claim. Answered by Applied."""

    version: int
    revision: str
    endpoints: tuple[Endpoint, ...]
    ending: tuple[str, ...]
    start: StartStatus
    tls: dict[str, UpstreamTls]
    free: bool


class Applied(Message, tag=4):
    """Claimer: the snapshot is in force. What runs by its own choice was told before this in a Count."""

    version: int
    revision: str


class Drained(Message, tag=5):
    """Claimer: a replica that was missing in the snapshot `version`, or any such if it is "", runs nothing of this
    claimer any more."""

    version: int
    revision: str
    replica: str


class Poke(Message, tag=6):
    """Claimer: a request's body is coming for a revision without a replica; one should be started."""

    revision: str


class Claim(Message, tag=7):
    """Claimer: a request waits for a slot. `claim` is unique within the claimer; `arrived` sets its place in the queue,
    also when it comes `back` because the replica it was granted could not be connected, or another owner may not know
    of it: then it is not refused for want of room. `size` is bytes of its body."""

    claim: int
    revision: str
    arrived: float
    size: int
    back: bool = False


class Grant(Message, tag=8):
    """Owner: the claim has a slot on a replica, which stays taken until it is released. Between edges `epoch` says
    which of the claimer's views of its peers the grant answers (see pacts)."""

    claim: int
    revision: str
    endpoint: Endpoint
    epoch: int = 0


class Refuse(Message, tag=9):
    """Owner: the claim gets this error (see router.errors)."""

    claim: int
    reason: str
    message: str
    retry_after: float | None
    detail: dict[str, Any]


class Bar(Message, tag=20):
    """Owner: a Poke came to nothing; requests whose body is coming for this revision get this error."""

    revision: str
    reason: str
    message: str
    retry_after: float | None


class Move(Message, tag=10):
    """Owner: the claim's revision has left the table; its request is to be resolved again."""

    claim: int


class Withdraw(Message, tag=11):
    """Claimer: nobody waits for the claim any more. If it crosses the Grant, the slot is released instead."""

    claim: int


class Release(Message, tag=12):
    """Claimer: so many slots on a replica are free again."""

    revision: str
    endpoint: Endpoint
    slots: int = 1


class Recall(Message, tag=21):
    """Owner: others wait who `arrived` then, in that order; for each a slot of the revision is to come back, once one
    is free and nobody who came before waits here. It replaces the former one, and a slot released is the first's."""

    revision: str
    arrived: tuple[float, ...]


class Avoid(Message, tag=13):
    """Claimer: a replica could not be connected, or broke; send nothing there for so many seconds."""

    revision: str
    endpoint: Endpoint
    seconds: float


class Count(Message, tag=14):
    """Claimer: a revision's traffic since the last Count, until `at`, and its state then (see router.ports).

    `area` is request-seconds, `requests` arrivals. The rest is added to totals: requests that ended, by reason; how
    long they took, by status, and how long they were held (histograms: counts per bucket, sum of seconds); how many a
    fallback answered; the tally of a revision that is compared with another (answered, failed, durations by bucket).
    """

    revision: str
    at: float
    area: float
    requests: int
    open: int
    idle_since: float | None
    tagged_open: int
    tagged_since: float | None
    busy: dict[str, int]
    reasons: dict[str, int]
    durations: dict[int, tuple[list[int], float]]
    holds: tuple[list[int], float]
    fallbacks: int = 0
    tally: tuple[int, int, dict[int, int]] | None = None


class Beat(Message, tag=15):
    """Claimer: it lives, a few times a second. `connections` are its clients, `places` how many it can take; the rest
    is added to totals."""

    connections: int
    places: int
    refusals: dict[str, int]
    defects: int
    dropped: int
    stalls: int = 0


class Neighbours(Message, tag=16):
    """Owner: the fewest connections that another claimer has, and whether one of them can take more; None = there is
    no other."""

    fewest: int | None
    room: bool


class Renew(Message, tag=17):
    """Owner: read the files of certificates again; the terms stay."""


class Occupy(Message, tag=22):
    """Claimer: so many requests that it began by its own choice run on a replica. From now on they count as slots that
    it was granted, and releases. Told before the Applied of a strict snapshot of a revision with a limit."""

    revision: str
    endpoint: Endpoint
    slots: int


class Lead(Message, tag=19):
    """Owner: lead requests by this table from now on; the other terms stay."""

    table: Table


class Drain(Message, tag=18):
    """Owner: accept nothing more, end what runs within so many seconds, then leave."""

    seconds: float


ToOwner = Hello | Configured | Applied | Drained | Poke | Claim | Withdraw | Release | Occupy | Avoid | Count | Beat
OfAdmission = Snapshot | Grant | Refuse | Bar | Move | Recall
ToClaimer = Configure | OfAdmission | Neighbours | Renew | Lead | Drain
