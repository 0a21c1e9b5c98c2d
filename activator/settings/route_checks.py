"""Hosts and paths lead to one service each: what two services claim is an error, not a question of order. Those that
have models may share them, since no host has two models of one name.

Prefixes may lie within each other (the longest wins). A tag's host, `tag-host`, must be nobody else's host.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activator.settings.problems import Finding, Location, shown
from activator.settings.texts import LONGEST_HOST, LONGEST_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from activator.settings.schema import Service, Settings


@dataclass(frozen=True, slots=True)
class Claim:
    """A host that leads to service number `service`, and the key that says so."""

    host: str
    prefix: str
    service: int
    at: Location
    tag: str = ""

    def __str__(self) -> str:
        return f"services[{self.service}]" + (f" (tag {self.tag})" if self.tag else "")


def check_routes(settings: Settings) -> Iterator[Finding]:
    """Yield hosts and paths that lead to two services, or that cannot be."""
    for index, service in enumerate(settings.services):
        yield from _listed_twice(service.hosts, ("services", index, "hosts"))
        yield from _listed_twice(service.paths, ("services", index, "paths"))
        yield from _listed_twice(service.models, ("services", index, "models"))
        for key, written in (("sleeping-probes", service.sleeping_probes), ("other-models", service.other_models)):
            if written not in {"ready", "refuse"} and not service.models:
                at = ("services", index, key)
                yield Finding(at, "is for services with models", needs=(("services", index, "models"),))
        yield from _long_hosts(service, index)
    claims = (*_hosts(settings), *_tagged_hosts(settings))
    yield from _claimed_twice(settings, claims)
    yield from _models_twice(settings, claims)


def _listed_twice(texts: tuple[str, ...], at: Location) -> Iterator[Finding]:
    for text, count in Counter(texts).items():
        if count > 1:
            yield Finding(at, f"lists {shown(text)} {count} times")


def _long_hosts(service: Service, index: int) -> Iterator[Finding]:
    for number, share in enumerate(service.traffic):
        for host in service.hosts if share.tag else ():
            tagged = f"{share.tag}-{host}"
            if len(tagged.partition(".")[0]) > LONGEST_LABEL or len(tagged) > LONGEST_HOST:
                at = ("services", index, "traffic", number, "tag")
                yield Finding(at, f"is too long for a host name before {shown(host)}", shown(share.tag))


def _claimed_twice(settings: Settings, claims: Sequence[Claim]) -> Iterator[Finding]:
    claimed: defaultdict[tuple[str, str], dict[int | None, Claim]] = defaultdict(dict)
    told: set[tuple[Location, str, int]] = set()
    for claim in claims:
        others = claimed[claim.host, claim.prefix]  # the first of each service with models, and of all without
        shares = bool(settings.services[claim.service].models)
        owner = (others.get(claim.service) or others.get(None)) if shares else next(iter(others.values()), None)
        others.setdefault(claim.service if shares else None, claim)
        if owner is None or (claim.at, claim.host, owner.service) in told:
            continue
        told.add((claim.at, claim.host, owner.service))
        where = f" with path {shown(claim.prefix)}" if claim.prefix != "/" else ""
        both = {claim.service, owner.service}
        needs = tuple(("services", index, key) for index in both for key in ("paths", "models"))
        yield Finding(claim.at, f"host {shown(claim.host)}{where} leads to {owner} already", needs=needs)


def _models_twice(settings: Settings, claims: Sequence[Claim]) -> Iterator[Finding]:
    first: dict[tuple[str, str], Claim] = {}
    told: set[tuple[int, str]] = set()
    for claim in claims:
        for model in dict.fromkeys(settings.services[claim.service].models):
            owner = first.setdefault((claim.host, model), claim)
            if owner.service == claim.service or (claim.service, model) in told:
                continue
            told.add((claim.service, model))
            message = f"lists {shown(model)}, which is a model of {owner} on host {shown(claim.host)} already"
            yield Finding(("services", claim.service, "models"), message, needs=(owner.at, claim.at))


def _hosts(settings: Settings) -> Iterator[Claim]:
    for index, service in enumerate(settings.services):
        for host in dict.fromkeys(service.hosts):
            for prefix in dict.fromkeys(service.paths or ("/",)):
                yield Claim(host, prefix, index, ("services", index, "hosts"))


def _tagged_hosts(settings: Settings) -> Iterator[Claim]:
    for index, service in enumerate(settings.services):
        numbers = {share.tag: number for number, share in reversed(tuple(enumerate(service.traffic))) if share.tag}
        for tag, number in numbers.items():
            for host in dict.fromkeys(service.hosts):
                for prefix in dict.fromkeys(service.paths or ("/",)):
                    at = ("services", index, "traffic", number, "tag")
                    yield Claim(f"{tag}-{host}", prefix, index, at, tag)
