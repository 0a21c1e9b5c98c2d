"""One English sentence that tells why a revision has the replicas it has, and what would change it next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.kpa.explain import sentence
from activator.lifecycle import (
    DEADLINE,
    IDLE_PERIOD,
    INITIAL_SCALE,
    MAX_SCALE,
    MIN_SCALE,
    NO_TRAFFIC,
    OPEN_REQUESTS,
    SCALE_TO_ZERO_OFF,
    START_FAILS,
    START_WAITS,
    STARTING,
)

if TYPE_CHECKING:
    from activator.lifecycle import Outcome

_CLAUSES = {
    MIN_SCALE: "min-scale makes it {after}",
    MAX_SCALE: "max-scale makes it {after}",
    INITIAL_SCALE: "initial-scale makes it {after} until so many have been ready once",
    SCALE_TO_ZERO_OFF: "{after} stays because enable-scale-to-zero is off",
    OPEN_REQUESTS: "{after} stays for the requests that are held or running",
    STARTING: "{after} stays because it is still starting",
    IDLE_PERIOD: "{after} stays until it has been idle for the whole idle period, {left} s from now",
    NO_TRAFFIC: "no traffic is assigned to it, which makes it {after}",
    START_FAILS: "its starts keep failing and nobody waits, which makes it {after}",
    DEADLINE: "its start took longer than the progress deadline, which makes it {after}",
}


def tell(outcome: Outcome, now: float) -> str:
    """Return why `outcome` is what it is; `now` is when it was settled."""
    left = max(0, round(outcome.zero_at - now)) if outcome.zero_at is not None else 0
    clauses = [_CLAUSES[rule.name].format(after=rule.after, left=left) for rule in outcome.rules]
    why = sentence(outcome.decision)
    return f"{why[:-1]}; {'; '.join(clauses)}." if clauses else why
