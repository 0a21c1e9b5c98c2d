"""The routing table: an immutable snapshot of services, revisions and limits, replaced whole on reload."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MiB = 1 << 20


class OnDisconnect(StrEnum):
    """What to do when a client leaves after its request was sent to a replica."""

    CANCEL = "cancel"  # close the upstream connection at once
    FINISH = "finish"  # await and discard the answer; the slot stays taken until then


class Probes(StrEnum):
    """How questions for a model's readiness and metadata are answered while it has no replica."""

    READY = "ready"  # by the edge: it can be asked, though the first request will be held
    NOT_READY = "not-ready"  # by the edge
    WAKE = "wake"  # by the model, as all other requests


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one revision. Times in seconds, 0 = no limit; sizes in bytes.

    `container_concurrency` is a hard limit per replica (0 = none). The four clocks: `hold` runs from the end of the
    request's head until it is sent to a replica; `first_byte` from the last byte that was sent of it to the response's
    head; `idle` between two pieces of a response, or of either direction of a WebSocket; `total` from dispatch to the
    last byte. `max_wakes` is per minute, over the whole service; 0 = no limit. `retry_unanswered` = a request that
    changes nothing is sent once more when a kept connection ends without an answer.
    """

    container_concurrency: int = 0
    queue_depth: int = 1000
    queue_bytes: int = 64 * MiB
    max_body: int = 1024 * MiB
    hold: float = 600.0
    first_byte: float = 300.0
    idle: float = 0.0
    total: float = 0.0
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    max_wakes: int = 0
    retry_unanswered: bool = True


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a service. `name` is unique over all services. The answers of one that is `compared` with another
    are counted in more detail (`tally.Tally`); the number is of the comparison, 0 = none."""

    name: str
    service: str
    limits: Limits = Limits()
    compared: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A revision's part of its service's traffic: `percent` 0..100 (they sum to 100), reachable by `tag` if it has
    one. While the revision has no replica, `fallback` answers for it (None = its requests are held); a request that
    asks for the tag is always held."""

    revision: Revision
    percent: int
    tag: str | None = None
    fallback: Revision | None = None


class Key(StrEnum):
    """What makes two requests those of one client."""

    HEADER = "header"
    COOKIE = "cookie"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Sticky:
    """By what clients are told apart, so that one client's requests get the same draw; `name` of the header (lower
    case) or cookie."""

    key: Key
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Service:
    """What a host and path lead to.

    `hosts` are lower-case names without a port. `paths` are prefixes that match whole segments; none = every path.
    `show_revision` adds the revision's name to responses; `tag_header` lets a request choose a share by header as well
    as by `tag-host`. `models` are the names by which requests choose among the services that share a host and path; a
    service that is alone there may take requests for `other_models`, too.
    With `sticky`, a client's requests keep to one share; without it, each is drawn anew.
    """

    name: str
    hosts: tuple[str, ...]
    shares: tuple[Share, ...]
    paths: tuple[str, ...] = ()
    show_revision: bool = False
    tag_header: bool = True
    models: tuple[str, ...] = ()
    other_models: bool = False
    sleeping_probes: Probes = Probes.READY
    sticky: Sticky | None = None


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds of the edge as a whole. Times in seconds, sizes in bytes, 0 = none.

    `connections` is lowered to what the descriptors suffice for. `body_rate` is the least number of bytes a second of a
    request's body; `write` how long a client may take nothing of its response; `keep_alive` how long one may ask for
    nothing; `buffered` what the bodies of held and uploading requests may take together; `max_wakes` is per minute.
    """

    connections: int = 0
    connections_per_source: int = 0
    body_rate: int = 1 << 10
    write: float = 60.0
    keep_alive: float = 60.0
    buffered: int = 256 * MiB
    max_wakes: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """All services. Hosts and paths do not overlap between services, but for those that have models (the catalog checks
    it)."""

    services: tuple[Service, ...] = ()
    limits: EdgeLimits = EdgeLimits()
