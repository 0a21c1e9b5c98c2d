from __future__ import annotations

from typing import Any

import pytest

from activator.kpa.replay import replay

SPEC = {
    "max_scale_up_rate": 1.5,
    "max_scale_down_rate": 1.01,
    "target_value": 1,
    "total_value": 1,
    "target_burst_capacity": -1,
    "panic_threshold": 2,
    "stable_window_s": 120,
    "panic_window_s": 30,
    "scale_down_delay_s": 0,
    "activation_scale": 1,
    "reachable": True,
    "algorithm": "linear",
    "tick_s": 10,
}
TRACE: dict[str, Any] = {"id": "a", "spec": SPEC, "initial_ready": 0, "series": [], "steps": []}


def rows(**changes: Any) -> Any:
    return replay(TRACE | changes)["steps"]


def test_a_second_is_recorded_before_the_decision_at_that_second() -> None:
    assert rows(series=[1, 1, 4], steps=[[1, 1], [2, 1]]) == [
        [1, 1, True, 1, 1, 1, -1, False],
        [2, 1, True, 2, 2, 2, -1, True],
    ]


def test_no_data_is_told_with_zeros_and_keeps_panic() -> None:
    assert rows(initial_ready=3, steps=[[10, 3]]) == [[10, 3, False, 0, 0, 0, 0, True]]


def test_decisions_may_come_between_seconds_and_twice_in_one() -> None:
    made = rows(series=[2, 1], steps=[[0.5, 1], [0.5, 1], [1.25, 1]])
    assert [row[:4] for row in made] == [[0.5, 1, True, 2], [0.5, 1, True, 2], [1.25, 1, True, 1.5]]


def test_steps_may_go_on_after_the_series() -> None:
    assert rows(series=[0], steps=[[120, 1], [121, 1]])[-1] == [121, 1, False, 0, 0, 0, 0, False]


def test_an_empty_trace_has_no_decisions() -> None:
    assert replay(TRACE) == {"id": "a", "steps": []}


@pytest.mark.parametrize("name", ["weighted", "weighted-exponential", "weightedExponential"])
def test_the_weighted_algorithm_is_known_by_knatives_names(name: str) -> None:
    assert rows(spec=SPEC | {"algorithm": name}, series=[1], steps=[[0, 1]])[0][3] == 0.2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spec": None}, "spec: expected an object, got NoneType None"),
        ({"initial_ready": -1}, "initial_ready: expected a number from 0 to 2147483647, got int -1"),
        ({"initial_ready": 1.5}, "initial_ready: expected a whole number from 0 to 2147483647, got float 1.5"),
        ({"initial_ready": True}, "initial_ready: expected a number from 0 to 2147483647, got bool True"),
        ({"series": {}}, "series: expected a list, got dict {}"),
        ({"series": [1, float("nan")]}, r"series\[1\]: expected a number from 0 to 1e\+15, got float nan"),
        ({"series": [-1]}, r"series\[0\]: expected a number from 0"),
        ({"series": ["1"]}, r"series\[0\]: expected a number from 0 to 1e\+15, got str '1'"),
        ({"steps": [[1, 1], 5]}, r"steps\[1\]: expected a list, got int 5"),
        ({"steps": [[1]]}, r"steps\[0\]: expected \[t, ready\], got 1 values"),
        ({"steps": [[10, 1], [5, 1]]}, r"steps\[1\]: t 5 comes before 10; put the steps in order of time"),
        ({"steps": [[-1, 1]]}, r"steps\[0\]: t: expected a number from 0"),
        ({"steps": [[0, None]]}, r"steps\[0\]: ready: expected a number from 0"),
        ({"spec": SPEC | {"algorithm": "median"}}, "spec.algorithm: expected 'linear' or 'weighted', got 'median'"),
        ({"spec": SPEC | {"algorithm": ["linear"]}}, "spec.algorithm: expected 'linear' or 'weighted'"),
        ({"spec": SPEC | {"reachable": 1}}, "spec.reachable: expected true or false, got int 1"),
        ({"spec": SPEC | {"target_value": 0}}, "spec.target_value: expected a number from 1e-06"),
        ({"spec": SPEC | {"target_burst_capacity": -0.5}}, "spec.target_burst_capacity: expected -1, 0 or a positive"),
        ({"spec": SPEC | {"stable_window_s": 0}}, "spec.stable_window_s: expected a number from 1 to 86400"),
        ({"spec": SPEC | {"max_scale_down_rate": 0}}, "spec.max_scale_down_rate: expected a number from 1 "),
        ({"spec": SPEC | {"activation_scale": "2"}}, "spec.activation_scale: expected a number from 0"),
        ({"spec": SPEC | {"tick_s": 0}}, "spec.tick_s: expected a number from 0.001"),
    ],
)
def test_bad_input_is_told_by_place_value_and_remedy(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replay(TRACE | changes)


@pytest.mark.parametrize("key", TRACE)
def test_a_missing_part_is_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"trace: '{key}' is missing; add it"):
        replay({name: value for name, value in TRACE.items() if name != key})


@pytest.mark.parametrize("key", SPEC)
def test_a_missing_setting_is_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"spec: '{key}' is missing; add it"):
        rows(spec={name: value for name, value in SPEC.items() if name != key})


@pytest.mark.parametrize("trace", [[], None, 3, "x" * 500])
def test_something_else_than_an_object_is_refused(trace: Any) -> None:
    with pytest.raises(ValueError, match="trace: expected an object, got"):
        replay(trace)
