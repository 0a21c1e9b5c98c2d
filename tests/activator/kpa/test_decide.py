from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.kpa.decide import Clamp, Decision, Observation, State, decide, initial_state
from activator.kpa.delay import Maximum
from activator.kpa.spec import Spec

GPU = Spec(target=1.0, total=1.0)
STOCK = Spec(
    target=10.0,
    total=10 / 0.75,
    stable_window=60.0,
    max_scale_up_rate=10.0,
    max_scale_down_rate=10.0,
    target_burst_capacity=0.0,
    tick=2.0,
)
ONES = replace(STOCK, target=1.0, total=1 / 0.75, target_burst_capacity=98.0)
CALM = State()


def made(spec: Spec, seen: Observation, state: State = CALM, now: float = 0.0) -> Decision:
    return decide(spec, state, seen, now)[1]


def run(spec: Spec, ready: int, *history: tuple[float, int, float, float]) -> list[Decision]:
    """Decide for each (now, ready, stable, panic) in turn, beginning with `ready` at 0."""
    state, decisions = initial_state(ready, 0.0), []
    for now, count, stable, panic in history:
        state, decision = decide(spec, state, Observation(count, stable, panic), now)
        decisions.append(decision)
    return decisions


@pytest.mark.parametrize(
    ("spec", "ready", "stable", "panic", "desired"),
    [
        (STOCK, 1, 50, 50, 5),
        (STOCK, 1, 100, 100, 10),
        (replace(STOCK, target_burst_capacity=84.0), 1, 50, 100, 10),
        (replace(STOCK, target=1.0, max_scale_up_rate=1.1), 2, 3, 3.1, 3),
        (replace(STOCK, max_scale_down_rate=1.1), 100, 1, 1, 90),
        (replace(STOCK, max_scale_down_rate=1.1, reachable=False), 100, 1, 1, 1),
        (STOCK, 1, 1000, 1000, 10),
        (STOCK, 10, 1000, 1000, 100),
        (STOCK, 0, 1000, 1000, 10),
        (replace(STOCK, activation_scale=2), 0, 0, 0, 0),
        (replace(STOCK, activation_scale=2), 0, 1, 1, 2),
        (STOCK, 1, 1e-6, 0, 1),
    ],
)
def test_knatives_own_examples(spec: Spec, ready: int, stable: float, panic: float, desired: int) -> None:
    assert made(spec, Observation(ready, stable, panic)).desired == desired


@pytest.mark.parametrize(("ready", "down"), [(1, 0), (2, 1), (3, 2), (100, 99), (101, 100), (200, 198)])
def test_the_gpu_rate_gives_up_one_in_a_hundred_and_at_least_one(ready: int, down: int) -> None:
    decision = made(GPU, Observation(ready, 0, 0))
    assert decision.desired == down
    assert decision.clamps == ((Clamp("max-scale-down-rate", 0, down),) if down else ())


@pytest.mark.parametrize(("ready", "up"), [(0, 2), (1, 2), (2, 3), (3, 5), (5, 8), (8, 12), (12, 18)])
def test_the_gpu_rate_adds_half_of_what_is_ready(ready: int, up: int) -> None:
    decision = made(GPU, Observation(ready, 1000, 1000))
    assert decision.desired == up
    assert decision.clamps == (Clamp("max-scale-up-rate", 1000, up),)


def test_two_queued_requests_from_zero_panic_at_once_and_hold_for_a_stable_window() -> None:
    history = [(1.0, 0, 2.0, 2.0)] + [(float(now), 2, 0.0, 0.0) for now in (120, 121, 122)]
    decisions = run(GPU, 0, *history)
    assert [decision.desired for decision in decisions] == [2, 2, 2, 1]
    assert [decision.panicking for decision in decisions] == [True, True, True, False]


def test_panic_never_goes_down() -> None:
    seen = Observation(5, 50, 50)
    assert made(STOCK, seen, State(0.0, 30)).desired == 30
    assert made(STOCK, seen, State(0.0, 3)).desired == 5


def test_panic_ends_one_stable_window_after_the_threshold_was_last_met() -> None:
    decisions = run(replace(STOCK, target=1.0), 100, (30, 100, 1, 1), (60, 100, 1, 1), (61, 100, 1, 1))
    assert [decision.desired for decision in decisions] == [100, 100, 10]


def test_load_that_grows_slowly_does_not_prolong_panic() -> None:
    decisions = run(ONES, 0, (0, 10, 11, 25), (30, 40, 30, 41), (62, 55, 50, 56))
    assert [decision.desired for decision in decisions] == [25, 41, 50]
    assert [decision.panic_since for decision in decisions] == [0, 0, None]


