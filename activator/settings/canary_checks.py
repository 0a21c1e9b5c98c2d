"""What a canary needs from its service: a share of its own, and another revision to be compared with."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING

from activator.settings.canary import Canary
from activator.settings.problems import Finding, Location, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.settings.schema import Service, Settings


def check_canaries(settings: Settings) -> Iterator[Finding]:
    """Yield canaries that cannot be rolled out as they are written."""
    for index, service in enumerate(settings.services):
        at = ("services", index, "canary")
        if service.canary.revision is not None:
            yield from _revisions(service, service.canary.revision, at)
            yield from _steps(service, at)
        elif service.canary != Canary():
            yield Finding((*at, "revision"), "is required: it says which revision is the canary")


def stable_of(service: Service) -> str | None:
    """Return the revision that a service's canary is compared with; None when it is not clear which."""
    if service.canary.stable is not None:
        return service.canary.stable
    others = {share.revision for share in service.traffic} - {service.canary.revision}
    return others.pop() if len(others) == 1 else None


def _revisions(service: Service, canary: str, at: Location) -> Iterator[Finding]:
    shares = [share.revision for share in service.traffic]
    needs = ((*at[:-1], "traffic"),)
    if canary not in shares:
        yield from _in_traffic("revision", canary, shares, at)
        return
    stable = stable_of(service)
    if stable is None:
        others = sorted(set(shares) - {canary})
        message = "is required, since traffic names several other revisions"
        if not others:
            message = "has nothing to stand for: traffic needs another revision (with 0 % if need be) that answers else"
        yield Finding((*at, "stable"), message, allowed=" or ".join(others[:5]), needs=needs)
    elif stable == canary:
        yield Finding((*at, "stable"), "must be another revision than the canary", shown(stable))
    elif service.canary.stable is not None:
        yield from _in_traffic("stable", stable, shares, at)


def _in_traffic(key: str, name: str, shares: list[str], at: Location) -> Iterator[Finding]:
    if name not in shares:
        near, allowed = "".join(get_close_matches(name, shares, 1)), " or ".join(dict.fromkeys(shares))
        needs = ((*at[:-1], "traffic"),)
        yield Finding((*at, key), "must be in this service's traffic", shown(name), allowed, near, needs)


def _steps(service: Service, at: Location) -> Iterator[Finding]:
    steps = service.canary.steps
    if any(later <= before for before, later in pairwise(steps)):
        suggestion = f"[{', '.join(map(str, sorted(set(steps))))}]"
        yield Finding((*at, "steps"), "must rise from one to the next", suggestion=suggestion)
