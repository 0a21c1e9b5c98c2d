"""From service to share: independent draws over the percentages, or a tag that names one.

The draw is handed in, so that a seed reproduces a split; it is made once per request. For sticky services it is a hash
of what tells clients apart: shares are laid side by side in the order of the service, so when a border between two of
them moves, only the clients that it passes change sides.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from router.headers import TAG_HEADER
from router.table import Key

if TYPE_CHECKING:
    from router.match import Route
    from router.request import Request
    from router.table import Service, Share, Sticky

RESOLUTION = 53  # bits of a float's mantissa


def split(route: Route, request: Request, draw: float) -> tuple[Share, bool]:
    """Return the share for a request, and whether a tag named it: the host's tag, a tag in the header where the
    service allows it and has it, else the share that `draw` (in [0, 1)) falls on."""
    share = route.share
    if share is None and route.tags:
        share = route.tags.get(request.header(TAG_HEADER) or b"")
    if share is not None:
        return share, True
    return by_draw(route.service, draw), False


def by_draw(service: Service, draw: float) -> Share:
    """Return the share that `draw` (in [0, 1)) falls on. A share of 0 % is never returned."""
    mark = draw * 100
    for share in service.shares:
        mark -= share.percent
        if mark < 0:
            return share
    return next(share for share in reversed(service.shares) if share.percent)


def sticky_draw(service: Service, request: Request, forwarded: bytes) -> float | None:
    """Return the draw of a request's client, uniform in [0, 1) over clients and independent between services; None
    when the request does not tell who its client is. `forwarded` are the forwarding fields of its connection."""
    if service.sticky is None:
        return None
    key = _client(service.sticky, request, forwarded)
    if not key:
        return None
    digest = blake2b(service.name.encode() + b"\0" + key, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - RESOLUTION)) / (1 << RESOLUTION)


def _client(sticky: Sticky, request: Request, forwarded: bytes) -> bytes:
    if sticky.key is Key.ADDRESS:
        first = (request.forwarded or forwarded).partition(b"\r\n")[0]  # X-Forwarded-For, the client first
        return first.partition(b",")[0]
    if sticky.key is Key.HEADER:
        found = request.values(sticky.name)
        return found[0] if found else request.header(sticky.name) or b""
    pairs = (pair.partition(b"=") for line in request.values(b"cookie") for pair in line.split(b";"))
    return next((value.strip() for name, _, value in pairs if name.strip() == sticky.name), b"")
