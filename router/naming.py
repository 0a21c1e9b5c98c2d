"""Which model a request is for, on a host where that decides: what its path names, else its body, else a header.

The body is looked at once its beginning is here, which is when it could be sent on, too (`Body.ready`); until then no
revision is known, so it occupies no slot, and the memory counts for nobody in particular.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.admission import CONTINUE
from router.body import BUFFER
from router.errors import EdgeError, Reason, spread
from router.inference import subject_of, told
from router.match import normal_path, quoted
from router.peek import PEEK, model_in
from router.toplevel import Ambiguous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.body import Body
    from router.buffers import Buffers
    from router.exchange import Exchange
    from router.match import Models, Route
    from router.queue import Queue
    from router.request import Request

MODEL_HEADER = b"x-gateway-model-name"  # of the Gateway API's Inference Extension
_PHASES = ("ready", "starting", "pending", "failing", "asleep")


class Naming:
    """Finds the names of models. `queues` tell the state of theirs, `buffers` count the bodies that are awaited."""

    def __init__(self, queues: Mapping[str, Queue], buffers: Buffers) -> None:
        self._queues = queues
        self._buffers = buffers
        self._awaited: dict[Exchange, float] = {}  # whose body's beginning still comes, with the deadline
        self._refused = 0

    async def model_of(self, exchange: Exchange, models: Models) -> str:
        """Return the name of the model that `exchange` is for; "" where nothing need be chosen. Told is raised for what
        the edge answers itself, EdgeError (400) when no model is named, or two."""
        request = exchange.request
        subject = subject_of(normal_path(request.target), models.listed)
        if request.method in {b"GET", b"HEAD"} and (answer := told(subject, models, self._phase)) is not None:
            raise answer
        if models.any:
            return ""
        if subject.model is not None:
            return subject.model
        found = await self._in_body(exchange, request.body, models.hold) if request.body is not None else None
        model = _agreed(found, _in_header(request))
        if model is None and models.only is None:
            raise EdgeError(
                Reason.MODEL_REQUIRED,
                f"Several models are here, and the request names none: write `model` into the first {PEEK} bytes of its"
                f" body (a JSON object or a multipart form, plain or in gzip or deflate), or into the header"
                f" {MODEL_HEADER.decode()}.",
            )
        return model or ""

    def sweep(self, now: float) -> None:
        """End the waits that are over."""
        for exchange, deadline in list(self._awaited.items()):
            if deadline <= now:
                waited = f"{now - exchange.arrived:.0f} s"
                exchange.fail(EdgeError(Reason.REQUEST_TIMEOUT, f"The body's beginning did not come within {waited}."))

    async def _in_body(self, exchange: Exchange, body: Body, hold: float) -> str | None:
        if not body.ready:
            await self._receive(exchange, body, exchange.arrived + hold)
        try:
            return model_in(exchange.request, body.beginning(PEEK), whole=body.size < PEEK)
        except Ambiguous as error:
            raise _ambiguous(f"Two models may be named in the body: {error}.") from error

    async def _receive(self, exchange: Exchange, body: Body, deadline: float) -> None:
        request = exchange.request
        if not self._buffers.keep(exchange, exchange.revision.name, min(request.length or BUFFER, BUFFER)):
            self._refused += 1
            message = f"Bodies of waiting requests take {self._buffers.total} bytes of memory already."
            raise EdgeError(Reason.BUFFER_FULL, message, retry_after=spread(self._refused))
        if request.expects_continue:
            exchange.client.write(CONTINUE)
        body.on_ready = exchange.wake
        self._awaited[exchange] = deadline
        try:
            await exchange.wait()
        finally:
            del self._awaited[exchange]
            self._buffers.release(exchange)

    def _phase(self, route: Route) -> str:
        """Return the phase of the revision of `route` that is nearest to ready, of those with a share."""
        shares = [route.share] if route.share is not None else [each for each in route.service.shares if each.percent]
        queues = [self._queues[share.revision.name] for share in shares]
        phases = {"ready" if queue.replicas.endpoints else queue.replicas.start.phase for queue in queues}
        return min(phases, key=_PHASES.index)


def _in_header(request: Request) -> str | None:
    found = request.values(MODEL_HEADER)
    if len(found) > 1:
        raise _ambiguous(f"The header {MODEL_HEADER.decode()} is there {len(found)} times.")
    return found[0].strip().decode("utf-8", "backslashreplace") if found else None


def _agreed(in_body: str | None, in_header: str | None) -> str | None:
    if in_body is not None and in_header is not None and in_body != in_header:
        raise _ambiguous(f"The body names the model {quoted(in_body)}, the header {quoted(in_header)}.")
    return in_header if in_body is None else in_body


def _ambiguous(message: str) -> EdgeError:
    return EdgeError(Reason.MODEL_AMBIGUOUS, message)
