"""From service to revision: independent draws over the percentages, or a tag that names one revision.

The draw is handed in, so that a seed reproduces a split; it is made once per request (DESIGN: invariants).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.headers import TAG_HEADER

if TYPE_CHECKING:
    from router.match import Route
    from router.request import Request
    from router.table import Revision, Service, Share


def split(route: Route, request: Request, draw: float) -> tuple[Revision, bool]:
    """Return the revision for a request, and whether a tag named it: the host's tag, a tag in the header where the
    service allows it and has it, else the share that `draw` (uniform in [0, 1)) falls on."""
    if route.only is not None:
        return route.only.revision, False
    share = route.share
    if share is None and route.tags:
        share = route.tags.get(request.header(TAG_HEADER) or b"")
    if share is not None:
        return share.revision, True
    return by_draw(route.service, draw).revision, False


def by_draw(service: Service, draw: float) -> Share:
    """Return the share that `draw` falls on. A share of 0 % is never returned."""
    mark = draw * 100
    for share in service.shares:
        mark -= share.percent
        if mark < 0:
            return share
    return next(share for share in reversed(service.shares) if share.percent)
