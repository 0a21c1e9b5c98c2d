"""When an event loop is said to have stood still."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from activator.stalls import STALL_SECONDS, Stalls


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def looked(*pauses: float) -> tuple[int, list[float]]:
    """Look after each of these seconds; return how many stalls were counted, and what was said of them."""
    time = Time()
    with capture_logs() as said:
        stalls = Stalls(0.25, time, structlog.get_logger())
        for pause in pauses:
            time.now += pause
            stalls.look()
    return stalls.count, [entry["seconds"] for entry in said]


def test_looks_in_time_are_no_stall() -> None:
    assert looked(5.0, 0.25, 0.26, 0.25 + STALL_SECONDS - 0.01) == (0, [])


def test_a_look_that_comes_too_late_is_counted_and_told() -> None:
    assert looked(0.25, 0.25, 0.75, 0.25) == (1, [0.5])


def test_each_of_several_stalls_is_counted_once() -> None:
    assert looked(0.25, 1.0, 0.25, 2.0)[0] == 2
