"""One English sentence that tells why a revision has the replicas it has, and what would change it next."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from activator.kpa.explain import sentence
from activator.lifecycle import (
    CALLED,
    DEADLINE,
    EVICTED,
    FOLLOWS,
    GPU_LIMIT,
    IDLE_PERIOD,
    INITIAL_SCALE,
    MAX_SCALE,
    MIN_SCALE,
    NO_TRAFFIC,
    OPEN_REQUESTS,
    PRE_WARM,
    SCALE_TO_ZERO_OFF,
    SHARED_ROOM,
    START_FAILS,
    START_WAITS,
    STARTING,
    UNSETTLED,
)

if TYPE_CHECKING:
    from activator.lifecycle import Outcome

_CLAUSES = {
    MIN_SCALE: "min-scale asks for {after}",
    MAX_SCALE: "max-scale allows {after}",
    INITIAL_SCALE: "initial-scale asks for {after} until so many have been ready once",
    PRE_WARM: "{after} is kept ready for traffic that is about to come",
    SHARED_ROOM: "a rollout in swap mode leaves it room for {after}",
    SCALE_TO_ZERO_OFF: "one is always there because enable-scale-to-zero is off",
    OPEN_REQUESTS: "one is kept for the requests that are held or running",
    STARTING: "the one that is starting may finish its start",
    IDLE_PERIOD: "the last one stays until its idle period ends, {left} from now",
    NO_TRAFFIC: "no traffic is assigned to this revision and no request is open, so it needs none",
    START_FAILS: "its starts keep failing{complaint} and nobody waits, so none is started until a request comes",
    START_WAITS: "its last start failed and the next one is not due yet, so none is started",
    GPU_LIMIT: "the nodes have GPUs for {after}, other namespaces left aside",
    EVICTED: "it has given its GPU to requests of another service, until a request comes",
    FOLLOWS: "another edge leads, and this one only wakes what is at zero",
    UNSETTLED: "as many as there are, {after}, stay until it is agreed that no request is open anywhere",
    CALLED: "the request is one that a service which calls this one has, and is counted ahead",
    DEADLINE: "its start took longer than the progress deadline{complaint}, so it is given up",
}


def tell(outcome: Outcome, now: float) -> str:
    """Return why `outcome` is what it is; `now` is when it was settled."""
    left = _span(outcome.zero_at - now) if outcome.zero_at is not None else ""
    complaint = f" ({outcome.complaint})" if outcome.complaint else ""
    clauses = [_CLAUSES[rule.name].format(after=rule.after, left=left, complaint=complaint) for rule in outcome.rules]
    why = sentence(outcome.decision)
    return f"{why[:-1]}; {'; '.join(clauses)}." if clauses else why


def _span(seconds: float) -> str:
    """Return `seconds`, rounded up, in a unit that is easy to read."""
    return f"{ceil(seconds)} s" if seconds <= 120 else f"{ceil(seconds / 60)} min"
