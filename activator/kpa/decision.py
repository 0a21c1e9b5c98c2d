"""The values that go into a decision and come out of it. All are immutable; times are clock seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from activator.kpa import checks, delay
from activator.kpa.spec import Metric

if TYPE_CHECKING:
    from activator.kpa.spec import Spec

LOAD = "load"
DOWN_RATE = "max-scale-down-rate"
UP_RATE = "max-scale-up-rate"
ACTIVATION = "activation-scale"
PANIC = "panic"
DELAY = "scale-down-delay"

_LONGEST = 1e9


class State(NamedTuple):
    """What one decision hands to the next.

    `panic_since` is when the panic threshold was last met, None outside panic. `max_panic` is the most that
    was wanted during this panic. `maxima` is the scale-down delay's memory.
    """

    panic_since: float | None = None
    max_panic: int = 0
    maxima: delay.Maxima = ()

    def dump(self, spec: Spec, now: float) -> dict[str, object]:
        """Return the state in JSON's types, with ages relative to `now` in seconds."""
        newest = delay.bucket(now, spec.tick)
        return {
            "panic_age": None if self.panic_since is None else max(0.0, now - self.panic_since),
            "max_panic": self.max_panic,
            "maxima": [[max(0, newest - old.bucket) * spec.tick, old.replicas] for old in self.maxima],
        }

    @classmethod
    def load(cls, spec: Spec, data: object, now: float) -> Self:
        """Return what `dump` gave, as if no time had passed since; ValueError if `data` is not like that."""
        fields = checks.mapping(data, "state")
        age = checks.field(fields, "panic_age", "state")
        since = None if age is None else now - checks.number(age, "state.panic_age", 0, _LONGEST)
        most = checks.whole(checks.field(fields, "max_panic", "state"), "state.max_panic", 0)
        maxima = checks.sequence(checks.field(fields, "maxima", "state"), "state.maxima")
        return cls(since, most, tuple(_maximum(entry, spec, now) for entry in maxima))


class Observation(NamedTuple):
    """What is known of a revision now: ready replicas, and averages (None = nothing was measured lately)."""

    ready: int
    stable: float | None
    panic: float | None


class Clamp(NamedTuple):
    """A rule that changed the number of replicas, named like its configuration key."""

    name: str
    before: int
    after: int


class Decision(NamedTuple):
    """How many replicas are `desired`, and why.

    `valid` False: nothing was measured, nothing is to be applied, and the numbers are 0. `want_stable` and
    `want_panic` are what each average alone asks for; `by_panic_window` tells which of them `clamps` start
    from. `excess_burst_capacity` is in requests; negative = the router must stay in the path. `panic_until`
    and `delay_until` are when panic and the scale-down delay let go of the number if load stays away, None
    when they do not apply.
    """

    at: float
    valid: bool
    ready: int
    target: float
    metric: Metric = Metric.CONCURRENCY
    stable: float = 0.0
    panic: float = 0.0
    want_stable: int = 0
    want_panic: int = 0
    by_panic_window: bool = False
    desired: int = 0
    excess_burst_capacity: int = 0
    panic_since: float | None = None
    panic_until: float | None = None
    delay_until: float | None = None
    clamps: tuple[Clamp, ...] = ()

    @property
    def panicking(self) -> bool:
        """True while the number may only grow."""
        return self.panic_since is not None

    @property
    def binding(self) -> str:
        """The rule that had the last word: the name of a clamp, or "load"."""
        return self.clamps[-1].name if self.clamps else LOAD


def _maximum(entry: object, spec: Spec, now: float) -> delay.Maximum:
    where = "state.maxima"
    pair = checks.sequence(entry, where)
    if len(pair) != 2:
        raise ValueError(f"{where}: expected pairs of age and replicas, got {len(pair)} values")
    age = round(checks.number(pair[0], where, 0, _LONGEST) / spec.tick)
    return delay.Maximum(delay.bucket(now, spec.tick) - age, checks.whole(pair[1], where, 0))
