"""From what the decision wants to how many replicas there shall be: bounds, first start, idle period, failing starts.

Knative's rules are in pkg/reconciler/autoscaling/kpa/scaler.go; this project decides otherwise in that the idle period
is meant literally, and a start that goes on is never given up for silence. All of it is pure: time is an argument, and
each rule that changed the number is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from activator.kpa.decision import Clamp
from activator.scalers.backoff import backoff
from activator.scalers.base import Phase
from router.ports import Endpoint, Replicas, StartStatus

if TYPE_CHECKING:
    from activator.kpa.decision import Decision
    from activator.kpa.spec import Bounds, Spec
    from activator.scalers.base import ReplicaSet
    from router.ports import RevisionStats

MIN_SCALE = "min-scale"
MAX_SCALE = "max-scale"
INITIAL_SCALE = "initial-scale"
PRE_WARM = "pre-warm"
SHARED_ROOM = "shared room"
SCALE_TO_ZERO_OFF = "enable-scale-to-zero"
OPEN_REQUESTS = "open requests"
STARTING = "starting"
IDLE_PERIOD = "idle period"
NO_TRAFFIC = "no traffic assigned"
START_FAILS = "start fails"
START_WAITS = "start waits"
DEADLINE = "progress-deadline"
GPU_LIMIT = "gpu-limit"
EVICTED = "evicted"
FOLLOWS = "another edge leads"
UNSETTLED = "not agreed yet"
CALLED = "counted ahead"

FIRST_RETRY = 10.0


@dataclass(frozen=True, slots=True)
class Life:
    """What is remembered of a revision between decisions. Times are clock seconds.

    `initialized` = it has once had its initial scale; `awake_since` = when its first replica became ready after it was
    at zero (None at zero); `overdue` counts starts in a row that passed the progress deadline, of which the last was
    given up at `given_up_at` for its `complaint`; after failed starts the next one is not before `retry_at`. All that
    is about one `edition` of the replicas.
    `evicted` = it has given way to another, until a request comes or its bounds want it.
    """

    initialized: bool = False
    awake_since: float | None = None
    overdue: int = 0
    retry_at: float | None = None
    evicted: bool = False
    given_up_at: float | None = None
    complaint: str = ""
    edition: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many replicas there shall be, by which decision and rules, and when the last one goes if nothing comes.
    `complaint` is what was wrong with a start that failed or is given up, where that is known."""

    decision: Decision
    replicas: int
    rules: tuple[Clamp, ...] = ()
    idle_since: float | None = None
    zero_at: float | None = None
    complaint: str = ""

    @property
    def gives_up(self) -> bool:
        """Whether no replica is tried any more, since starts fail or take too long."""
        return any(rule.name in {START_FAILS, DEADLINE} for rule in self.rules)


def settle(
    plan: tuple[Spec, Bounds], life: Life, decision: Decision, seen: tuple[ReplicaSet, RevisionStats], now: float
) -> tuple[Life, Outcome]:
    """Return the next state and how many replicas of the revision there shall be at `now`."""
    spec, bounds = plan
    replicas, stats = seen
    life = _grow(_of_edition(life, replicas), bounds, replicas)
    wanted = decision.desired if decision.valid else replicas.desired
    number, rules = _bounded(spec, bounds, life, wanted)
    outcome = _limited(bounds, Outcome(decision, number, rules, stats.idle_since), seen)
    if life.evicted and not (stats.open or bounds.min_scale or bounds.pre_warm):
        return life, ruled(outcome, EVICTED, 0)
    life = replace(life, evicted=False)
    if outcome.replicas and not spec.reachable and not stats.open:
        outcome = ruled(outcome, NO_TRAFFIC, 0)
    asked = outcome
    if outcome.replicas == 0:
        outcome = _to_zero(plan, life, outcome, seen, now)
    if outcome.replicas and _overdue(bounds, replicas, now):
        life = _given_up(life, replicas, now)
        outcome = replace(ruled(outcome, DEADLINE, 0), complaint=life.complaint)
    if outcome.replicas and not _alive(replicas):  # the last one neither starts nor stays: it has died
        if not stats.open and bounds.min_scale == 0 and (life.overdue or _hopeless(bounds, replicas)):
            life = replace(life, retry_at=replicas.retry_at or life.retry_at)
            outcome = replace(ruled(asked, START_FAILS, 0), complaint=replicas.last_failure or life.complaint)
        elif _backing_off(life, now):
            outcome = ruled(asked, START_WAITS, 0)
    return life, outcome


