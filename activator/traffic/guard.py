"""Whether a canary is worse than the stable revision: in errors, or in how long the slowest of its requests take.

Errors: it is worse if more of its requests fail than the stable revision's, and more than is tolerated. Durations: it
is worse if its 95th percentile is beyond the stable revision's by more than a factor; that is, if more than 5 % of its
requests, and a larger part than of the stable revision's, take longer than that. Both are settled by `evidence`, and a
verdict does not wait for the end of anything: docs/canaries.md says why it may not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log
from typing import TYPE_CHECKING, Any

from activator.kpa import checks
from activator.traffic.counts import Counts, Recent
from activator.traffic.evidence import Evidence, Sample, against_bound, against_stable, look, upper_bound
from router.tally import bucket

if TYPE_CHECKING:
    from activator.catalog.model import GuardKeys
    from activator.traffic.evidence import Bet

FEW = 0.2
"""Below this part of both revisions' traffic the stable one's requests are too few; what is known of it counts."""
SLOW_PART = 0.05
TIMED = 40
"""Requests of the stable revision that its 95th percentile needs."""
SHARES = (0.4, 0.4, 0.2)
"""How the permitted risk of a false alarm is divided: errors, durations, the bound of what is known of the stable."""
LEAST, MOST = 1e-9, 0.999


@dataclass(frozen=True, slots=True)
class Guard:
    """What has been seen. `baseline` bounds the part of the stable revision's requests that fail, once it gets too few
    to compare with."""

    errors: Evidence = field(default_factory=Evidence)
    slowness: Evidence = field(default_factory=Evidence)
    canary: Recent = field(default_factory=Recent)
    stable: Recent = field(default_factory=Recent)
    baseline: float | None = None

    def dump(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {
            "errors": self.errors.dump(),
            "slowness": self.slowness.dump(),
            "canary": self.canary.dump(),
            "stable": self.stable.dump(),
            "baseline": self.baseline,
        }

    @classmethod
    def load(cls, data: object, where: str) -> Guard:
        """Return what `dump` gave. ValueError when `data` is not like that."""
        fields = checks.mapping(data, where)
        baseline = checks.field(fields, "baseline", where)
        return cls(
            Evidence.load(checks.field(fields, "errors", where), f"{where}.errors"),
            Evidence.load(checks.field(fields, "slowness", where), f"{where}.slowness"),
            Recent.load(checks.field(fields, "canary", where), f"{where}.canary"),
            Recent.load(checks.field(fields, "stable", where), f"{where}.stable"),
            None if baseline is None else checks.number(baseline, f"{where}.baseline", 0, 1),
        )


def watch(keys: GuardKeys, guard: Guard, seen: tuple[Counts, Counts], part: float, seconds: float) -> Guard:
    """Return the guard after `seconds` in which the canary and the stable revision answered what was `seen`; `part` is
    the stable one's part of the traffic of both. All that bets rest on was known before."""
    canary, stable = seen
    errors, slowness, baseline = guard.errors, guard.slowness, guard.baseline
    if part >= FEW:
        baseline = None
    if canary.answered:
        known = guard.stable.all
        if part < FEW and baseline is None:
            baseline = upper_bound(Sample(known.answered, known.failed), keys.risk * SHARES[2])
        errors = _errors(keys, errors, seen, known, baseline)
        slowness = _slowness(keys, slowness, seen, known, baseline)
    return Guard(
        errors,
        slowness,
        guard.canary.add(canary, seconds, keys.window, keys.min_requests),
        guard.stable.add(stable, seconds, keys.window, max(keys.min_requests, TIMED)),
        baseline,
    )


def breach(keys: GuardKeys, guard: Guard) -> str:
    """Return why the canary is to be taken out, with the numbers; "" while nothing speaks against it, or too little."""
    if guard.canary.answered < keys.min_requests:
        return ""
    if guard.errors.ln >= log(1 / (keys.risk * SHARES[0])):
        return f"it fails more often than the stable revision: {_rates(guard)} ({_odds(guard.errors)})"
    if guard.slowness.ln >= log(1 / (keys.risk * SHARES[1])):
        return f"it is slower than the stable revision: {_times(guard)} ({_odds(guard.slowness)})"
    return ""


def numbers(guard: Guard) -> dict[str, Any]:
    """Return what a verdict rests on, over the last one to two windows; the evidence as decimal logarithms."""
    sides = {"canary": guard.canary.all, "stable": guard.stable.all}
    told: dict[str, Any] = {
        side: {
            "requests": counts.answered,
            "failed": counts.failed,
            "p95_seconds": None if counts.p95 is None else round(counts.p95, 4),
        }
        for side, counts in sides.items()
    }
    evidence = {"errors": guard.errors, "slowness": guard.slowness}
    return {**told, "evidence": {test: round(each.ln / log(10), 2) for test, each in evidence.items()}}


def too_slow(keys: GuardKeys, known: Counts) -> int | None:
    """Return the bucket beyond which a request of the canary counts as slow; None while too little is known of the
    stable revision, or when durations are not to be judged."""
    p95 = known.p95
    if p95 is None or known.timed < TIMED or not keys.max_slowdown:
        return None
    return bucket(p95 * keys.max_slowdown)


def _errors(
    keys: GuardKeys, evidence: Evidence, seen: tuple[Counts, Counts], known: Counts, baseline: float | None
) -> Evidence:
    canary, stable = (Sample(counts.answered, counts.failed) for counts in seen)
    rival: Bet
    if baseline is None:
        rival = against_stable(canary, stable, _guess(known.answered, known.failed))
    else:
        rival = against_bound(canary, min(max(baseline, LEAST), MOST))
    return look(evidence, canary, rival, against_bound(canary, max(keys.tolerated_errors, LEAST)))


def _slowness(
    keys: GuardKeys, evidence: Evidence, seen: tuple[Counts, Counts], known: Counts, baseline: float | None
) -> Evidence:
    limit = too_slow(keys, known)
    if limit is None:
        return evidence
    canary, stable = (Sample(counts.timed, counts.slower(limit)) for counts in seen)
    beyond = against_bound(canary, SLOW_PART)
    rival = beyond if baseline is not None else against_stable(canary, stable, _guess(known.timed, known.slower(limit)))
    return look(evidence, canary, rival, beyond)


def _guess(number: int, bad: int) -> float:
    return (bad + 0.5) / (number + 10)


def _rates(guard: Guard) -> str:
    canary, stable = guard.canary.all, guard.stable.all
    failed = f"{canary.failed} of {canary.answered} requests failed"
    return f"{failed}, of the stable one's {stable.failed} of {stable.answered}"


def _times(guard: Guard) -> str:
    canary, stable = guard.canary.all.p95, guard.stable.all.p95
    return f"95 % of its requests took up to {canary or 0:.3g} s, of the stable one's up to {stable or 0:.3g} s"


def _odds(evidence: Evidence) -> str:
    """Return the evidence as the most that chance would make it."""
    return f"by chance with a probability of at most {exp(-evidence.ln):.1g}"
