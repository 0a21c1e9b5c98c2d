"""From host and path to service: exact hosts, longest path prefix, no regular expressions, no default backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from router.errors import EdgeError, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.table import Service, Share, Table


@dataclass(frozen=True, slots=True)
class Route:
    """Where a host (and a path below `prefix`) leads; `share` is set for a tag's own host. `tags` are those that a
    header may choose. `only` is the share of a service that has but one and lets no header choose."""

    service: Service
    prefix: bytes = b"/"
    share: Share | None = None
    tags: Mapping[bytes, Share] = field(default_factory=dict)
    only: Share | None = None


def compile_routes(table: Table) -> Mapping[bytes, tuple[Route, ...]]:
    """Return the routes per host, longest prefix first. A tag's host is `tag-host` (Knative's rule)."""
    routes: dict[bytes, list[Route]] = {}
    for service in table.services:
        prefixes = [path.encode() for path in service.paths] or [b"/"]
        tagged_shares = {share.tag.encode(): share for share in service.shares if share.tag}
        tags = tagged_shares if service.tag_header else {}
        only = service.shares[0] if len(service.shares) == 1 and not tags else None
        for host in service.hosts:
            for prefix in prefixes:
                routes.setdefault(host.encode(), []).append(Route(service, prefix, None, tags, only))
                for tag, share in tagged_shares.items():
                    routes.setdefault(tag + b"-" + host.encode(), []).append(Route(service, prefix, share))
    return {host: tuple(sorted(found, key=lambda route: -len(route.prefix))) for host, found in routes.items()}


def match(routes: Mapping[bytes, tuple[Route, ...]], host: bytes, target: bytes) -> Route:
    """Return the route for a Host value and a request target; EdgeError (404) when there is none."""
    found = routes.get(normal_host(host))
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


def _under(path: bytes, prefix: bytes) -> bool:
    if prefix == b"/" or path == prefix:
        return True
    return path.startswith(prefix) and (prefix.endswith(b"/") or path[len(prefix)] == ord("/"))
