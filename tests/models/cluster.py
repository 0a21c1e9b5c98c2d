"""A stand-in for an API server and its controllers: one namespace, in memory, on a real socket, with faults to order.

It does what the product relies on and no more: lists, watches with bookmarks, history that is compacted (410), writes
with preconditions (409), the scale subresource with managedFields, and RBAC (403). Controllers and kubelets are others'
(tests.models.kubelet), or a test's own.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
NAMESPACE = "models"
COST = "controller.kubernetes.io/pod-deletion-cost"


class Event(NamedTuple):
    """A change in the history. `old` is what was there before it."""

    version: int
    plural: str
    kind: str
    item: Object
    old: Object | None


class Call(NamedTuple):
    """A request as it was answered. `at` is the loop's time when it came."""

    at: float
    verb: str
    resource: str
    name: str
    body: Any
    status: int


@dataclass(eq=False)
class Faults:
    """What goes wrong. `delay` holds back every answer, `held` until it is set; `fail` decides over one request: a
    status, or None = none. `denied` are pairs of verb and resource (`deployments/scale`) that RBAC does not allow."""

    delay: float = 0.0
    fail: Callable[[str, str], int | None] = lambda verb, resource: None
    denied: set[tuple[str, str]] = field(default_factory=set)
    held: asyncio.Event | None = None
    retry_after: int | None = None


