"""What a catalog says, wherever it comes from: the routing table, and a plan for each revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.kpa.spec import Bounds, Spec
    from activator.scalers.base import ReplicaSpec
    from router.table import Table


@dataclass(frozen=True, slots=True)
class RevisionPlan:
    """Everything that is settled about one revision before it has any traffic. It `wakes` the revisions that it will
    call.
    """

    name: str
    service: str
    spec: Spec
    bounds: Bounds
    replica: ReplicaSpec
    wakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All services at one moment, replaced whole. `plans` has every revision by name, also those without traffic."""

    table: Table
    plans: Mapping[str, RevisionPlan]
