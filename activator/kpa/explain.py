"""One sentence that tells why: for the log, the Event and whoever is on call at 3 a.m.

It says what was measured, what that asks for, each rule that changed the number in the order in which they applied,
and until when a rule holds it.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from activator.kpa.decision import ACTIVATION, DELAY, DOWN_RATE, PANIC, UP_RATE
from activator.kpa.spec import Metric

if TYPE_CHECKING:
    from activator.kpa.decision import Clamp, Decision

_CLAUSES = {
    DOWN_RATE: "the scale-down rate keeps at least {after} of {ready} ready",
    UP_RATE: "the scale-up rate allows {after} with {ready} ready",
    ACTIVATION: "the activation scale asks for at least {after}",
    PANIC: "panic mode keeps {after} {left}",
    DELAY: "the scale-down delay keeps {after} {left}",
}


def sentence(decision: Decision) -> str:
    """Return why `decision` is what it is, as one English sentence."""
    if decision.valid:
        clauses = [_load(decision), *(_clause(decision, clamp) for clamp in decision.clamps), *_panic(decision)]
        return f"Wants {decision.desired} because {'; '.join(clauses)}."
    clauses = ["Keeps what was wanted last because nothing was measured lately", *_panic(decision)]
    return f"{'; '.join(clauses)}."


def _load(decision: Decision) -> str:
    window, average, want = "stable", decision.stable, decision.want_stable
    if decision.by_panic_window:
        window, average, want = "panic", decision.panic, decision.want_panic
    if want <= 0:
        return f"the {window} window saw no requests"
    unit = "request" if average == 1 else "requests"
    per = " per second" if decision.metric is Metric.RPS else ""
    verb = "asks" if average == 1 else "ask"
    return (
        f"{_number(average)} {unit}{per} on average over the {window} window {verb} for {want} "
        f"at a target of {_number(decision.target)} per replica"
    )


def _clause(decision: Decision, clamp: Clamp) -> str:
    until = decision.panic_until if clamp.name == PANIC else decision.delay_until
    return _CLAUSES[clamp.name].format(after=clamp.after, ready=decision.ready, left=_left(decision, until))


def _panic(decision: Decision) -> list[str]:
    if not decision.panicking or any(clamp.name == PANIC for clamp in decision.clamps):
        return []
    return [f"panic mode lets nothing go {_left(decision, decision.panic_until)}"]


def _left(decision: Decision, until: float | None) -> str:
    seconds = 0 if until is None else ceil(until - decision.at)
    return f"for at least {seconds} s more" if seconds > 0 else "until the next decision"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