def test_load_over_the_threshold_prolongs_panic() -> None:
    decisions = run(ONES, 0, (0, 10, 11, 25), (30, 40, 30, 80), (62, 80, 50, 56))
    assert [decision.desired for decision in decisions] == [25, 80, 80]
    assert [decision.panic_since for decision in decisions] == [0, 30, 30]
    assert decisions[-1].panic_until == 90


@pytest.mark.parametrize(("ready", "kept"), [(1, False), (2, True), (20, True)])
def test_more_than_one_ready_replica_at_the_start_is_kept_for_a_stable_window(ready: int, kept: bool) -> None:
    first, last = run(replace(STOCK, max_scale_down_rate=1000.0), ready, (60, ready, 1, 1), (60.5, ready, 1, 1))
    assert first.desired == (ready if kept else 1)
    assert last.desired == 1


def test_a_stable_average_above_the_panic_average_counts_in_panic() -> None:
    decision = made(GPU, Observation(4, 5, 1), State(-1.0, 0))
    assert (decision.desired, decision.by_panic_window) == (5, False)


def test_of_two_averages_that_lead_to_the_same_the_stable_one_is_told() -> None:
    decision = made(GPU, Observation(4, 5, 5), State(-1.0, 0))
    assert (decision.desired, decision.by_panic_window) == (5, False)


def test_a_scale_down_waits_for_the_delay() -> None:
    spec = replace(STOCK, scale_down_delay=300.0)
    decisions = run(spec, 0, (0, 4, 40, 40), (300 - 2, 4, 0, 0), (300, 4, 0, 0), (302, 4, 0, 0))
    assert [decision.desired for decision in decisions] == [4, 4, 0, 0]
    assert decisions[1].clamps == (Clamp("scale-down-delay", 0, 4),)
    assert decisions[1].delay_until == 300


def test_the_delay_remembers_the_most_that_was_wanted_in_its_time() -> None:
    spec = replace(STOCK, scale_down_delay=300.0, stable_window=10.0)
    minutes = [(60.0 * n, 4, 40.0, 40.0) for n in range(10)] + [(600.0, 4, 30.0, 30.0), (660.0, 4, 0.0, 0.0)]
    decisions = run(spec, 0, *minutes, (838, 4, 0, 0), (840, 4, 0, 0), (900, 4, 0, 0))
    assert [decision.desired for decision in decisions[9:]] == [4, 4, 4, 4, 3, 0]


def test_an_unreachable_revision_has_no_delay() -> None:
    spec = replace(STOCK, scale_down_delay=300.0, reachable=False)
    decisions = run(spec, 0, (0, 4, 40, 40), (2, 4, 0, 0))
    assert [decision.desired for decision in decisions] == [4, 0]
    assert decisions[1].delay_until is None


@pytest.mark.parametrize(
    ("capacity", "ready", "panic", "excess"),
    [(-1, 3, 5, -1), (0, 3, 5, 0), (10, 3, 5, 24), (10, 0, 5, -15), (10, 3, 5.5, 23), (2.5e9, 0, 0, -(2**31))],
)
def test_excess_burst_capacity_is_what_ready_replicas_can_take_beyond_the_burst(
    capacity: float, ready: int, panic: float, excess: int
) -> None:
    spec = replace(STOCK, total=13.0, target_burst_capacity=capacity)
    assert made(spec, Observation(ready, panic, panic)).excess_burst_capacity == excess


def test_numbers_too_large_become_the_largest() -> None:
    spec = replace(STOCK, total=1e12, target_burst_capacity=1.0, max_scale_up_rate=1e6)
    decision = made(spec, Observation(2**31 - 1, 1e15, 1e15))
    assert (decision.desired, decision.excess_burst_capacity) == (2**31 - 1, 2**31 - 1)


@pytest.mark.parametrize("seen", [Observation(5, None, None), Observation(5, None, 1), Observation(5, 1, None)])
def test_without_data_nothing_is_decided_and_nothing_forgotten(seen: Observation) -> None:
    state = State(3.0, 7, (Maximum(0, 9),))
    after, decision = decide(GPU, state, seen, 1000.0)
    assert after == state
    assert (decision.valid, decision.desired, decision.panicking) == (False, 0, True)


