"""One request on its way through: what it waits for, what has become of it, and when.

An exchange waits for one thing at a time (its body, a slot, the end of the response). Whoever ends the wait calls
`wake`, `resume` or `fail`; the first failure is kept, so that a client that leaves in the very turn in which its slot
is granted is seen by the code that was granted it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from router.answer import respond
from router.drive import Driven
from router.errors import EdgeError, Reason, Unanswered
from router.table import OnDisconnect, Revision, Service

if TYPE_CHECKING:
    from router.counters import RevisionCounters
    from router.request import Request


SWITCHING = 101
NONE = Revision("", "")
NOWHERE = Service("", (), ())


class ClientGone(Exception):
    """The client left; there is nobody to answer."""


class Client(Protocol):
    """The client's connection, as an exchange uses it. Writing to a client that has left does nothing."""

    forwarding: tuple[bytes, bytes]
    """What is added to a request's head for this client: see `headers.forwarding`."""

    def write(self, data: bytes) -> None:
        """Send bytes of the response."""

    def write_eof(self) -> bool:
        """Close the sending side behind a tunnel's last byte; False when the connection cannot be half closed."""

    def abort(self) -> None:
        """Cut the connection, so that a response that has begun is seen to be incomplete."""

    def pause_reading(self) -> None:
        """Stop reading the request's body."""

    def resume_reading(self) -> None:
        """Read on."""

    def done(self, exchange: Exchange, now: float) -> None:
        """Take note that `exchange` has ended; go on to the next or close."""


class Carrier(Protocol):
    """The connection to a replica, as the client's side uses it."""

    def client_left(self) -> None:
        """Go on for nobody, or give up."""

    def pause_reading(self) -> None:
        """Stop reading the response."""

    def resume_reading(self) -> None:
        """Read on."""

    def check_clocks(self, now: float) -> None:
        """End the exchange if it has used up one of its clocks."""


class Exchange(Driven):
    """A request, its client and its fate. Times are clock seconds, 0.0 = not yet; `service` and `revision` are NOWHERE
    and NONE until they are known. It is `unwanted` once its client has left."""

    __slots__ = (
        "arrived",
        "body_bytes",
        "client",
        "counters",
        "dispatched",
        "draw",
        "first_byte",
        "keep_alive",
        "model",
        "reason",
        "request",
        "responded",
        "revision",
        "service",
        "status",
        "tagged",
        "unwanted",
        "upstream",
    )

    def __init__(self, request: Request, client: Client, now: float) -> None:
        self.request = request
        self.client = client
        self.arrived = now
        self.dispatched = 0.0
        self.draw: float | None = None  # of the split, in [0, 1), once there is one
        self.first_byte = 0.0
        self.keep_alive = request.keep_alive
        self.model = ""  # that it names, where that decides
        self.service = NOWHERE
        self.revision = NONE
        self.counters: RevisionCounters | None = None
        self.tagged = False
        self.upstream: Carrier | None = None
        self.failure = request.refusal
        self.unwanted = False
        self._waits = False
        self.responded = False  # a byte of the final response was written
        self.status = 0
        self.reason = ""
        self.body_bytes = 0

    def assign(self, service: Service, revision: Revision, tagged: bool) -> None:
        """Settle which revision answers. EdgeError (413) when it does not take so large a body."""
        self.service = service
        self.revision = revision
        self.tagged = tagged
        limit = revision.limits.max_body
        body = self.request.body
        if body is None:
            return
        if limit and (self.request.length or body.received) > limit:
            raise _too_large(limit)
        if not body.complete:
            body.limit = limit  # also when there is none: it may have waited for a revision that has one
            body.on_overflow = lambda: self.fail(_too_large(limit))

    @property
    def size(self) -> int:
        """Bytes that are kept while it waits: of its body, or of what came behind an offer to upgrade."""
        kept = self.request.body or self.request.upgrade
        return kept.size if kept is not None else 0

    @property
    def outlives_client(self) -> bool:
        """Whether the request was sent whole, to be finished whoever waits for the response."""
        body = self.request.body
        whole = self.upstream is not None and (body is None or body.complete) and self.request.upgrade is None
        return whole and self.revision.limits.on_disconnect is OnDisconnect.FINISH

    @property
    def switched(self) -> bool:
        """Whether the replica has accepted to talk WebSocket."""
        return self.status == SWITCHING

    def decline(self) -> None:
        """Take note that an offer to upgrade, if there is one, is not accepted: what came behind it cannot be read."""
        if self.request.upgrade is not None and self.request.upgrade.received:
            self.keep_alive = False

    def client_left(self) -> None:
        """Take note that nobody waits for the response. What was sent to a replica goes on until it is done, or is
        cancelled, as the revision's `on_disconnect` says."""
        self.unwanted = True
        if self.upstream is None or isinstance(self.failure, Unanswered):
            self.fail(ClientGone())
        else:
            self.upstream.client_left()

    def fail(self, error: Exception) -> None:
        """End the wait, or the next one, with `error`; the first failure counts, unless it would only be a reason to
        try again. What the replica says from then on is not heard: to begin an answer is to have it cut."""
        if isinstance(self.failure, Unanswered):
            self.failure = error
        else:
            super().fail(error)
            if self.upstream is not None:
                self.upstream.pause_reading()

    def refuse(self, error: EdgeError, now: float) -> None:
        """Answer with the edge's own error, or cut the response if one has begun."""
        self.reason = error.reason
        body = self.request.body
        if self.responded:
            self.keep_alive = False
            if not self.switched:
                self.client.abort()
            return
        self.decline()
        if body is not None and not body.complete:
            body.discard()
            self.keep_alive = False
        self.status = error.status
        self.responded = True
        facts: dict[str, object] = {}
        if self.revision is not NONE:
            waited = round(now - self.arrived, 3)
            facts = {"service": self.service.name, "revision": self.revision.name, "waited_seconds": waited}
        self.client.write(respond(error, self.request, facts, keep_alive=self.keep_alive))


def _too_large(limit: int) -> EdgeError:
    return EdgeError(Reason.BODY_TOO_LARGE, f"The body is larger than the {limit} bytes that this service takes.")
