"""A canary's way to its share of the traffic: what it has now, what moves it on, and what takes it back.

RUNNING -> (step by step) -> COMPLETE; ROLLED_BACK by the guard, by starts that keep failing, or by hand; PROMOTED by
hand. All of it is pure: what was seen and how long that took are arguments, and every move is told as an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from activator.kpa import checks
from activator.traffic.guard import Guard, breach, numbers, watch

if TYPE_CHECKING:
    from activator.catalog.model import Canary
    from activator.traffic.counts import Counts

LONGEST = 1e9
ALL = 100
BEGUN = "begun"


class Phase(StrEnum):
    """How far a rollout is."""

    RUNNING = "running"
    COMPLETE = "complete"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"


class Event(NamedTuple):
    """Something that happened to a rollout: `kind` is a word for programs, `why` a sentence with the numbers."""

    kind: str
    why: str
    numbers: dict[str, Any]


class Side(NamedTuple):
    """One revision in the last period: replicas that are ready, and what was answered. `failing` tells why its starts
    keep failing, "" if they do not."""

    ready: int
    counts: Counts
    failing: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is remembered. `percent` is the present step on the way to `goal`, `seconds` (with a ready replica) and
    `requests` are those of it; `warm` = the canary has had a ready replica; `room` is how many replicas the stable
    revision had when it began."""

    identity: str
    goal: int
    percent: int
    phase: Phase = Phase.RUNNING
    warm: bool = False
    seconds: float = 0.0
    requests: int = 0
    room: int = 1
    guard: Guard = field(default_factory=Guard)
    why: str = ""

    def dump(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "guard"}
        return {**plain, "phase": str(self.phase), "guard": self.guard.dump()}

    @classmethod
    def load(cls, data: object) -> Rollout:
        """Return what `dump` gave. ValueError when `data` is not like that."""
        fields, where = checks.mapping(data, "rollout"), "rollout"

        def get(key: str) -> object:
            return checks.field(fields, key, where)

        return cls(
            identity=str(get("identity")),
            phase=Phase(str(get("phase"))),
            goal=checks.whole(get("goal"), "rollout.goal", 0, ALL),
            percent=checks.whole(get("percent"), "rollout.percent", 0, ALL),
            warm=checks.truth(get("warm"), "rollout.warm"),
            seconds=checks.number(get("seconds"), "rollout.seconds", 0, LONGEST),
            requests=checks.whole(get("requests"), "rollout.requests", 0),
            room=checks.whole(get("room"), "rollout.room", 1),
            guard=Guard.load(get("guard"), "rollout.guard"),
            why=str(get("why")),
        )


def begin(canary: Canary, stable_replicas: int) -> Rollout:
    """Return a new rollout beside a stable revision that has so many replicas."""
    percent = canary.ladder[0]
    why = f"{canary.revision} gets {percent} %" if percent else f"{canary.revision} gets no traffic"
    if percent and canary.warm_first:
        why += f"; until it has a replica, {canary.stable} answers for it"
    return Rollout(canary.identity, canary.goal, percent, room=max(1, stable_replicas), why=f"{why}.")


def follow(canary: Canary, before: Rollout | None, stable_replicas: int) -> tuple[Rollout, list[Event]]:
    """Return the rollout as it goes on with a new configuration. Another canary begins anew, and so does one that is at
    0 % when it shall have another share; otherwise a changed goal is approached from where it is, by the
    steps; without steps it counts at once."""
    out = before is not None and (before.phase is Phase.ROLLED_BACK or not before.percent)
    again = before is not None and out and before.goal != canary.goal
    if before is None or before.identity != canary.identity or again:
        rollout = begin(canary, stable_replicas)
        return rollout, [Event(BEGUN, rollout.why, {"percent": rollout.percent})]
    if before.goal == canary.goal:
        return before, []
    if before.phase is Phase.PROMOTED:
        return replace(before, phase=Phase.COMPLETE, goal=canary.goal, percent=canary.goal), []
    percent = min(before.percent, canary.goal) if canary.steps else canary.goal
    return replace(before, phase=Phase.RUNNING, goal=canary.goal, percent=percent, seconds=0.0, requests=0), []


def percents(canary: Canary, rollout: Rollout, stable: int) -> tuple[int, int]:
    """Return the canary's and the stable revision's percentage now; `stable` is the latter's where the goal is
    reached."""
    both = canary.goal + stable
    own = {Phase.ROLLED_BACK: 0, Phase.PROMOTED: both}.get(rollout.phase, rollout.percent)
    return own, both - own