class Cluster:
    """The API server. Objects are by plural and name; they are replaced, never changed in place."""

    def __init__(self, *, kept: int = 10_000, bookmarks: float = 60.0) -> None:
        self.objects: dict[str, dict[str, Object]] = {}
        self.calls: list[Call] = []
        self.faults = Faults()
        self.logs: dict[str, str] = {}
        self.version = 1000
        self.caller = ""  # whose call is being answered, by its token; "" = what happens has no caller
        self.on_change: list[Callable[[Event], None]] = []
        self._history: deque[Event] = deque(maxlen=kept)
        self._bookmarks = bookmarks
        self._streams: set[asyncio.Queue[Event | bytes | None]] = set()
        self._names = itertools.count(1)
        self._pages: dict[str, tuple[str, list[Object]]] = {}  # the rest of lists, by what asks for it
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Serve; on the port of last time, if there was one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone: no connection survives, and new ones are refused. What is stored stays."""
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def cut(self, rest: bytes = b"") -> None:
        """End all watches, in the middle of what `rest` begins."""
        for stream in self._streams:
            if rest:
                stream.put_nowait(rest)
            stream.put_nowait(None)

    def compact(self) -> None:
        """Forget the history: whoever watches from an earlier version gets 410."""
        self._history.clear()
        self._pages.clear()
        self.version += 1

    def snapshot(self) -> dict[str, dict[str, Object]]:
        """Return all that is stored, for `restore`."""
        return {plural: dict(items) for plural, items in self.objects.items()}

    def restore(self, saved: dict[str, dict[str, Object]]) -> None:
        """Be what was saved, as after etcd was restored and its revision bumped: the past cannot be watched."""
        self.cut()
        self._streams.clear()
        for plural, items in self.objects.items():
            for name in items.keys() - saved.get(plural, {}).keys():
                self.remove(plural, name)
        for plural, items in saved.items():
            for name, item in items.items():
                if self.objects[plural].get(name) is not item:
                    self.put(plural, item)
        self.compact()

    def rewind(self, saved: dict[str, dict[str, Object]], version: int) -> None:
        """Be what was saved at `version`, as after etcd was restored and counts on from there. No watch is told."""
        self.cut()
        self._streams.clear()
        self._history.clear()
        self.objects, self.version = {plural: dict(items) for plural, items in saved.items()}, version

    def say(self, event: bytes) -> None:
        """Write raw bytes to all watches."""
        for stream in self._streams:
            stream.put_nowait(event)

    # -- what is stored

    def get(self, plural: str, name: str) -> Object:
        return self.objects[plural][name]

    def put(self, plural: str, item: Object) -> Object:
        """Store a new object, or a new state of one."""
        item = copy.deepcopy(item)
        known = self.objects.setdefault(plural, {})
        meta = item.setdefault("metadata", {})
        old = known.get(meta["name"])
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        if old is not None and meta.setdefault("uid", old["metadata"]["uid"]) == old["metadata"]["uid"]:
            meta.setdefault("creationTimestamp", old["metadata"]["creationTimestamp"])
        meta.setdefault("namespace", NAMESPACE)
        meta.setdefault("uid", f"uid-{next(self._names)}")
        meta.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if plural == "deployments" and (old is None or old["spec"] != item["spec"]):
            meta["generation"] = meta.get("generation", 0) + 1
        known[meta["name"]] = item
        self._tell(Event(self.version, plural, "MODIFIED" if old else "ADDED", item, old))
        return item

    def change(self, plural: str, name: str, change: Callable[[Object], None]) -> Object:
        """Store what `change` makes of a copy of an object."""
        item = copy.deepcopy(self.get(plural, name))
        change(item)
        return self.put(plural, item)

    def remove(self, plural: str, name: str) -> None:
        item = copy.deepcopy(self.objects[plural].pop(name))
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Event(self.version, plural, "DELETED", item, item))

    def _tell(self, event: Event) -> None:
        self._history.append(event)
        for stream in self._streams:
            stream.put_nowait(event)
        for listener in self.on_change:
            listener(event)

    # -- the API

    def asked(self, verb: str, resource: str) -> list[Call]:
        """Return the calls of one kind so far."""
        return [call for call in self.calls if (call.verb, call.resource) == (verb, resource)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        at = asyncio.get_running_loop().time()
        if request.path == "/version":
            await asyncio.sleep(self.faults.delay)
            return web.json_response({"major": "1"})
        plural, name, sub = _place(request.path)
        resource = f"{plural}/{sub}" if sub else plural
        watching = request.query.get("watch") == "true"
        verb = "watch" if watching else _verb(request.method, name)
        data = await request.read()
        body = json.loads(data) if data else None
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        if self.faults.held:
            await self.faults.held.wait()
        response: web.StreamResponse
        if (verb, resource) in self.faults.denied:
            response = status(403, "Forbidden", f'{resource} is forbidden: cannot {verb} resource "{resource}"')
        elif (code := self.faults.fail(verb, resource)) is not None:
            headers = {} if self.faults.retry_after is None else {"Retry-After": str(self.faults.retry_after)}
            response = status(code, "Fault", "as ordered", headers)
        elif watching:
            self.calls.append(Call(at, verb, resource, name, None, 200))
            return await self._watch(request, plural)
        else:
            self.caller = request.headers.get("Authorization", "").removeprefix("Bearer ")
            response = self._answer(request, (plural, name, sub), body)
            self.caller = ""
        self.calls.append(Call(at, verb, resource, name, body, response.status))
        return response

    def _answer(self, request: web.Request, place: tuple[str, str, str], body: Any) -> web.Response:
        plural, name, sub = place
        known = self.objects.setdefault(plural, {})
        if request.method == "GET" and not name:
            return self._list(request, plural)
        if request.method == "POST" and not name:
            if body["metadata"].get("generateName"):
                body["metadata"]["name"] = f"{body['metadata']['generateName']}{next(self._names)}"
            if body["metadata"]["name"] in known:
                return status(409, "AlreadyExists", f'{plural} "{body["metadata"]["name"]}" already exists')
            return web.json_response(self.put(plural, body), status=201)
        if name not in known:
            return status(404, "NotFound", f'{plural} "{name}" not found')
        if sub == "log":
            return web.Response(text=self.logs.get(name, ""))
        if sub == "scale":
            return self._scale(request, name, body)
        return self._object(request, plural, name, body)

    def _object(self, request: web.Request, plural: str, name: str, body: Any) -> web.Response:
        item = self.get(plural, name)
        if request.method == "GET":
            return web.json_response(item)
        if request.method == "DELETE":
            if plural == "pods":
                self.end_pod(name)
            else:
                self.remove(plural, name)
            return web.json_response(item)
        new = body if request.method == "PUT" else _patched(item, body)
        wanted = new["metadata"].get("resourceVersion")
        if wanted and wanted != item["metadata"]["resourceVersion"]:
            return status(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}": it has been modified')
        new["metadata"]["uid"] = item["metadata"]["uid"]
        return web.json_response(self.put(plural, new))

    def _scale(self, request: web.Request, name: str, body: Any) -> web.Response:
        item = self.get("deployments", name)
        scale = {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": name, "resourceVersion": item["metadata"]["resourceVersion"]},
            "spec": {"replicas": item["spec"].get("replicas", 1)},
            "status": {"replicas": (item.get("status") or {}).get("replicas", 0)},
        }
        if request.method == "GET":
            return web.json_response(scale)
        new = _patched(scale, body) if request.method == "PATCH" else body
        wanted = new["metadata"].get("resourceVersion")
        if wanted and wanted != item["metadata"]["resourceVersion"]:
            return status(409, "Conflict", f'Operation cannot be fulfilled on deployments.apps "{name}"')
        item = self.scale(name, new["spec"]["replicas"], request.query.get("fieldManager", "unknown"))
        scale["metadata"] = {"name": name, "resourceVersion": item["metadata"]["resourceVersion"]}
        scale["spec"] = {"replicas": item["spec"]["replicas"]}
        return web.json_response(scale)

    def scale(self, name: str, replicas: int, manager: str = "kubectl") -> Object:
        """Write the replicas of a Deployment by the scale subresource, in the name of `manager`."""

        def change(item: Object) -> None:
            before = item["metadata"].get("managedFields")
            fields = [entry for entry in before or () if not _owns(entry)]
            known = before is None or len(fields) < len(before)
            if replicas and known:  # written as 0 there, it is left out of the Scale: the owner is forgotten for good
                entry = {"manager": manager, "operation": "Update", "subresource": "scale", "apiVersion": "apps/v1"}
                owned: Object = {"f:spec": {"f:replicas": {}}}
                fields.append({**entry, "time": _now(), "fieldsType": "FieldsV1", "fieldsV1": owned})
            item["metadata"]["managedFields"] = fields
            item["spec"]["replicas"] = replicas

        if self.get("deployments", name)["spec"].get("replicas") == replicas:
            return self.get("deployments", name)
        return self.change("deployments", name, change)

    def end_pod(self, name: str) -> None:
        """Mark a pod as ending; without a kubelet it is gone at once if it never had a node."""
        pod = self.get("pods", name)
        if not pod["spec"].get("nodeName"):
            self.remove("pods", name)
        elif not pod["metadata"].get("deletionTimestamp"):
            self.change("pods", name, lambda item: item["metadata"].update(deletionTimestamp=_now()))

    def _list(self, request: web.Request, plural: str) -> web.Response:
        selector = request.query.get("labelSelector", "")
        items = [item for item in self.objects.get(plural, {}).values() if selected(item, selector)]
        version, rest = str(self.version), request.query.get("continue", "")
        if rest:
            if rest not in self._pages:
                return status(410, "Expired", "the continue parameter is too old")
            version, items = self._pages.pop(rest)
        metadata, limit = {"resourceVersion": version}, int(request.query.get("limit", "0")) or len(items)
        if items[limit:]:
            metadata["continue"] = f"{version}-{next(self._names)}"
            self._pages[metadata["continue"]] = version, items[limit:]
        return web.json_response({"kind": "List", "metadata": metadata, "items": items[:limit]})

    # -- watches

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        selector = request.query.get("labelSelector", "")
        since = int(request.query.get("resourceVersion", "0") or 0)
        response = web.StreamResponse()
        response.content_type = "application/json"
        oldest = self._history[0].version if self._history else self.version + 1
        past = [event for event in self._history if event.version > since]
        stream: asyncio.Queue[Event | bytes | None] = asyncio.Queue()
        await response.prepare(request)
        if since < oldest - 1 and since < self.version:
            expired = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}
            await response.write(line("ERROR", expired))
            return response
        for event in past:
            stream.put_nowait(event)
        self._streams.add(stream)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "300"))):
                await self._stream(response, stream, plural, selector)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._streams.discard(stream)
        return response

    async def _stream(
        self,
        response: web.StreamResponse,
        stream: asyncio.Queue[Event | bytes | None],
        plural: str,
        selector: str,
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._bookmarks):
                    event = await stream.get()
            except TimeoutError:
                mark = {"kind": "Any", "metadata": {"resourceVersion": str(self.version)}}
                await response.write(line("BOOKMARK", mark))
                continue
            if event is None:
                return
            if isinstance(event, bytes):
                await response.write(event)
            elif event.plural == plural and (kind := _seen(event, selector)):
                await response.write(line(kind, event.item))


def status(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a failure as the API server tells it."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code, headers=headers)


def selected(item: Object, selector: str) -> bool:
    """Tell whether an object's labels match an equality selector."""
    labels = item["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        key, equals, value = part.replace("==", "=").partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _seen(event: Event, selector: str) -> str:
    """Return what a watch with a selector is told of an event: as which kind, or "" for nothing."""
    now = event.kind != "DELETED" and selected(event.item, selector)
    before = event.old is not None and selected(event.old, selector)
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else ""


def _place(path: str) -> tuple[str, str, str]:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[0] == "namespaces":
        parts = parts[2:]
    plural, name, sub = (*parts, "", "")[:3]
    return plural, name, sub


def _verb(method: str, name: str) -> str:
    if method == "GET":
        return "get" if name else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]


def _patched(item: Object, patch: Object) -> Object:
    new = copy.deepcopy(item)
    _merge(new, patch)
    return new


def _merge(into: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _merge(into[key], value)
        else:
            into[key] = value


def _owns(entry: Object) -> bool:
    return "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})


def line(kind: str, item: Object) -> bytes:
    """Return an event as it is written to a watch."""
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
