from __future__ import annotations

from router.queues import Queues
from router.wakes import Wakes
from tests.router import fakes


def test_a_service_is_woken_so_often_in_any_minute() -> None:
    wakes = Wakes()
    assert [wakes.ask("a", 2, now) for now in (0.0, 10.0)] == [0, 0]
    assert wakes.ask("a", 2, 20.0) == 40
    assert wakes.ask("a", 2, 59.0) == 1
    assert wakes.ask("a", 2, 60.0) == 0
    assert wakes.ask("a", 2, 60.0) == 10


def test_the_limit_of_one_is_not_that_of_another() -> None:
    wakes = Wakes()
    assert wakes.ask("a", 1, 0.0) == 0
    assert wakes.ask("b", 1, 0.0) == 0
    assert wakes.ask("a", 1, 0.0) == 60


def test_all_together_have_a_limit_too() -> None:
    wakes = Wakes()
    wakes.limit = 3
    assert [wakes.ask(name, 0, 0.0) for name in "abc"] == [0, 0, 0]
    assert wakes.ask("d", 5, 1.0) == 59


def test_what_was_refused_does_not_count() -> None:
    wakes = Wakes()
    wakes.ask("a", 1, 0.0)
    for now in range(1, 60):
        assert wakes.ask("a", 1, float(now)) == 60 - now
    assert wakes.ask("a", 1, 60.0) == 0


def test_without_a_limit_all_are_woken() -> None:
    wakes = Wakes()
    assert not any(wakes.ask("a", 0, 0.0) for _ in range(100))


def test_a_service_is_forgotten_a_minute_after_its_last_wake() -> None:
    wakes = Wakes()
    wakes.ask("a", 1, 0.0)
    wakes.sweep(59.0)
    assert wakes.ask("a", 1, 59.0) == 1
    wakes.sweep(60.0)
    assert not wakes._by_service


def test_and_that_happens_with_each_sweep_of_the_queues() -> None:
    queues = Queues(fakes.Wakes(), fakes.Clock())
    queues.wakes.ask("a", 1, 0.0)
    queues.sweep(59.0)
    assert queues.wakes._by_service
    queues.sweep(60.0)
    assert not queues.wakes._by_service