def advance(
    canary: Canary, rollout: Rollout, seen: tuple[Side, Side], shares: tuple[int, int], seconds: float
) -> tuple[Rollout, list[Event]]:
    """Return the rollout after `seconds` in which the canary and the stable revision were as `seen` and had these
    `shares` (percent), and what has happened to it."""
    side = seen[0]
    events: list[Event] = []
    own, rest = shares
    if side.ready and not rollout.warm:
        rollout = replace(rollout, warm=True)
        if own:
            events.append(Event("warm", f"The canary has a replica and takes its {own} %.", {"percent": own}))
    if own and rollout.phase in {Phase.RUNNING, Phase.COMPLETE}:
        rollout, more = _judge(canary, rollout, seen, rest / (own + rest), seconds)
        events += more
    if own and rollout.phase is Phase.RUNNING:
        rollout, more = _climb(canary, rollout, side, seconds)
        events += more
    return (replace(rollout, why=events[-1].why) if events else rollout), events


def promote(canary: Canary, rollout: Rollout) -> tuple[Rollout, list[Event]]:
    """Give the canary all of the stable revision's traffic, once it is warm, as an operator asked for."""
    return _moved(replace(rollout, warm=False), Phase.PROMOTED, f"{canary.revision} was promoted by hand.")


def roll_back(canary: Canary, rollout: Rollout) -> tuple[Rollout, list[Event]]:
    """Give the stable revision all of the canary's traffic, as an operator asked for."""
    return _moved(rollout, Phase.ROLLED_BACK, f"{canary.revision} was rolled back by hand.")


def restart(canary: Canary, stable_replicas: int) -> tuple[Rollout, list[Event]]:
    """Begin the rollout anew, as an operator asked for."""
    rollout = begin(canary, stable_replicas)
    return rollout, [Event("restarted", f"The rollout was begun anew by hand. {rollout.why}", {})]


def _moved(rollout: Rollout, phase: Phase, why: str) -> tuple[Rollout, list[Event]]:
    return replace(rollout, phase=phase, why=why), [Event(str(phase), why, numbers(rollout.guard))]


def _judge(
    canary: Canary, rollout: Rollout, seen: tuple[Side, Side], part: float, seconds: float
) -> tuple[Rollout, list[Event]]:
    keys = canary.guard
    if keys is None or (rollout.phase is Phase.COMPLETE and not part):
        return rollout, []
    guard = watch(keys, rollout.guard, (seen[0].counts, seen[1].counts), part, seconds)
    rollout = replace(rollout, guard=guard)
    reason = breach(keys, guard)
    if not reason and seen[0].failing:
        reason = f"its starts keep failing: {seen[0].failing}"
    if not reason:
        return rollout, []
    return _moved(rollout, Phase.ROLLED_BACK, f"{canary.revision} was rolled back to 0 %: {reason}.")


def _held(canary: Canary, rollout: Rollout, requests: int) -> Event:
    """Tell, once in a step, that it has had its time and lacks requests."""
    wanted, seconds = canary.step_requests, f"{canary.step_seconds:.0f} s"
    why = f"{canary.revision} stays at {rollout.percent} %: {requests} requests in {seconds}, {wanted} are needed."
    return Event("held", why, {"percent": rollout.percent, "requests": requests, "wanted": wanted})


def _climb(canary: Canary, rollout: Rollout, side: Side, seconds: float) -> tuple[Rollout, list[Event]]:
    """Count time and requests of a step, and go on to the next when it has had enough of both."""
    time = rollout.seconds + (seconds if side.ready else 0.0)
    requests = rollout.requests + side.counts.answered
    if time < canary.step_seconds or requests < canary.step_requests:
        held = rollout.seconds < canary.step_seconds <= time
        return replace(rollout, seconds=time, requests=requests), [_held(canary, rollout, requests)] if held else []
    verdict = f"showed nothing against {canary.revision}" if canary.guard else f"were answered by {canary.revision}"
    done = f"{requests} requests in {time:.0f} s at {rollout.percent} % {verdict}"
    told = numbers(rollout.guard)
    if rollout.percent >= canary.goal:
        why = f"{done}: the rollout is complete."
        return replace(rollout, phase=Phase.COMPLETE, seconds=time, requests=requests), [Event("complete", why, told)]
    percent = next(step for step in canary.ladder if step > rollout.percent)
    event = Event("step", f"{done}: it gets {percent} %.", {"percent": percent, **told})
    return replace(rollout, percent=percent, seconds=0.0, requests=0), [event]