def test_each_rule_that_changed_the_number_is_told_in_order() -> None:
    spec = replace(GPU, scale_down_delay=60.0, activation_scale=4)
    state = State(-1.0, 6, (Maximum(0, 8),))
    decision = made(spec, Observation(2, 9, 1), state, 10.0)
    assert decision.clamps == (
        Clamp("max-scale-up-rate", 9, 3),
        Clamp("activation-scale", 3, 4),
        Clamp("panic", 4, 6),
        Clamp("scale-down-delay", 6, 8),
    )
    assert (decision.binding, decision.want_stable, decision.want_panic) == ("scale-down-delay", 9, 1)
    assert made(GPU, Observation(1, 1, 1)).binding == "load"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "state: expected an object"),
        ({}, "state: 'panic_age' is missing"),
        ({"panic_age": "x"}, "state.panic_age: expected a number"),
        ({"panic_age": None, "max_panic": -1}, "state.max_panic: expected a number from 0"),
        ({"panic_age": None, "max_panic": 1, "maxima": 3}, "state.maxima: expected a list"),
        ({"panic_age": None, "max_panic": 1, "maxima": [[1]]}, "state.maxima: expected pairs of age and replicas"),
        ({"panic_age": None, "max_panic": 1, "maxima": [[1, 0.5]]}, "state.maxima: expected a whole number"),
    ],
)
def test_a_broken_saved_state_is_refused(data: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        State.load(GPU, data, 0.0)


def test_a_restored_delay_holds_for_the_rest_of_its_time() -> None:
    spec = replace(GPU, scale_down_delay=60.0)
    state = State(None, 0, (Maximum(1, 3), Maximum(4, 2)))
    saved = state.dump(spec, 50.0)
    assert saved == {"panic_age": None, "max_panic": 0, "maxima": [[40.0, 3], [10.0, 2]]}
    assert State.load(spec, saved, 1050.0).maxima == (Maximum(101, 3), Maximum(104, 2))


averages = st.floats(0, 200) | st.sampled_from([0.0, 1.0, 2.0])
observations = st.builds(Observation, st.integers(0, 40), averages, averages)
histories = st.lists(st.tuples(st.integers(0, 40), observations), max_size=25)
specs = st.builds(
    Spec,
    target=st.sampled_from([0.01, 0.7, 1.0, 10.0]),
    total=st.sampled_from([0.01, 1.0, 10.0]),
    max_scale_up_rate=st.sampled_from([1.01, 1.5, 1000.0]),
    max_scale_down_rate=st.sampled_from([1.01, 2.0, 1000.0]),
    target_burst_capacity=st.sampled_from([-1.0, 0.0, 20.0]),
    panic_threshold=st.sampled_from([1.1, 2.0, 10.0]),
    stable_window=st.sampled_from([10.0, 60.0]),
    scale_down_delay=st.sampled_from([0.0, 7.0, 60.0]),
    activation_scale=st.sampled_from([0, 1, 3]),
    reachable=st.booleans(),
    tick=st.sampled_from([1.0, 2.5, 10.0]),
)


def replayed(spec: Spec, state: State, history: list[tuple[int, Observation]], now: float) -> list[Decision]:
    decisions = []
    for step, seen in history:
        now += step
        state, decision = decide(spec, state, seen, now)
        decisions.append(decision)
    return decisions


@given(specs, st.integers(0, 9), histories)
def test_the_same_history_leads_to_the_same_decisions(
    spec: Spec, ready: int, history: list[tuple[int, Observation]]
) -> None:
    start = initial_state(ready, 0.0)
    once = replayed(spec, start, history, 0.0)
    assert start == initial_state(ready, 0.0)
    assert replayed(spec, start, history, 0.0) == once


@given(specs, st.integers(0, 9), histories)
def test_what_is_wanted_is_never_negative_and_never_shrinks_in_panic(
    spec: Spec, ready: int, history: list[tuple[int, Observation]]
) -> None:
    spec = replace(spec, scale_down_delay=0.0)
    before = None
    for decision in replayed(spec, initial_state(ready, 0.0), history, 0.0):
        assert decision.desired >= 0
        if before and before.panicking and decision.panicking:
            assert decision.desired >= before.desired
        before = decision


@given(specs, st.integers(0, 9), histories)
def test_clamps_lead_from_what_the_load_asks_for_to_what_is_wanted(
    spec: Spec, ready: int, history: list[tuple[int, Observation]]
) -> None:
    for decision in replayed(spec, initial_state(ready, 0.0), history, 0.0):
        number = decision.want_panic if decision.by_panic_window else decision.want_stable
        for clamp in decision.clamps:
            assert clamp.before == number
            assert clamp.after != number
            number = clamp.after
        assert number == decision.desired


@given(specs, st.integers(0, 9), histories, histories, st.integers(0, 1000))
def test_a_restored_state_decides_as_if_no_time_had_passed(
    spec: Spec,
    ready: int,
    before: list[tuple[int, Observation]],
    after: list[tuple[int, Observation]],
    ticks: int,
) -> None:
    state, now = initial_state(ready, 0.0), 0.0
    for step, seen in before:
        now += step
        state, _ = decide(spec, state, seen, now)
    later = now + ticks * spec.tick
    restored = State.load(spec, json.loads(json.dumps(state.dump(spec, now))), later)
    went_on, came_back = replayed(spec, state, after, now), replayed(spec, restored, after, later)
    assert [(decision.desired, decision.panicking, decision.clamps) for decision in went_on] == [
        (decision.desired, decision.panicking, decision.clamps) for decision in came_back
    ]
