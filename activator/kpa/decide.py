"""The decision: how many replicas a revision should have, and why.

Knative's rule (pkg/autoscaler/scaling/autoscaler.go, Scale) as a pure function and in its order: what the
load asks for, the rates, the activation scale, panic, the scale-down delay. A later rule overrules an earlier
one, and each that changed the number is told in the result. Bounds such as min-scale come afterwards and
elsewhere.

Numbers of replicas have 32 bits as in Knative; one too large becomes the largest (there it depends on the
processor).
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, NamedTuple

from activator.kpa import delay
from activator.kpa.checks import INT32_MAX
from activator.kpa.decision import (
    ACTIVATION,
    DELAY,
    DOWN_RATE,
    PANIC,
    UP_RATE,
    Clamp,
    Decision,
    Observation,
    State,
)

if TYPE_CHECKING:
    from activator.kpa.spec import Spec

__all__ = ["Clamp", "Decision", "Observation", "State", "decide", "initial_state"]

_HALF_A_NANOSECOND = 5e-10


class _Track(NamedTuple):
    """What one average leads to: `number` is `want` after `clamps`. They compare by number, then by want."""

    number: int
    want: int
    clamps: tuple[Clamp, ...]


def initial_state(ready: int, now: float) -> State:
    """Return the state of a revision first seen at `now`, without history.

    More than one ready replica starts in panic, so that a restart takes nothing away for a stable window.
    """
    return State(panic_since=now if ready > 1 else None, max_panic=ready)


def decide(spec: Spec, state: State, seen: Observation, now: float) -> tuple[State, Decision]:
    """Return the next state, and what is wanted at `now` (not before the previous decision's)."""
    if seen.stable is None or seen.panic is None:
        return state, _undecided(spec, state, seen, now)
    stable = _track(spec, seen.ready, ceil(seen.stable / spec.target))
    panic = _track(spec, seen.ready, ceil(seen.panic / spec.target))
    current = _panic(spec, state, panic.want / max(1, seen.ready), now)
    track = stable if current.panic_since is None else max(stable, panic)
    after, desired, held = _held(spec, current, track.number, now)
    return after, Decision(
        at=now,
        valid=True,
        ready=seen.ready,
        target=spec.target,
        metric=spec.metric,
        stable=seen.stable,
        panic=seen.panic,
        want_stable=stable.want,
        want_panic=panic.want,
        by_panic_window=track is panic,
        desired=desired,
        excess_burst_capacity=_excess(spec, seen.ready, seen.panic),
        panic_since=after.panic_since,
        panic_until=_panic_until(spec, after),
        delay_until=_delay_until(spec, after),
        clamps=track.clamps + held,
    )


def _undecided(spec: Spec, state: State, seen: Observation, now: float) -> Decision:
    return Decision(
        at=now,
        valid=False,
        ready=seen.ready,
        target=spec.target,
        metric=spec.metric,
        panic_since=state.panic_since,
        panic_until=_panic_until(spec, state),
        delay_until=_delay_until(spec, state),
    )


def _track(spec: Spec, ready: int, want: int) -> _Track:
    counted = max(1, ready)
    most = min(ceil(spec.max_scale_up_rate * counted), INT32_MAX)
    least = floor(counted / spec.max_scale_down_rate) if spec.reachable else 0
    raised = max(want, least)
    limited = min(raised, most)
    activated = max(limited, spec.activation_scale) if spec.activation_scale > 1 and want > 0 else limited
    clamps = _clamp(DOWN_RATE, want, raised) + _clamp(UP_RATE, raised, limited)
    return _Track(activated, want, clamps + _clamp(ACTIVATION, limited, activated))


def _panic(spec: Spec, state: State, ratio: float, now: float) -> State:
    if ratio >= spec.panic_threshold:
        return State(now, state.max_panic, state.maxima)
    since = state.panic_since
    if since is not None and now - since - spec.stable_window > _HALF_A_NANOSECOND:
        return State(None, 0, state.maxima)
    return state


def _held(spec: Spec, state: State, number: int, now: float) -> tuple[State, int, tuple[Clamp, ...]]:
    since, most, maxima = state.panic_since, state.max_panic, state.maxima
    kept = number
    if since is not None:
        kept = most = max(number, most)
    delayed = kept
    if _delays(spec):
        wanted = delay.Maximum(delay.bucket(now, spec.tick), kept)
        maxima = delay.record(maxima, wanted, delay.size(spec.scale_down_delay, spec.tick))
        delayed = delay.largest(maxima)
    clamps = _clamp(PANIC, number, kept) + _clamp(DELAY, kept, delayed)
    return State(since, most, maxima), delayed, clamps


def _clamp(name: str, before: int, after: int) -> tuple[Clamp, ...]:
    return () if before == after else (Clamp(name, before, after),)


def _excess(spec: Spec, ready: int, panic: float) -> int:
    if spec.target_burst_capacity <= 0:
        return 0 if spec.target_burst_capacity == 0 else -1
    excess = floor(ready * spec.total - spec.target_burst_capacity - panic)
    return max(-INT32_MAX - 1, min(excess, INT32_MAX))


def _panic_until(spec: Spec, state: State) -> float | None:
    return None if state.panic_since is None else state.panic_since + spec.stable_window


def _delay_until(spec: Spec, state: State) -> float | None:
    if not _delays(spec) or not state.maxima:
        return None
    return delay.until(state.maxima, spec.scale_down_delay, spec.tick)


def _delays(spec: Spec) -> bool:
    return spec.reachable and spec.scale_down_delay > 0
