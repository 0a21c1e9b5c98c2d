"""The checker: what must hold of every run, whatever was done to it. Each returns the sentences of its violations."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.ledger.rows import NOT_IDEMPOTENT, Asked, Ledgers, Outcome, Sample, Served

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GRACE = 1.0
CLOCKS = 0.01  # seconds by which two clocks that were compared may differ
DESCRIPTORS = 5
RESIDENT_SHARE, RESIDENT_BYTES = 0.10, 16 << 20  # which the allocator keeps, as it is told to (router/tuning.py)


@dataclass(slots=True)
class Budget:
    """What else than whole 2xx a run may have: how many at most of each kind (a status, or an outcome), or a share of
    all requests where it is below 1."""

    kinds: dict[str, float] = field(default_factory=dict)

    def allow(self, kind: str, most: float = 1e9) -> None:
        self.kinds[kind] = most


def one_outcome_each(sent: Iterable[str], asked: Iterable[Asked]) -> list[str]:
    """I1: every id has exactly one outcome, and none hangs past its deadline."""
    rows = list(asked)
    counts = Counter(row.id for row in rows if row.outcome is not None)
    found = [f"{id_} has {counts[id_]} outcomes" for id_ in sent if counts[id_] != 1]
    late = [row for row in rows if row.end - row.sent > row.patience + GRACE]
    return found + [f"{row.id} took {row.end - row.sent:.1f} s, {row.patience:g} s were allowed" for row in late]


def no_duplicates(ledgers: Ledgers, *, killed: bool = False) -> list[str]:
    """I2: what is not idempotent reaches models at most once; else twice, the second only after a failed first. If it
    was `killed`, the edge may have begun what it did not answer, and is not blamed for clients that asked again."""
    methods = {row.id: row.method for row in ledgers.asked}
    again = {row.id: row.retries for row in ledgers.asked if killed}
    found = []
    for id_, all_rows in ledgers.served_of().items():
        rows = all_rows[min(again.get(id_, 0), len(all_rows) - 1) :]
        if id_ not in methods:
            found.append(f"{id_} reached {rows[0].replica}, and nobody asked it")
        elif len(rows) > 2 or (len(rows) == 2 and methods[id_] in NOT_IDEMPOTENT):
            found.append(f"{methods[id_]} {id_} reached models {len(rows)} times")
        elif len(rows) == 2 and rows[0].ending == "end":
            found.append(f"{id_} was sent again though {rows[0].replica} had answered it")
    return found


def answers_are_the_models_own(ledgers: Ledgers) -> list[str]:
    """I3: every whole 2xx was given by a model of the asked service that saw the same body, and arrived unchanged."""
    served = ledgers.served_of()
    found = []
    for row in ledgers.asked:
        if not row.good:
            continue
        rows = served.get(row.id, [])
        if not rows:
            found.append(f"{row.id} has an answer that no model gave")
        elif rows[-1].service != row.service:
            found.append(f"{row.id} to {row.service} was answered by {rows[-1].replica}")
        elif rows[-1].body_hash not in {row.body_hash, ""}:
            found.append(f"the body of {row.id} was changed on its way")
        elif rows[-1].ending == "end" and rows[-1].answer_hash != row.answer_hash:
            found.append(f"the answer to {row.id} was changed on its way")
    return found


def within_concurrency(ledgers: Ledgers, limits: Mapping[str, int]) -> list[str]:
    """I4: no replica ever has more requests than its revision's container-concurrency.

    What the edge has given up on (a timeout of its own, a cut) runs at the model for longer than the edge can know.
    """
    given_up = {row.id: row.end for row in ledgers.asked if not row.good and row.outcome is not Outcome.LEFT}
    by_replica: dict[str, list[Served]] = defaultdict(list)
    for row in ledgers.served:
        if limits.get(row.revision):
            by_replica[row.replica].append(row)
    found = []
    for replica, rows in by_replica.items():
        steps = [(row.head, 1, row.id) for row in rows]
        for row in rows:
            ends = [at for at in (row.end, given_up.get(row.id)) if at is not None]
            if ends:
                steps.append((min(ends), -1, row.id))
        running, limit = 0, limits[rows[0].revision]
        for at, step, id_ in sorted(steps):
            running += step
            if step > 0 and running > limit:
                found.append(f"{replica} got {id_} as its {running}. request at {at:.3f}, {limit} are allowed")
    return found


def within_bounds(ledgers: Ledgers, bounds: Mapping[str, tuple[int, int]]) -> list[str]:
    """I5: replicas stay within min-scale and max-scale (0 = none), and are never 0 while one is held or runs."""
    found = []
    for scaled in ledgers.scaled:
        least, most = bounds.get(scaled.revision, (0, 0))
        if scaled.replicas < least or (most and scaled.replicas > most):
            found.append(f"{scaled.revision} was scaled to {scaled.replicas}, bounds are {least} and {most}")
        if scaled.replicas == 0:
            found += _needed(ledgers, scaled.revision, scaled.at)
    return found


def only_the_leader_shrinks(ledgers: Ledgers) -> list[str]:
    """I6: fewer replicas are accepted only from the edge that holds the Lease at that moment."""
    return [
        f"{row.revision} went from {row.before} to {row.replicas} by {row.by} while {row.leader or 'nobody'} led"
        for row in ledgers.scaled
        if row.replicas < row.before and row.by != row.leader
    ]


def _needed(ledgers: Ledgers, revision: str, at: float) -> list[str]:
    served = [row for row in ledgers.served if row.revision == revision]
    good = {row.id: row for row in ledgers.asked if row.good}
    found = []
    for row in served:
        if row.head < at - CLOCKS and row.ending == "end" and (row.end or 0) > at + CLOCKS:
            found.append(f"{revision} was scaled to 0 at {at:.3f} while {row.id} ran")
        elif row.id in good and row.head - good[row.id].hold < at - CLOCKS and row.head > at + CLOCKS:
            found.append(f"{revision} was scaled to 0 at {at:.3f} while {row.id} was held")
    return found


def nothing_left(before: Sample, after: Sample) -> list[str]:
    """I7: after quiescence nothing is held or runs, and descriptors and memory are back."""
    found = []
    if after.held or after.running:
        found.append(f"{after.held} requests are held and {after.running} run after all have ended")
    if after.descriptors > before.descriptors + DESCRIPTORS:
        found.append(f"descriptors went from {before.descriptors} to {after.descriptors}")
    if after.resident > before.resident * (1 + RESIDENT_SHARE) + RESIDENT_BYTES:
        found.append(f"resident memory went from {before.resident >> 20} to {after.resident >> 20} MiB")
    return found


def no_false_wholes(ledgers: Ledgers) -> list[str]:
    """I8: no answer that its model cut, or did not finish, is marked as whole."""
    served = ledgers.served_of()
    found = []
    for row in ledgers.asked:
        rows = served.get(row.id, [])
        if row.good and rows and rows[-1].ending in {"cut", "broken", ""}:
            ending = rows[-1].ending or "not finished"
            found.append(f"{row.id} looks whole, but was {ending} by {rows[-1].replica}")
    return found


def within_budget(asked: Iterable[Asked], budget: Budget) -> list[str]:
    """I9: nothing but whole 2xx and what the budget allows; the edge's 503 tells when to come back."""
    rows = list(asked)
    kinds: dict[str, list[Asked]] = defaultdict(list)
    for row in rows:
        if not row.good:
            kinds[row.kind].append(row)
    found = []
    for kind, those in sorted(kinds.items()):
        most = budget.kinds.get(kind, 0)
        allowed = most * len(rows) if most < 1 else most
        if len(those) > allowed:
            ids = ", ".join(f"{row.method} {row.id}" for row in those[:5])
            reasons = Counter(row.reason for row in those)
            found.append(f"{len(those)} x {kind} ({dict(reasons)}), {allowed:g} are allowed: {ids}")
    found += [f"{row.id} got 503 without Retry-After" for row in kinds["503"] if row.reason and row.retry_after is None]
    return found
