"""The admin listener: health, metrics, services, decisions with their reasons, usage. It is never the data port.

Times are given as ISO 8601 in UTC; what is unknown is null.
"""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from activator.callers import Callers
from activator.metrics import Metrics
from activator.rollout_view import events, view
from activator.rollouts import Rollouts
from activator.scalers.base import UNREADY, Phase
from activator.scrape import Page
from activator.settings.places import Address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from activator.insight import Insight, RevisionView
    from activator.revision import Record
    from activator.rollouts import Told

MOVES = {"promote": Rollouts.promote, "rollback": Rollouts.roll_back, "restart": Rollouts.restart}
BROWSER = ("Origin", "Sec-Fetch-Site")  # which no page can keep its browser from sending (Fetch 3.1)
CLOSE_SECONDS = 1.0  # for who does not take an answer


class Admin:
    """Serves what `insight` tells, and moves the traffic of canaries; a move is answered when it is `kept`, which
    tells whether it could be. `wall` is the Unix time.

    On a loopback address it is for those on this machine, and not for pages in their browsers that made their own name
    lead here (DNS rebinding): it must be asked by a name that no page can have. On any other it is asked by names that
    only the network around it knows: those of Services, of scrape targets, of the API server's proxy.
    """

    def __init__(self, insight: Insight, wall: Callable[[], float], kept: Callable[[], Awaitable[bool]]) -> None:
        self._insight = insight
        self._wall = wall
        self._kept = kept
        self._page = Page(Metrics(insight), insight.clock)
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._host = ""
        self._loopback = False

    async def open(self, host: str, port: int) -> int:
        """Listen, and return the port. OSError when the address is in use."""
        app = web.Application(middlewares=[_errors, self._for_here])
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/v1/services", self._services),
                web.get("/v1/services/{name}", self._service),
                web.get("/v1/services/{name}/decisions", self._decisions),
                web.get("/v1/usage", self._usage),
                *(web.post(f"/v1/services/{{name}}/{move}", self._move) for move in MOVES),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=CLOSE_SECONDS)
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - it has been set up
        self._listening = await asyncio.get_running_loop().create_server(Callers(self._runner.server), host, port)
        names = [each.getsockname() for each in self._listening.sockets]
        self._host, self._loopback = host, all(ip_address(name[0]).is_loopback for name in names)
        bound: int = names[0][1]
        return bound

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _for_here(self, request: web.Request, handler: Any) -> web.StreamResponse:
        name = _name(request.headers.get("Host", ""))
        if self._loopback and "." in name and name not in {self._host.lower(), socket.gethostname().lower()}:
            raise web.HTTPMisdirectedRequest(
                text=f"{name[:100]!r} may be the name of a page that has it lead here. This listener is for this "
                "machine alone: ask it by IP address, as localhost or by this machine's own name."
            )
        response: web.StreamResponse = await handler(request)
        return response

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._insight.ready
        return web.json_response({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._page.latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _services(self, _: web.Request) -> web.Response:
        described = (self._describe(name) for name in self._insight.names())
        return await _listed("services", described, troubles=self._insight.troubles())

    async def _service(self, request: web.Request) -> web.Response:
        return web.json_response(self._describe(self._known(request)))

    async def _decisions(self, request: web.Request) -> web.Response:
        name = self._known(request)
        limit = _limit(request)
        records = self._insight.records(name)[-limit:] if limit else []
        moves = [self._moved(told) for told in events(self._insight.rollouts, name)][-limit:] if limit else []
        decisions = (self._decision(revision, record) for revision, record in records)
        troubles = [each for each in map(self._trouble, self._insight.revisions(name)) if each]
        return await _listed("decisions", decisions, service=name, rollout=moves, troubles=troubles)

    async def _move(self, request: web.Request) -> web.Response:
        """Move the traffic of a canary. No page that somebody visits may: a form cannot send JSON unasked, and what a
        page's own script sends names its origin, also where that has made its name lead here (DNS rebinding)."""
        if any(field in request.headers for field in BROWSER):
            raise web.HTTPForbidden(text="Send this request without a browser: without Origin and Sec-Fetch-Site.")
        name, rollouts = self._known(request), self._insight.rollouts
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="Send this request with Content-Type: application/json.")
        if name not in rollouts.canaries:
            raise web.HTTPConflict(text=f"{name} has no canary. Name one in its configuration: canary.revision.")
        if not rollouts.leads():
            raise web.HTTPConflict(
                text="Another edge leads, and moves the traffic. Ask that one: see activator_leader."
            )
        why = MOVES[request.path.rpartition("/")[2]](rollouts, name)
        if not await self._kept():
            raise web.HTTPServiceUnavailable(
                reason="Moved but not saved",
                text=f"{why} That is in force, but could not be saved: a restart, or another leader, may undo it. "
                "The log says why; mend that, and ask again.",
            )
        return web.json_response({"service": name, "why": why, "canary": view(self._insight, name)})

    async def _usage(self, _: web.Request) -> web.Response:
        return web.json_response({"usage": self._insight.usage()})

    def _known(self, request: web.Request) -> str:
        name = request.match_info["name"]
        known = self._insight.names()
        if name not in known:
            raise web.HTTPNotFound(text=f"There is no service {name!r}. Known: {', '.join(known) or 'none'}.")
        return name

    def _describe(self, name: str) -> dict[str, Any]:
        views = self._insight.revisions(name)
        services = [service for service in self._insight.services if service.name == name]
        hosts = [host for service in services for host in service.hosts]
        models = [model for service in services for model in service.models]
        told = {"name": name, "hosts": hosts, "models": models, "revisions": [self._revision(each) for each in views]}
        return {**told, "canary": view(self._insight, name)}

    def _revision(self, view: RevisionView) -> dict[str, Any]:
        outcome = view.record.outcome if view.record else None
        stats = view.stats
        return {
            "name": view.revision,
            "percent": view.percent,
            "tag": view.tag,
            "phase": view.start.phase,
            "message": view.start.message,
            "desired": view.replicas.desired,
            "replicas": [
                {
                    "name": replica.name,
                    "phase": replica.phase,
                    "since": self._time(replica.since),
                    "address": str(Address(replica.host, replica.port)) if replica.port else None,
                    "in_flight": stats.busy.get(replica.name, 0),
                    "message": replica.message,
                }
                for replica in view.replicas.replicas
            ],
            "held": stats.held,
            "open": stats.open,
            "stable": view.stable,
            "panic": view.panic,
            "target": view.target,
            "metric": view.metric,
            "panicking": view.panicking,
            "idle_since": self._time(stats.idle_since),
            "zero_at": self._time(outcome.zero_at) if outcome else None,
            "start_failures": view.start.attempts,
            "last_failure": view.replicas.last_failure,
            "last_cold_start_seconds": view.last_cold_start,
            "died": {"at": self._time(view.died.at), "message": view.died.message} if view.died else None,
            "why": view.record.sentence if view.record else None,
        }

    def _decision(self, revision: str, record: Record) -> dict[str, Any]:
        decision = record.outcome.decision
        return {
            "at": self._time(record.at),
            "revision": revision,
            "replicas": record.outcome.replicas,
            "why": record.sentence,
            "poked": record.poked,
            "valid": decision.valid,
            "ready": decision.ready,
            "target": decision.target,
            "metric": decision.metric,
            "stable": decision.stable,
            "panic": decision.panic,
            "want_stable": decision.want_stable,
            "want_panic": decision.want_panic,
            "desired": decision.desired,
            "panicking": decision.panicking,
            "excess_burst_capacity": decision.excess_burst_capacity,
            "binding": record.outcome.rules[-1].name if record.outcome.rules else decision.binding,
            "clamps": [clamp._asdict() for clamp in (*decision.clamps, *record.outcome.rules)],
            "idle_since": self._time(record.outcome.idle_since),
            "zero_at": self._time(record.outcome.zero_at),
        }

    def _moved(self, told: Told) -> dict[str, Any]:
        kind, why, numbers = told.event
        return {"at": self._time(told.at), "revision": told.revision, "kind": kind, "why": why, "numbers": numbers}

    def _trouble(self, view: RevisionView) -> dict[str, Any] | None:
        """Return why a revision has fewer replicas ready than were asked for, or why its last start failed, and
        before when none is tried; None when neither is the case, or the cause is not known."""
        start, lacks = view.start, view.replicas.desired > view.replicas.count(Phase.READY)
        if not start.message or not (lacks or start.attempts):
            return None
        waits = not any(replica.phase in UNREADY for replica in view.replicas.replicas)
        due = start.retry_at if waits and (start.retry_at or 0.0) > self._insight.clock() else None
        told = {"revision": view.revision, "phase": start.phase, "failed": start.attempts, "message": start.message}
        logs = self._insight.logs(view.revision) if self._insight.logs else None
        return {**told, "retry_at": self._time(due), "logs": logs}

    def _time(self, at: float | None) -> str | None:
        if at is None:
            return None
        wall = self._wall() - self._insight.clock() + at
        return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


def _name(host: str) -> str:
    """Return the name in a Host field, "" if that is an IP address or below localhost, which nobody else can have. A
    field that is none is a name."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return host
    try:
        ip_address(name)
    except ValueError:
        return "" if name.endswith(".localhost") else name
    return ""


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "1000")
    if not text.isascii() or not text.isdigit() or len(text) > 4 or int(text) > 1000:
        raise web.HTTPBadRequest(text=f"limit={text[:20]!r} is not a whole number from 0 to 1000.")
    return int(text)


async def _listed(key: str, items: Iterable[dict[str, Any]], **more: Any) -> web.Response:
    """Answer with a list that may be long: it is made item by item, and requests do not stand still for it."""
    told = []
    for item in items:
        told.append(json.dumps(item))
        await asyncio.sleep(0)
    rest = json.dumps(more)[1:-1]
    return web.json_response(text=f'{{"{key}": [{", ".join(told)}]{rest and ", "}{rest}}}')


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer errors in JSON with a reason, too."""
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        reason = (error.reason or "error").lower().replace(" ", "_")
        message = error.text
        if error.status == 404 and request.match_info.http_exception is not None:
            known = ", ".join(resource.canonical for resource in request.app.router.resources())
            message = f"There is nothing at this path. Known: {known}."
        answer = web.json_response({"reason": reason, "message": message}, status=error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    return response
