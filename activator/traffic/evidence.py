"""How strong the evidence is that a canary is worse, in numbers that may be looked at after every request.

An e-process bets against the hypothesis "the canary is no worse": what it starts with is 1, and while the hypothesis
holds it can in expectation only lose, whatever it has seen. So it reaches 1/alpha with a probability of at most alpha
at any time at all (Ville's inequality), however often one looks. docs/canaries.md tells more and proves the factors.

Sources: two samples in blocks: Turner, Ly, Gruenwald, "Generic E-variables for exact sequential k-sample tests that
allow for optional stopping" (2024); the start mixed over time: Shin, Ramdas, Rinaldo, "E-detectors" (2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, log1p
from typing import TYPE_CHECKING, NamedTuple

from activator.kpa import checks

if TYPE_CHECKING:
    from collections.abc import Mapping

LIFTS = (0.02, 0.06, 0.2, 0.5, 0.9)
"""Ways to be worse that are bet on alike: the part of its good requests that the canary would turn into bad ones."""
FLOOR = -700.0
"""Of logarithms; exp() of less is zero."""
Bet = Callable[[float], float]
"""From a lift to the logarithm of a factor."""
NEGLIGIBLE = 37.0
"""Of differences: exp(-37) is lost in a float's precision."""
NOTHING = (FLOOR,) * len(LIFTS)
HIGHEST = 1e300


class Sample(NamedTuple):
    """Requests that ended in one period, and how many of them were bad."""

    number: int
    bad: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Logarithms of what each bet has become: those against "no worse than the stable revision", and those against
    "within the limit". `looks` counts the periods with requests of the canary."""

    looks: int = 0
    stable: tuple[float, ...] = NOTHING
    limit: tuple[float, ...] = NOTHING

    @property
    def ln(self) -> float:
        """Return the natural logarithm of the evidence against both: the weaker of the two."""
        return min(self.stable_ln, _ln_sum(self.limit))

    @property
    def stable_ln(self) -> float:
        """Return the natural logarithm of the evidence against "no worse than the stable revision" alone."""
        return _ln_sum(self.stable)

    def dump(self) -> dict[str, object]:
        """Return it in JSON's types."""
        return {"looks": self.looks, "stable": list(self.stable), "limit": list(self.limit)}

    @classmethod
    def load(cls, data: object, where: str) -> Evidence:
        """Return what `dump` gave. ValueError when `data` is not like that."""
        fields = checks.mapping(data, where)
        looks = checks.whole(checks.field(fields, "looks", where), f"{where}.looks", 0)
        return cls(looks, _bets(fields, "stable", where), _bets(fields, "limit", where))


def look(evidence: Evidence, canary: Sample, rival: Bet, limit: Bet) -> Evidence:
    """Return the evidence after one more period: what comes in is shared by all bets that might have begun just now,
    and each bet is multiplied by its factor."""
    if not canary.number:
        return evidence
    looks = evidence.looks + 1
    start = -log(looks * (looks + 1) * len(LIFTS))

    def after(bets: tuple[float, ...], factor: Bet) -> tuple[float, ...]:
        return tuple(
            max(FLOOR, _ln_add(before, start) + factor(lift)) for before, lift in zip(bets, LIFTS, strict=True)
        )

    return Evidence(looks, after(evidence.stable, rival), after(evidence.limit, limit))


def against_stable(canary: Sample, stable: Sample, guess: float) -> Bet:
    """Return bets that the canary is worse than the stable revision, over requests of one period. `guess` is what part
    of the stable revision's requests is taken to be bad, in (0, 1), from what was seen before this period."""
    return lambda lift: two_samples(canary, stable, _worse(guess, lift), guess)


def against_bound(canary: Sample, most: float) -> Bet:
    """Return bets that more than `most` of the canary's requests are bad, over those of one period; 0 < `most` <= 1.
    Where no larger part is left to bet on, they win nothing."""

    def bet(lift: float) -> float:
        worse = _worse(most, lift)
        return one_sample(canary, worse, most) if worse < 1 else 0.0

    return bet


def two_samples(canary: Sample, stable: Sample, worse: float, guess: float) -> float:
    """Return the logarithm of the factor of one period on a bet that `worse` of the canary's requests are bad and
    `guess` < `worse` of the stable revision's, against any pair in which the canary is no worse."""
    both = (canary.number * worse + stable.number * guess) / (canary.number + stable.number)
    return one_sample(canary, worse, both) + one_sample(stable, guess, both)


def one_sample(sample: Sample, bet: float, fair: float) -> float:
    """Return the logarithm of the likelihood of a sample if `bet` is bad, over that if `fair` is; 0 < `fair` < 1."""
    bad, good = sample.bad, sample.number - sample.bad
    return (bad * log(bet / fair) if bad else 0.0) + (good * log((1 - bet) / (1 - fair)) if good else 0.0)


def upper_bound(sample: Sample, risk: float) -> float:
    """Return a bound that the true part of bad requests exceeds with a probability of at most `risk` (Chernoff)."""
    if not sample.number:
        return 1.0
    budget, seen = log(1 / risk) / sample.number, sample.bad / sample.number
    low, high = seen, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(seen, middle) < budget else (low, middle)
    return high


def _divergence(seen: float, true: float) -> float:
    if true >= 1:
        return 0.0 if seen >= 1 else float("inf")
    bad = seen * log(seen / true) if seen else 0.0
    good = (1 - seen) * log((1 - seen) / (1 - true)) if seen < 1 else 0.0
    return bad + good


def _worse(part: float, lift: float) -> float:
    return part + (1 - part) * lift


def _ln_add(one: float, other: float) -> float:
    high, low = (one, other) if one > other else (other, one)
    return high + log1p(exp(low - high)) if high - low < NEGLIGIBLE else high


def _ln_sum(logarithms: tuple[float, ...]) -> float:
    high = max(logarithms)
    return high + log(sum(exp(each - high) for each in logarithms))


def _bets(fields: Mapping[str, object], key: str, where: str) -> tuple[float, ...]:
    place = f"{where}.{key}"
    found = checks.sequence(checks.field(fields, key, where), place)
    if len(found) != len(LIFTS):
        raise ValueError(f"{place}: expected {len(LIFTS)} numbers, got {len(found)}")
    return tuple(checks.number(each, place, FLOOR, HIGHEST) for each in found)
