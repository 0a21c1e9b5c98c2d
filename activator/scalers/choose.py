"""Which replicas to end when there are too many: those whose end costs least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.scalers.base import Phase, Replica

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COST = {Phase.PENDING: 0, Phase.STARTING: 1, Phase.READY: 2}


def victims(replicas: Iterable[Replica], in_flight: Mapping[str, int], count: int) -> list[Replica]:
    """Return the `count` of `replicas` (in the order they were started, none draining) to end.

    Those not ready come first, then those with the fewest requests in flight; the newest among equals.
    """
    newest_first = list(replicas)[::-1]
    newest_first.sort(key=lambda replica: (_COST[replica.phase], in_flight.get(replica.name, 0)))
    return newest_first[:count]
