"""The checker finds what it is there to find."""

from __future__ import annotations

import pytest

from tests.ledger import invariants
from tests.ledger.invariants import Budget
from tests.ledger.rows import Asked, Ledgers, Outcome, Sample, Scaled, Served, read

MIB = 1 << 20


def asked(id_: str = "a", method: str = "GET", **changes: object) -> Asked:
    """Return a client's row: asked at 10 s, answered whole at 11 s."""
    row = Asked(id_, method, "m", 10.0, 5.0, "body", 10.5, 11.0, 200, Outcome.COMPLETE, "answer")
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def served(id_: str = "a", **changes: object) -> Served:
    """Return the row of the model that answered it."""
    row = Served(id_, "m-1-x", 7, 10.2, "body", "end", 10.9, "answer")
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def ledgers(asked_rows: list[Asked], served_rows: list[Served], *scaled: Scaled) -> Ledgers:
    return Ledgers(asked_rows, served_rows, [], list(scaled))


CLEAN = ledgers([asked()], [served()])


def test_a_clean_run_has_no_violation() -> None:
    assert not invariants.one_outcome_each(["a"], CLEAN.asked)
    assert not invariants.no_duplicates(CLEAN)
    assert not invariants.answers_are_the_models_own(CLEAN)
    assert not invariants.within_concurrency(CLEAN, {"m-1": 1})
    assert not invariants.within_bounds(CLEAN, {"m-1": (0, 1)})
    assert not invariants.nothing_left(Sample(0, 0, 20, 60 * MIB), Sample(0, 0, 24, 70 * MIB))
    assert not invariants.no_false_wholes(CLEAN)
    assert not invariants.within_budget(CLEAN.asked, Budget())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([asked(outcome=None)], "a has 0 outcomes"),
        ([asked(), asked()], "a has 2 outcomes"),
        ([asked(end=16.5)], "took 6.5 s"),
    ],
)
def test_i1_finds_requests_without_one_outcome_in_time(rows: list[Asked], words: str) -> None:
    (found,) = invariants.one_outcome_each(["a"], rows)
    assert words in found


@pytest.mark.parametrize(
    ("method", "rows", "words"),
    [
        ("POST", [served(ending="", end=None), served(replica="m-1-y")], "POST a reached models 2 times"),
        ("GET", [served(), served(), served()], "reached models 3 times"),
        ("GET", [served(), served(replica="m-1-y")], "though m-1-x had answered it"),
        ("GET", [served("b")], "nobody asked it"),
    ],
)
def test_i2_finds_duplicates(method: str, rows: list[Served], words: str) -> None:
    (found,) = invariants.no_duplicates(ledgers([asked(method=method)], rows))
    assert words in found


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_i2_blames_no_edge_that_was_killed_for_a_client_that_asked_again(method: str) -> None:
    rows, again = [served(), served(replica="m-1-y")], asked(method=method, retries=1)
    assert not invariants.no_duplicates(ledgers([again], rows), killed=True)
    assert invariants.no_duplicates(ledgers([again], rows))
    assert invariants.no_duplicates(ledgers([again], [*rows, served()]), killed=True)
    assert invariants.no_duplicates(ledgers([asked(method=method)], rows), killed=True)


def test_i2_allows_a_second_try_of_what_is_idempotent_after_a_failure() -> None:
    rows = [served(ending="", end=None), served(replica="m-1-y")]
    assert not invariants.no_duplicates(ledgers([asked()], rows))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "an answer that no model gave"),
        ([served(replica="other-1-x")], "was answered by other-1-x"),
        ([served(body_hash="else")], "the body of a was changed"),
        ([served(answer_hash="else")], "the answer to a was changed"),
    ],
)
def test_i3_finds_answers_that_are_not_the_models_own(rows: list[Served], words: str) -> None:
    (found,) = invariants.answers_are_the_models_own(ledgers([asked()], rows))
    assert words in found


def test_i4_finds_a_replica_with_too_many_requests() -> None:
    both = ledgers([asked(), asked("b")], [served(), served("b", head=10.8)])
    assert not invariants.within_concurrency(both, {"m-1": 2})
    (found,) = invariants.within_concurrency(both, {"m-1": 1})
    assert "got b as its 2. request" in found


