"""From host, path and model to service: exact hosts, longest path prefix, no regular expressions, no default backend.

Services that have models may share a host and prefix: there the name of the model decides (`choose`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from math import inf
from operator import attrgetter
from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from router.errors import EdgeError, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from router.table import Service, Share, Table


SHOWN = 20  # models, in an error


@dataclass(frozen=True, slots=True)
class Route:
    """Where a host (and a path below `prefix`) leads; `share` is set for a tag's own host. `tags` are those that a
    header may choose. `only` is the share of a service that has but one and lets no header choose. `models` is set
    where the model's name decides; `service` is then the first of those it may choose."""

    service: Service
    prefix: bytes = b"/"
    share: Share | None = None
    tags: Mapping[bytes, Share] = field(default_factory=dict)
    only: Share | None = None
    models: Models | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """The routes by model at one host and prefix; `listed` are those of all prefixes. `only` is the route of a service
    that shares its place with no other; `hold` the longest hold of all, in seconds."""

    routes: Mapping[str, Route]
    listed: Mapping[str, Route]
    only: Route | None
    hold: float

    @property
    def any(self) -> bool:
        """Tell whether the only service takes requests for any model."""
        return self.only is not None and self.only.service.other_models


def compile_routes(table: Table) -> Mapping[bytes, tuple[Route, ...]]:
    """Return the routes per host, longest prefix first. A tag's host is `tag-host` (Knative's rule)."""
    routes: defaultdict[bytes, list[Route]] = defaultdict(list)
    for service in table.services:
        for host, route in _routes_of(service):
            routes[host].append(route)
    return {host: tuple(sorted(_merged(found), key=lambda route: -len(route.prefix))) for host, found in routes.items()}


def match(routes: Mapping[bytes, tuple[Route, ...]], host: bytes, target: bytes) -> Route:
    """Return the route for a Host value and a request target; EdgeError (404) when there is none."""
    found = routes.get(host) or routes.get(normal_host(host))
    if found is None:
        raise EdgeError(
            Reason.UNKNOWN_HOST,
            f"No service has the host {printable(host)}. Check the Host header and the configured hosts.",
        )
    if len(found) == 1 and found[0].prefix == b"/":
        return found[0]
    path = normal_path(target)
    for route in found:
        if _under(path, route.prefix):
            return route
    raise EdgeError(
        Reason.UNKNOWN_PATH, f"No service on {printable(host)} has a path prefix that matches this request."
    )


def choose(models: Models, model: str) -> Route:
    """Return the route of a model, or of the only service when none is named ("") or it takes any."""
    only = models.only
    return only if only is not None and (not model or models.any) else known(models.routes, model)


def known(routes: Mapping[str, Route], model: str) -> Route:
    """Return the route of a model; EdgeError (404) when there is none."""
    route = routes.get(model)
    if route is None:
        some = ", ".join(list(routes)[:SHOWN]) + (", ..." if len(routes) > SHOWN else "")
        raise EdgeError(Reason.MODEL_NOT_FOUND, f"The model {quoted(model)} does not exist here. There are: {some}.")
    return route


@lru_cache(maxsize=1024)
def normal_host(host: bytes) -> bytes:
    """Return a Host value as it is looked up: lower case, without port and trailing dot (RFC 3986 3.2.2)."""
    if host.startswith(b"["):
        return host.partition(b"]")[0].lower() + b"]"
    return host.partition(b":")[0].lower().removesuffix(b".")


def normal_path(target: bytes) -> bytes:
    """Return the path of a target as it is compared: decoded once, dots and double slashes resolved. The target that is
    sent upstream is never touched (RFC 9112 3.2.1)."""
    path = unquote_to_bytes(target.partition(b"?")[0])
    return b"/" + normpath(path).lstrip(b"/")


def printable(host: bytes) -> str:
    """Return client bytes as they may appear in a message: ASCII, quoted, bounded."""
    return repr(host[:255].decode("ascii", "backslashreplace"))


def quoted(text: str) -> str:
    """Return a client's text as it may appear in a message."""
    return printable(text.encode("utf-8", "backslashreplace"))


def _routes_of(service: Service) -> Iterator[tuple[bytes, Route]]:
    prefixes = [path.encode() for path in service.paths] or [b"/"]
    tagged_shares = {share.tag.encode(): share for share in service.shares if share.tag}
    tags = tagged_shares if service.tag_header else {}
    only = service.shares[0] if len(service.shares) == 1 and not tags else None
    for host in service.hosts:
        for prefix in prefixes:
            yield host.encode(), Route(service, prefix, None, tags, only)
            for tag, share in tagged_shares.items():
                yield tag + b"-" + host.encode(), Route(service, prefix, share)


def _merged(routes: Sequence[Route]) -> Iterator[Route]:
    """Yield one route per prefix: those of services with models become one, by model."""
    listed = {model: route for route in routes for model in route.service.models}
    for _, found in groupby(sorted(routes, key=attrgetter("prefix")), attrgetter("prefix")):
        first, *others = found
        if not first.service.models:
            yield first
            continue
        by_model = {model: route for route in (first, *others) for model in route.service.models}
        hold = max(_hold(route.service) for route in by_model.values())
        yield replace(first, models=Models(by_model, listed, None if others else first, hold))


def _hold(service: Service) -> float:
    return max(share.revision.limits.hold or inf for share in service.shares)


def _under(path: bytes, prefix: bytes) -> bool:
    if prefix == b"/" or path == prefix:
        return True
    return path.startswith(prefix) and (prefix.endswith(b"/") or path[len(prefix)] == ord("/"))
