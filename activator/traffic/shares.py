"""What a rollout means for everybody else: the shares that the router gets, and the bounds of both revisions.

A catalog says where the traffic shall end; what comes out here says where it is now, and is replaced whole like it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from activator.traffic.rollout import Phase, percents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.model import Canary, Catalog, RevisionPlan
    from activator.traffic.rollout import Rollout
    from router.table import Service, Share


class Have(NamedTuple):
    """A revision's replicas: those that serve or will, and those that drain."""

    serving: int = 0
    leaving: int = 0

    @property
    def all(self) -> int:
        """How many GPUs it occupies."""
        return self.serving + self.leaving


NONE = Have()


@dataclass(frozen=True, slots=True)
class Need:
    """What each revision of a rollout in swap mode has now, and how many replicas the canary wants; `room` is what the
    stable one had when the rollout began, or what all traffic has needed at a time since, if that is more."""

    canary: Have = NONE
    stable: Have = NONE
    wanted: int = 1
    room: int = 1


def effective(
    catalog: Catalog, rollouts: Mapping[str, Rollout], needs: Mapping[str, Need], comparisons: Mapping[str, int]
) -> Catalog:
    """Return the catalog as the router and the loop shall see it now. All mappings are by service; the number of a
    comparison changes when it is to begin anew."""
    plans = dict(catalog.plans)
    services = []
    for service in catalog.table.services:
        canary = catalog.canaries.get(service.name)
        if canary is not None:
            rollout = rollouts[service.name]
            own, rest = percents(canary, rollout, percent_of(service, canary.stable))
            plans |= _planned(catalog, canary, rollout, (own, rest), needs.get(service.name))
            services.append(shared(service, canary, rollout, comparisons[service.name]))
        else:
            services.append(service)
    return replace(catalog, table=replace(catalog.table, services=tuple(services)), plans=plans)


def percent_of(service: Service, revision: str) -> int:
    """Return the part of a service's traffic that a revision has, over all its shares."""
    return sum(share.percent for share in service.shares if share.revision.name == revision)


def shared(service: Service, canary: Canary, rollout: Rollout, comparison: int) -> Service:
    """Return the service with the shares that it has now. The canary's stands behind the stable revision's, so that
    only the border between the two moves."""
    own, rest = percents(canary, rollout, percent_of(service, canary.stable))
    service = _compared(service, canary, comparison)
    stable = _with_percent(service, canary.stable, rest)
    fallback = stable[0].revision if falls_back(canary, rollout, (own, rest)) else None
    mine = [replace(share, fallback=fallback) for share in _with_percent(service, canary.revision, own)]
    shares: list[Share] = []
    for share in service.shares:
        name = share.revision.name
        if name == canary.stable:
            shares += [*stable, *mine] if stable else []
            stable = []
        elif name != canary.revision:
            shares.append(share)
    return replace(service, shares=tuple(shares))


def falls_back(canary: Canary, rollout: Rollout, shares: tuple[int, int]) -> bool:
    """Tell whether the stable revision answers for a canary that has no replica: as it is configured, but not once the
    canary has taken its place for good."""
    own, rest = shares
    if not own or (canary.warm_first and not rollout.warm):
        return True
    return not canary.hold and (rest > 0 or rollout.phase is Phase.RUNNING)


def caps(need: Need, own: int, rest: int, *, keeps: bool) -> tuple[int, int]:
    """Return the most replicas that a canary with `own` percent may have, and a stable revision with `rest` (that
    `keeps` at least one), so that both together never have more than one beyond the room. The canary gets what it
    wants, within its part of the room, as the stable one goes."""
    room = need.room + 1
    part = min(ceil(room * own / (own + rest)), room - int(keeps)) if own else 0
    target = min(max(need.wanted, 1), part)
    stable = max(0, room - max(target, need.canary.all))
    return _cap(need.canary, max(0, room - max(stable, need.stable.all))), _cap(need.stable, stable)


def _cap(have: Have, share: int) -> int:
    """Return how many replicas may serve, so that with those that drain they are within a share of the room; none is
    given up for one that drains already."""
    return max(share - have.leaving, min(have.serving, share))


def _planned(
    catalog: Catalog, canary: Canary, rollout: Rollout, shares: tuple[int, int], need: Need | None
) -> dict[str, RevisionPlan]:
    own, rest = shares
    kept = rollout.phase is Phase.RUNNING and not rest  # to come back to
    warming = own > 0 and canary.warm_first and not rollout.warm
    most = (None, None) if need is None else caps(need, own, rest, keeps=kept or rest > 0)
    called = catalog.plans[canary.revision].wakes if warming else ()
    return {
        **{name: _called(catalog.plans[name]) for name in called if name in catalog.plans},
        canary.revision: _plan(catalog.plans[canary.revision], own > 0, int(warming), most[0]),
        canary.stable: _plan(catalog.plans[canary.stable], rest > 0 or kept, 0, most[1]),
    }


def _plan(plan: RevisionPlan, reachable: bool, pre_warm: int, cap: int | None) -> RevisionPlan:
    return replace(
        plan,
        spec=replace(plan.spec, reachable=reachable),
        bounds=replace(plan.bounds, pre_warm=pre_warm, cap=cap),
    )


def _called(plan: RevisionPlan) -> RevisionPlan:
    """Return the plan of a revision that a canary calls, which is warm first with it."""
    return replace(plan, bounds=replace(plan.bounds, pre_warm=1))


def _compared(service: Service, canary: Canary, comparison: int) -> Service:
    both = {canary.revision, canary.stable}
    shares = [
        replace(share, revision=replace(share.revision, compared=comparison)) if share.revision.name in both else share
        for share in service.shares
    ]
    return replace(service, shares=tuple(shares))


def _with_percent(service: Service, revision: str, percent: int) -> list[Share]:
    """Return a revision's shares, the first of them with all of `percent`."""
    shares = [share for share in service.shares if share.revision.name == revision]
    return [replace(share, percent=percent if number == 0 else 0) for number, share in enumerate(shares)]