def ruled(outcome: Outcome, rule: str, number: int) -> Outcome:
    """Return the outcome as one more rule makes it."""
    return replace(outcome, replicas=number, rules=(*outcome.rules, Clamp(rule, outcome.replicas, number)))


def failing(bounds: Bounds, life: Life, replicas: ReplicaSet, now: float) -> bool:
    """Tell whether starts keep failing: those who wait are told, and the next start waits for a new request."""
    life = _of_edition(life, replicas)
    return not _alive(replicas) and (_backing_off(life, now) or _hopeless(bounds, replicas))


def present(bounds: Bounds, life: Life, replicas: ReplicaSet, now: float) -> Replicas:
    """Return a revision's replicas as the router sees them: who can be sent requests, and what is known of a start."""
    life = _of_edition(life, replicas)
    ready = [replica for replica in replicas.replicas if replica.phase is Phase.READY]
    return Replicas(
        replicas.revision,
        tuple(Endpoint(replica.name, replica.host, replica.port) for replica in ready),
        StartStatus(
            phase=_phase(bounds, life, replicas, now),
            message=_message(bounds, life, replicas, now),
            attempts=replicas.failures + life.overdue,
            retry_at=max((at for at in (replicas.retry_at, life.retry_at) if at is not None), default=None),
        ),
        {replica.name: replica.tls for replica in ready if replica.tls is not None},
    )


def _of_edition(life: Life, replicas: ReplicaSet) -> Life:
    """Return `life` without the starts that failed before what is run was changed."""
    if life.edition == replicas.edition:
        return life
    return replace(life, overdue=0, retry_at=None, edition=replicas.edition)


def _grow(life: Life, bounds: Bounds, replicas: ReplicaSet) -> Life:
    ready = [replica.since for replica in replicas.replicas if replica.phase is Phase.READY]
    if not ready:
        return life if replicas.desired else replace(life, awake_since=None)
    awake = min(ready) if life.awake_since is None else life.awake_since
    most = bounds.max_scale or bounds.initial_scale
    room = replicas.room if bounds.gpu_limit and replicas.room is not None else most
    enough = min(bounds.initial_scale, most, room)
    initialized = life.initialized or len(ready) >= enough
    return Life(initialized=initialized, awake_since=awake, evicted=life.evicted, edition=life.edition)


def _bounded(spec: Spec, bounds: Bounds, life: Life, wanted: int) -> tuple[int, tuple[Clamp, ...]]:
    rules: list[Clamp] = []
    number = wanted
    if spec.reachable:
        number = _apply(rules, MIN_SCALE, number, max(number, bounds.min_scale))
        if not life.initialized and life.retry_at is None:
            number = _apply(rules, INITIAL_SCALE, number, max(number, bounds.initial_scale))
    number = _apply(rules, PRE_WARM, number, max(number, bounds.pre_warm))
    if bounds.max_scale:
        number = _apply(rules, MAX_SCALE, number, min(number, bounds.max_scale))
    if bounds.cap is not None:
        number = _apply(rules, SHARED_ROOM, number, min(number, bounds.cap))
    return number, tuple(rules)


def _limited(bounds: Bounds, outcome: Outcome, seen: tuple[ReplicaSet, RevisionStats]) -> Outcome:
    """Have no more replicas than GPUs, but one for requests that are held or about to come, or by min-scale: nodes may
    come, for a pod that waits."""
    replicas, stats = seen
    if replicas.room is None or not bounds.gpu_limit:
        return outcome
    most = max(replicas.room, 1 if stats.open or bounds.min_scale or bounds.pre_warm else 0)
    return ruled(outcome, GPU_LIMIT, most) if outcome.replicas > most else outcome


