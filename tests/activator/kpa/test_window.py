from __future__ import annotations

import json
from dataclasses import replace
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.kpa.spec import Algorithm, Spec
from activator.kpa.window import WeightedWindow, Window, Windows

SPEC = Spec(stable_window=10, panic_window=3)
WEIGHTED = replace(SPEC, algorithm=Algorithm.WEIGHTED)

windows_s = st.sampled_from([1, 2, 5, 5.5, 10, 37, 300])
histories = st.lists(st.tuples(st.integers(0, 40), st.integers(-8, 0), st.integers(0, 40)), max_size=60)
kinds = st.sampled_from([Window, WeightedWindow])
specs = st.builds(
    Spec,
    stable_window=st.sampled_from([6, 10, 37]),
    panic_window=st.sampled_from([1, 3, 6]),
    algorithm=st.sampled_from(Algorithm),
)


def written(window: Window, values: dict[float, float]) -> Window:
    for now, value in values.items():
        window.record(now, value)
    return window


class Naive:
    """The same averages from a plain table of everything that was recorded."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.seen: dict[int, float] = {}
        self.first = self.last = -(10**9)

    def record(self, now: float, value: float) -> None:
        second = floor(now)
        if second - self.last >= self.window:
            self.seen, self.first = {}, second
        if second + self.window > self.last:
            self.first, self.last = min(self.first, second), max(self.last, second)
            self.seen[second] = self.seen.get(second, 0.0) + value

    def average(self, now: float, weighted: bool) -> float:
        lag = max(0, floor(now) - self.last)
        if lag >= self.window:
            return 0.0
        values = [self.seen.get(self.last - age, 0.0) for age in range(ceil(self.window) - lag)]
        if not weighted:
            return sum(values) / min(self.last - self.first + 1, len(values))
        smoothing: float = max(1 - 0.0001 ** (1 / ceil(self.window)), 0.2)
        return sum(value * smoothing * (1 - smoothing) ** (age + lag) for age, value in enumerate(values))


def test_an_average_counts_only_the_seconds_since_the_first_record() -> None:
    assert written(Window(60), {0: 4, 1: 2}).average(1) == 3


def test_a_full_window_forgets_its_oldest_second() -> None:
    window = written(Window(5), {1: 1, 2: 2, 3: 3, 4: 4, 5: 5})
    assert window.average(5) == 3
    window.record(6, 6)
    assert window.average(6) == 4


def test_a_hole_between_two_records_counts_as_zeros() -> None:
    assert written(Window(5), {1: 1, 2: 2, 3: 3, 5: 6}).average(5) == 12 / 5


def test_silence_shortens_the_divisor() -> None:
    window = written(Window(5), {1: 5, 2: 5, 3: 5, 4: 5, 5: 5})
    assert [window.average(now) for now in (5, 7, 9, 10)] == [5, 5, 5, 0]


def test_values_of_one_second_add_up() -> None:
    assert written(Window(5), {1.1: 1, 1.9: 2}).average(1) == 3


def test_a_late_value_is_added_to_its_second_and_one_older_than_the_window_is_not() -> None:
    assert written(Window(5), {10: 3, 8: 6}).average(10) == 3
    assert written(Window(5), {10: 3, 5: 6}).average(10) == 3
    assert written(Window(5), {10: 3, 6: 7}).average(10) == 2


def test_after_a_whole_window_of_silence_averaging_starts_again() -> None:
    window = written(Window(5), {1: 9, 2: 9})
    window.record(7, 4)
    assert window.average(7) == 4


def test_a_window_is_empty_when_silence_is_longer_than_it_is() -> None:
    window = Window(5)
    assert window.is_empty(0)
    window.record(10, 0)
    assert [window.is_empty(now) for now in (10, 15, 15.9, 16)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.0000005, 0.000001), (0.00000049, 0), (1 / 3, 0.333333), (2.5e9, 2.5e9)]
)
def test_a_plain_average_is_rounded_half_up_to_six_decimals(value: float, rounded: float) -> None:
    assert written(Window(5), {1: value}).average(1) == rounded


@pytest.mark.parametrize(("seconds", "weight"), [(6, 0.78456), (40, 0.20567), (60, 0.2), (100, 0.2), (1, 0.9999)])
def test_the_newest_second_weighs_most_in_a_weighted_window(seconds: int, weight: float) -> None:
    assert WeightedWindow(seconds).smoothing == pytest.approx(weight, abs=1e-5)


def test_a_weighted_average_decays_in_silence_and_is_not_rounded() -> None:
    window = written(WeightedWindow(60), {1: 1})
    assert [window.average(now) for now in (1, 2, 60, 61, 62)] == pytest.approx([0.2, 0.16, 0.2 * 0.8**59, 0, 0])


def test_a_long_weighted_window_still_sees_a_peak_long_ago() -> None:
    window = written(WeightedWindow(1000), {1: 1e29, 301: 0.1})
    assert window.average(301) == pytest.approx(0.02 + 1e29 * 0.2 * 0.8**300)


@given(kinds, windows_s, histories)
def test_averages_equal_those_of_a_plain_list(
    kind: type[Window], seconds: float, history: list[tuple[int, int, int]]
) -> None:
    window, naive, now = kind(seconds), Naive(seconds), 0
    for step, late, value in history:
        now += step if step > 30 else step % 3
        window.record(now + late + 0.5, value)
        naive.record(now + late + 0.5, value)
        for ask in (now, now + 3):
            assert window.average(ask) == pytest.approx(naive.average(ask, kind is WeightedWindow), rel=1e-6, abs=1e-6)


def test_shrinking_keeps_the_newest_seconds() -> None:
    window = written(Window(5), {1: 1, 2: 2, 3: 3, 4: 4, 5: 5})
    window.resize(2, 5)
    assert window.average(5) == 4.5
    window.record(6, 7)
    assert window.average(6) == 6


def test_growing_counts_the_old_window_as_recorded() -> None:
    window = written(Window(5), {1: 10})
    window.resize(10, 1)
    assert window.average(1) == 2


def test_growing_does_not_bring_stale_values_back() -> None:
    window = written(Window(5), {1: 10})
    window.resize(60, 7)
    assert window.is_empty(7)
    window.record(8, 4)
    assert window.average(8) == 4


def test_without_any_record_there_are_no_averages() -> None:
    windows = Windows(SPEC)
    assert windows.averages(0) is None
    windows.record(0, 2)
    assert windows.averages(10) == (0, 0)
    assert windows.averages(11) is None


def test_the_panic_window_forgets_sooner() -> None:
    windows = Windows(SPEC)
    for second in range(10):
        windows.record(second, 1 if second < 7 else 4)
    assert windows.averages(9) == (1.9, 4)


def test_a_reload_changes_lengths_and_algorithm_and_keeps_the_history() -> None:
    windows = Windows(SPEC)
    for second in range(10):
        windows.record(second, 2)
    windows.configure(replace(SPEC, stable_window=4), 9)
    assert windows.averages(9) == (2, 2)
    windows.configure(replace(WEIGHTED, stable_window=6), 9)
    assert windows.averages(9) == pytest.approx((2 * (1 - 0.0001 ** (4 / 6)), 2 * (1 - 0.0001)))
    windows.configure(replace(SPEC, stable_window=6), 9)
    assert windows.averages(9) == (2, 2)


@given(specs, histories, st.integers(0, 40), st.integers(0, 10**6), histories)
def test_a_restored_window_goes_on_as_if_no_time_had_passed(
    spec: Spec,
    before: list[tuple[int, int, int]],
    silence: int,
    downtime: int,
    after: list[tuple[int, int, int]],
) -> None:
    windows, now = Windows(spec), 0
    for step, _, value in before:
        now += step % 5
        windows.record(now, value)
    now += silence
    saved = json.loads(json.dumps(windows.dump(now)))
    restored = Windows.load(spec, saved, now + downtime)
    assert restored.averages(now + downtime) == windows.averages(now)
    for step, _, value in after:
        now += step % 5
        windows.record(now, value)
        restored.record(now + downtime, value)
        assert restored.averages(now + downtime) == windows.averages(now)


def test_a_saved_window_of_another_length_is_resized() -> None:
    windows = Windows(SPEC)
    for second in range(10):
        windows.record(second, second)
    restored = Windows.load(replace(SPEC, stable_window=2), windows.dump(9), 100)
    assert restored.averages(100) == (8.5, 8)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "windows: expected an object"),
        ({"stable": {}}, "'window' is missing"),
        ({"stable": {"window": 0, "age": 0, "values": []}}, "window.window: expected a number from 1"),
        ({"stable": {"window": 2, "age": 0, "values": [1, 2, 3]}}, "at most 2 values, got 3"),
        ({"stable": {"window": 2, "age": 0, "values": [None]}}, "window.values: expected a number"),
        ({"stable": {"window": 2, "age": -1, "values": [1]}}, "window.age: expected a number from 0"),
        ({"stable": {"window": 2, "age": 0, "values": []}}, "'panic' is missing"),
    ],
)
def test_a_broken_saved_window_is_refused(data: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Windows.load(SPEC, data, 0)
