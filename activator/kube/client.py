"""Calls to the API server, with JSON in and out, on connections that are kept warm.

How to reach it and with which credentials is left to kubernetes-asyncio; its typed models and its own HTTP layer are
not used, since they cost more than the calls themselves.
"""

from __future__ import annotations

import json
import os
import ssl
from collections import Counter
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from yaml import YAMLError

from activator.kube import permissions
from activator.kube.clock import ServerClock
from activator.kube.errors import ApiError, UnreachableError
from activator.kube.resources import PODS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from kubernetes_asyncio.client import Configuration

    from activator.kube.resources import Object, Resource

FIELD_MANAGER = "gpu-activator"
WITHIN = 10.0
KEPT = 75.0  # an API server keeps an idle connection for 90 s
NO_LIMIT = 0  # to connections: a hundred calls that hang, as by a webhook, would keep the Lease waiting
STREAMED = 15.0  # a watch may be silent for as long as it was ordered to last, and this
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

MERGE = "application/merge-patch+json"
JSON = "application/json"
ERRORS = 400


class Call(NamedTuple):
    """A kind of call, as RBAC sees it, and how it ended. `resource` has its subresource (`deployments/scale`);
    `status` is 0 when there was no answer."""

    verb: str
    group: str
    resource: str
    status: int


class Address(NamedTuple):
    """What a call is made to."""

    resource: Resource
    name: str = ""
    sub: str = ""


class Request(NamedTuple):
    """A call, as HTTP needs it. `data` has the media type `kind`."""

    verb: str
    to: Address
    timeout: aiohttp.ClientTimeout
    query: Mapping[str, str] | None = None
    data: bytes | None = None
    kind: str = JSON