def test_i4_does_not_count_what_the_edge_has_given_up_on() -> None:
    timed_out = asked(status=504, end=10.7)
    both = ledgers([timed_out, asked("b")], [served(end=None), served("b", head=10.8)])
    assert not invariants.within_concurrency(both, {"m-1": 1})


@pytest.mark.parametrize(
    ("scaled", "words"),
    [
        (Scaled(9.0, "m-1", 4, 1), "scaled to 4, bounds are 1 and 3"),
        (Scaled(9.0, "m-1", 0, 1), "scaled to 0, bounds"),
    ],
)
def test_i5_finds_replicas_out_of_bounds(scaled: Scaled, words: str) -> None:
    (found,) = invariants.within_bounds(ledgers([], [], scaled), {"m-1": (1, 3)})
    assert words in found


@pytest.mark.parametrize(("at", "words"), [(10.5, "while a ran"), (10.1, "while a was held"), (9.9, ""), (11.5, "")])
def test_i5_finds_a_way_to_zero_while_someone_needs_it(at: float, words: str) -> None:
    found = invariants.within_bounds(ledgers([asked(hold=0.2)], [served()], Scaled(at, "m-1", 0, 1)), {})
    assert words in "".join(found)
    assert bool(found) is bool(words)


@pytest.mark.parametrize(
    ("by", "leader", "replicas", "words"),
    [
        ("edge-0", "edge-1", 1, "m-1 went from 2 to 1 by edge-0 while edge-1 led"),
        ("edge-0", "", 0, "while nobody led"),
        ("edge-0", "edge-0", 0, ""),
        ("edge-0", "edge-1", 3, ""),
    ],
)
def test_i6_finds_fewer_replicas_by_anyone_but_the_leader(by: str, leader: str, replicas: int, words: str) -> None:
    found = invariants.only_the_leader_shrinks(ledgers([], [], Scaled(1.0, "m-1", replicas, 2, by, leader)))
    assert [words in each for each in found] == ([True] if words else [])


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (Sample(1, 0, 20, 60 * MIB), "1 requests are held"),
        (Sample(0, 1, 20, 60 * MIB), "1 run"),
        (Sample(0, 0, 26, 60 * MIB), "descriptors went from 20 to 26"),
        (Sample(0, 0, 20, 90 * MIB), "memory went from 60 to 90 MiB"),
    ],
)
def test_i7_finds_what_is_left(after: Sample, words: str) -> None:
    (found,) = invariants.nothing_left(Sample(0, 0, 20, 60 * MIB), after)
    assert words in found


@pytest.mark.parametrize("ending", ["cut", "broken", ""])
def test_i8_finds_answers_that_only_look_whole(ending: str) -> None:
    (found,) = invariants.no_false_wholes(ledgers([asked()], [served(ending=ending)]))
    assert "a looks whole" in found


def test_i9_finds_what_no_budget_allows() -> None:
    budget = Budget()
    rows = [asked(), asked("b", outcome=Outcome.RESET), asked("c", status=502)]
    assert len(invariants.within_budget(rows, budget)) == 2
    budget.allow("reset", 1)
    budget.allow("502", 0.5)
    assert not invariants.within_budget(rows, budget)


def test_i9_finds_a_503_that_does_not_tell_when_to_come_back() -> None:
    budget = Budget({"503": 2})
    told, silent = (asked(id_, status=503, reason="queue_full") for id_ in "ab")
    told.retry_after = 5.0
    assert invariants.within_budget([told, silent], budget) == ["b got 503 without Retry-After"]


def test_a_models_ledger_is_read_as_far_as_it_was_written() -> None:
    lines = [
        "start 7 m-1-x - 1000000000 20001",
        "head 7 m-1-x a 2000000000 -",
        "body 7 m-1-x a 2100000000 body",
        "head 7 m-1-x b 2200000000 -",
        "end 7 m-1-x a 2300000000 answer",
        "broken 7 m-1-x a 2400000000 -",
    ]
    rows, (started,) = read(lines)
    assert (started.revision, started.port, started.at) == ("m-1", 20001, 1.0)
    whole, unfinished = rows
    assert (whole.service, whole.ending, whole.answer_hash, whole.body_hash) == ("m", "end", "answer", "body")
    assert whole.end == 2.4
    assert (unfinished.id, unfinished.ending, unfinished.end) == ("b", "", None)