def _apply(rules: list[Clamp], name: str, before: int, after: int) -> int:
    if after != before:
        rules.append(Clamp(name, before, after))
    return after


def _to_zero(
    plan: tuple[Spec, Bounds], life: Life, outcome: Outcome, seen: tuple[ReplicaSet, RevisionStats], now: float
) -> Outcome:
    """Decide whether the last replica goes: never while a request is open, nor before the idle period is over."""
    spec, bounds = plan
    replicas, stats = seen
    if stats.open:
        return ruled(outcome, OPEN_REQUESTS, 1)
    if spec.reachable and not bounds.enable_scale_to_zero and (replicas.desired or bounds.cap != 0):
        return ruled(outcome, SCALE_TO_ZERO_OFF, 1)
    if not replicas.desired:
        return outcome
    if not spec.reachable and stats.tagged_since is None:
        return outcome
    if life.awake_since is None:
        return outcome if _unscheduled(replicas) else ruled(outcome, STARTING, 1)
    last = stats.idle_since if spec.reachable else stats.tagged_since
    zero_at = max(life.awake_since, last or 0.0) + bounds.idle_period
    if now < zero_at:
        return replace(ruled(outcome, IDLE_PERIOD, 1), zero_at=zero_at)
    return outcome


def _overdue(bounds: Bounds, replicas: ReplicaSet, now: float) -> bool:
    """Tell whether a start has used up its deadline while nothing is ready; pending time does not count."""
    started = _starting(replicas)
    if not started or replicas.count(Phase.READY):
        return False
    return now - min(started) > bounds.progress_deadline


def _starting(replicas: ReplicaSet) -> list[float]:
    return [replica.since for replica in replicas.replicas if replica.phase is Phase.STARTING]


def _given_up(life: Life, replicas: ReplicaSet, now: float) -> Life:
    """Count a start that has used up its deadline: once, though it may take several decisions until it is agreed
    that its replica goes."""
    if life.given_up_at is not None and min(_starting(replicas)) <= life.given_up_at:
        return life
    overdue = life.overdue + 1
    retry_at = now + backoff(overdue, FIRST_RETRY)
    return replace(life, overdue=overdue, retry_at=retry_at, given_up_at=now, complaint=_told(replicas))


def _alive(replicas: ReplicaSet) -> bool:
    return any(replica.phase is not Phase.DRAINING for replica in replicas.replicas)


def _unscheduled(replicas: ReplicaSet) -> bool:
    """Tell whether nothing of a start has begun: nobody waits any more, so nothing is lost."""
    alive = [replica.phase for replica in replicas.replicas if replica.phase is not Phase.DRAINING]
    return bool(alive) and all(phase is Phase.PENDING for phase in alive)


def _hopeless(bounds: Bounds, replicas: ReplicaSet) -> bool:
    return replicas.failures >= bounds.start_attempts or replicas.doomed


def _backing_off(life: Life, now: float) -> bool:
    return life.retry_at is not None and now < life.retry_at


def _phase(bounds: Bounds, life: Life, replicas: ReplicaSet, now: float) -> str:
    if replicas.count(Phase.READY):
        return "ready"
    if failing(bounds, life, replicas, now):
        return "failing"
    if not replicas.desired:
        return "asleep"
    waiting = replicas.count(Phase.PENDING) and not replicas.count(Phase.STARTING)
    return "pending" if waiting else "starting"


def _message(bounds: Bounds, life: Life, replicas: ReplicaSet, now: float) -> str:
    late = _late(bounds, life) if life.overdue else ""
    if _backing_off(life, now) and late:
        return late
    return _told(replicas) or replicas.last_failure or late


def _late(bounds: Bounds, life: Life) -> str:
    late = f"no replica became ready within {bounds.progress_deadline:g} s ({DEADLINE})"
    return f"{late}: {life.complaint}" if life.complaint else late


def _told(replicas: ReplicaSet) -> str:
    return next((replica.message for replica in replicas.replicas if replica.message), "")