class Client:
    """The API server, for one namespace. `calls` counts what was asked of it; `guard` is called with verb, API group
    and resource before each call, and raises for one that nobody granted; `on_end` hears how each call ended, and what
    the API server said if it refused. `wall` is the API server's clock.

    All calls raise ApiError when it refuses, and UnreachableError when it does not answer within `within` seconds.
    """

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        self.namespace = namespace
        self.calls: Counter[Call] = Counter()
        self.wall = ServerClock()
        self.guard: Callable[[str, str, str], None] | None = None
        self.on_end: Callable[[Call, str], None] | None = None
        self._configuration = configuration
        self._base = str(configuration.host).rstrip("/")
        self._http: aiohttp.ClientSession | None = None

    async def get(self, resource: Resource, name: str, sub: str = "", within: float = WITHIN) -> Object:
        """Return an object, or one of its subresources."""
        return await self._ask(Request("get", Address(resource, name, sub), _within(within)))

    async def list(self, resource: Resource, query: Mapping[str, str] | None = None) -> Object:
        """Return the list object of a collection; `query` may have a `labelSelector` or `fieldSelector`."""
        return await self._ask(Request("list", Address(resource), _within(WITHIN), query))

    async def create(self, resource: Resource, body: Object, within: float = WITHIN) -> Object:
        """Create an object; return it as it was stored."""
        return await self._write("create", Address(resource), body, JSON, within)

    async def replace(self, resource: Resource, name: str, body: Object, within: float = WITHIN) -> Object:
        """Write an object whole; 409 when its resourceVersion is no longer the present one."""
        return await self._write("update", Address(resource, name), body, JSON, within)

    async def patch(self, to: Address, body: object, within: float = WITHIN) -> Object:
        """Change a part of an object or subresource by a merge patch (RFC 7396)."""
        return await self._write("patch", to, body, MERGE, within)

    async def log(self, pod: str, query: Mapping[str, str], within: float = WITHIN) -> str:
        """Return what a container wrote; `query` may have `container`, `tailLines` and `previous`."""
        async with self._call(Request("get", Address(PODS, pod, "log"), _within(within), query)) as response:
            return (await response.read()).decode("utf-8", "replace")

    @asynccontextmanager
    async def watch(
        self, resource: Resource, query: Mapping[str, str], lasting: float
    ) -> AsyncIterator[AsyncIterator[Object]]:
        """Enter once a watch is accepted; give its events, until the API server ends it after `lasting` seconds."""
        query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, int(lasting)))}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=WITHIN, sock_read=lasting + STREAMED)
        async with self._call(Request("watch", Address(resource), timeout, query)) as response:
            yield _events(response.content)

    async def ping(self) -> None:
        """Ask for something small, so that a connection is warm when it is needed."""
        async with self._send("GET", "/version", Request("get", Address(PODS), _within(WITHIN))) as response:
            await response.read()

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _write(self, verb: str, to: Address, body: object, kind: str, within: float) -> Object:
        query = {"fieldManager": FIELD_MANAGER}
        return await self._ask(Request(verb, to, _within(within), query, json.dumps(body).encode(), kind))

    async def _ask(self, request: Request) -> Object:
        async with self._call(request) as response:
            return _decoded(await response.read())

    @asynccontextmanager
    async def _call(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        to, status, said = request.to, 0, ""
        path = to.resource.path(self.namespace, to.name, to.sub)
        resource = f"{to.resource.plural}/{to.sub}" if to.sub else to.resource.plural
        if self.guard is not None:
            self.guard(request.verb, to.resource.group, resource)
        try:
            async with self._send(_METHODS.get(request.verb, "GET"), path, request) as response:
                status = response.status
                if status >= ERRORS:
                    error = ApiError.of_response(status, response.headers, await response.read())
                    said = error.message
                    raise error
                yield response
        finally:
            call = Call(request.verb, to.resource.group, resource, status)
            self.calls[call] += 1
            if self.on_end is not None:
                self.on_end(call, said)

    @asynccontextmanager
    async def _send(self, method: str, path: str, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            headers = {"Accept": f"{JSON}, */*", "Content-Type": request.kind, **await self._credentials()}
            async with self._session().request(
                method,
                self._base + path,
                params=request.query,
                data=request.data,
                headers=headers,
                timeout=request.timeout,
                proxy=self._configuration.proxy or None,
                server_hostname=self._configuration.tls_server_name,
            ) as response:
                self.wall.hear(response.headers.get("Date", ""))
                yield response
        except TimeoutError as error:
            raise UnreachableError(f"no answer to {method} {path} in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(str(error) or type(error).__name__) from error

    async def _credentials(self) -> dict[str, str]:
        settings = await self._configuration.auth_settings()
        return {one["key"]: one["value"] for one in settings.values() if one["value"]}

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            connector = aiohttp.TCPConnector(limit=NO_LIMIT, ssl=_tls(self._configuration), keepalive_timeout=KEPT)
            self._http = aiohttp.ClientSession(connector=connector)
        return self._http


_METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH"}


async def connect(namespace: str = "", kubeconfig: str = "") -> Client:
    """Return a client by `kubeconfig` or $KUBECONFIG, else by the pod's own ServiceAccount. "" = the namespace of the
    context, or of the pod. OSError with what to do when there is neither."""
    from kubernetes_asyncio import client, config  # noqa: PLC0415 - 40 MB, for this scaler only

    configuration = client.Configuration()
    kubeconfig = kubeconfig or os.environ.get("KUBECONFIG", "")
    try:
        if kubeconfig:
            _check_there(kubeconfig)
            with _told(kubeconfig):
                await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
                own = _namespace_of_context(config.list_kube_config_contexts(kubeconfig)[1])
        else:
            config.load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
            follow_token(configuration, ACCOUNT / "token")
            own = _namespace_of_pod()
    except config.ConfigException as error:
        reason = f"{kubeconfig}: {error}".removeprefix(": ").rstrip(". ")
        raise OSError(f"no way to a Kubernetes API server: {reason}. Set KUBECONFIG, or run in a pod.") from error
    found = Client(configuration, namespace or own or "default")
    found.guard = permissions.check
    return found


def follow_token(configuration: Configuration, file: Path) -> None:
    """Read the token in `file` before each call: it is rotated, and no clock tells when. One that cannot be read for a
    while is used as it last was."""

    def read(configuration: Configuration) -> None:
        with suppress(OSError, ValueError):
            if token := file.read_text().strip():
                configuration.api_key["BearerToken"] = f"Bearer {token}"

    configuration.refresh_api_key_hook = read


def _check_there(kubeconfig: str) -> None:
    """Raise OSError if none of the files that $KUBECONFIG may name is there: the library finds an empty one then."""
    if not any(Path(each).expanduser().exists() for each in kubeconfig.split(os.pathsep)):
        raise OSError(
            f"no way to a Kubernetes API server: {kubeconfig} does not exist. Set KUBECONFIG to a file that does."
        )


@contextmanager
def _told(kubeconfig: str) -> Iterator[None]:
    """Raise OSError for whatever the library stumbles over in a kubeconfig that it does not check."""
    try:
        yield
    except (YAMLError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"{kubeconfig} is no kubeconfig: {reason}. Try kubectl --kubeconfig with it.") from error


def _within(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


def _namespace_of_context(context: Mapping[str, Any] | None) -> str:
    return str(((context or {}).get("context") or {}).get("namespace") or "")


def _namespace_of_pod() -> str:
    file = ACCOUNT / "namespace"
    return file.read_text().strip() if file.exists() else ""


def _tls(configuration: Configuration) -> ssl.SSLContext | bool:
    if not str(configuration.host).startswith("https"):
        return True
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[Object]:
    """Yield the JSON objects of a stream, one a line. What is cut off at its end is dropped."""
    rest = b""
    async for data in stream.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line:
                yield _decoded(line)


def _decoded(data: bytes) -> Object:
    try:
        item = json.loads(data)
    except ValueError as error:
        raise UnreachableError("the API server's answer is no JSON") from error
    if not isinstance(item, dict):
        raise UnreachableError("the API server's answer is no object")
    return item
