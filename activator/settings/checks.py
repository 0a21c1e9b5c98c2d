"""What must fit together over the whole file. Each check yields what it finds and goes on.

A finding names what it relied on (`needs`, and its own place); if one of those is damaged itself, the finding
would only confuse and is dropped.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING

from activator.settings.canary_checks import check_canaries
from activator.settings.peering import check_peers
from activator.settings.problems import Finding, Location, shown
from activator.settings.route_checks import check_routes
from activator.settings.scaling_checks import check_scaling
from activator.settings.tls_checks import check_tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from activator.settings.group import Group
    from activator.settings.places import Address
    from activator.settings.schema import Revision, Service, Settings, Traffic

RESERVED_ENV = ("HOST", "PORT", "REPLICA")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104


def check(settings: Settings) -> Iterator[Finding]:
    """Yield everything that does not fit together."""
    yield from _required(settings, ())
    yield from _listeners(settings)
    yield from check_services(settings)
    yield from _wakes(settings)
    yield from check_scaling(settings)
    yield from check_peers(settings)
    for index, pair in enumerate(settings.tls):
        yield from _required(pair, ("tls", index))
    yield from check_tls(settings)


def check_services(settings: Settings) -> Iterator[Finding]:
    """Yield what does not fit together in the services: names, traffic, hosts and paths."""
    yield from _names(settings)
    for index, service in enumerate(settings.services):
        at = ("services", index)
        yield from _required(service, at)
        yield from _traffic(service, at)
        for number, revision in enumerate(service.revisions):
            yield from _revision(settings, revision, (*at, "revisions", number))
    yield from check_routes(settings)
    yield from check_canaries(settings)


def _required(group: Group, at: Location) -> Iterator[Finding]:
    for key in group.required:
        if key not in group.model_fields_set:
            yield Finding((*at, key), "is required")
        elif key in {"hosts", "revisions"} and not getattr(group, key):
            yield Finding((*at, key), "needs at least one entry")


def _listeners(settings: Settings) -> Iterator[Finding]:
    edge, admin, plain = settings.listen, settings.admin, settings.listen_plain
    if _clash(edge, admin):
        message = f"must be another address than that of the edge (listen: {edge})"
        yield Finding(("admin",), message, shown(str(admin)), needs=(("listen",),))
    if plain is not None and not settings.tls:
        yield Finding(("listen-plain",), "is for an edge with tls; without, listen is plain", needs=(("tls",),))
    for at, address in ((("listen-plain",), plain), (("peers", "listen"), settings.peers.listen)):
        for key, other in (("listen", edge), ("admin", admin)):
            if address is not None and _clash(address, other):
                message = f"must be another address than {key}: {other}"
                yield Finding(at, message, shown(str(address)), needs=((key,),))
    if settings.kserve and settings.scaler != "kubernetes":
        message = "is of no use without scaler: kubernetes, where KServe's pods are"
        yield Finding(("kserve",), message, needs=(("scaler",),))
    if settings.namespace and settings.scaler != "kubernetes":
        message = "is of no use without scaler: kubernetes, where the Deployments are"
        yield Finding(("namespace",), message, shown(settings.namespace), needs=(("scaler",),))


def _clash(one: Address, other: Address) -> bool:
    hosts = {"localhost" if address.host in LOOPBACK else address.host for address in (one, other)}
    return bool(one.port) and one.port == other.port and (len(hosts) == 1 or bool(hosts & set(EVERYWHERE)))


def _names(settings: Settings) -> Iterator[Finding]:
    services = [(service.name, ("services", index)) for index, service in enumerate(settings.services)]
    yield from _taken(services)
    yield from _taken(
        [
            (revision.name, ("services", index, "revisions", number))
            for index, service in enumerate(settings.services)
            for number, revision in enumerate(service.revisions)
        ]
    )


def _taken(named: Sequence[tuple[str, Location]]) -> Iterator[Finding]:
    first: dict[str, Location] = {}
    for name, at in named:
        if name and first.setdefault(name, at) != at:
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first[name])
            yield Finding((*at, "name"), f"is the name of {where.removeprefix('.')} already", shown(name))


def _traffic(service: Service, at: Location) -> Iterator[Finding]:
    shares = service.traffic
    if not shares and len(service.revisions) > 1:
        yield Finding((*at, "traffic"), "is required when there are several revisions", needs=((*at, "revisions"),))
    if not shares:
        return
    percents = tuple((*at, "traffic", number, "percent") for number in range(len(shares)))
    if (total := sum(share.percent for share in shares)) != 100:
        message = f"the percentages sum to {total}, not to 100"
        yield Finding((*at, "traffic"), message, needs=percents)
    yield from _shares(service, at)


def _shares(service: Service, at: Location) -> Iterator[Finding]:
    known = [revision.name for revision in service.revisions if revision.name]
    names = tuple((*at, "revisions", number, "name") for number in range(len(service.revisions)))
    tags = Counter(share.tag for share in service.traffic if share.tag)
    plain = Counter(share.revision for share in service.traffic if not share.tag and share.revision)
    for number, share in enumerate(service.traffic):
        place = (*at, "traffic", number)
        yield from _required(share, place)
        if share.revision and share.revision not in known:
            allowed, near = " or ".join(known[:5]), get_close_matches(share.revision, known, 1)
            message = "is no revision of this service"
            yield Finding((*place, "revision"), message, shown(share.revision), allowed, "".join(near), names)
        yield from _repeated(share, place, tags, plain)


def _repeated(share: Traffic, at: Location, tags: Counter[str], plain: Counter[str]) -> Iterator[Finding]:
    if share.tag and tags[share.tag] > 1:
        yield Finding((*at, "tag"), "is the tag of several entries", shown(share.tag))
    if not share.tag and plain[share.revision] > 1:
        message = "is named by several entries without a tag"
        yield Finding((*at, "revision"), message, shown(share.revision), needs=((*at, "tag"),))


def _wakes(settings: Settings) -> Iterator[Finding]:
    """Yield services to be woken that are none. (Of Deployments, which come and go one by one, it is no mistake.)"""
    for index, service in enumerate(settings.services):
        if not any(revision.wakes for revision in service.revisions):
            continue
        known = [each.name for each in settings.services if each.name and each.name != service.name]
        for number, revision in enumerate(service.revisions):
            at = ("services", index, "revisions", number, "wakes")
            for name in revision.wakes:
                if name not in known:
                    near = "".join(get_close_matches(name, known, 1))
                    yield Finding(at, "is no other service", shown(name), " or ".join(known[:5]), near)


def _revision(settings: Settings, revision: Revision, at: Location) -> Iterator[Finding]:
    yield from _required(revision, at)
    if settings.scaler == "process" and "command" not in revision.model_fields_set:
        yield Finding((*at, "command"), "is required with scaler: process", needs=(("scaler",),))
    for name in RESERVED_ENV:
        if name in revision.env:
            yield Finding((*at, "env", name), "is set by the edge for each replica and cannot be chosen")
