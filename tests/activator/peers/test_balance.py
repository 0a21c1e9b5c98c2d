from __future__ import annotations

from dataclasses import dataclass

from activator.peers.balance import FRESH_SECONDS, accepts, neighbours


@dataclass
class Other:
    connections: int
    places: int
    heard: float = 0.0


def test_one_without_neighbours_accepts_even_when_it_is_full() -> None:
    assert neighbours([], 0.0) == (None, False)
    assert accepts(100, 100, None, room=False)


def test_one_is_told_of_the_least_loaded_of_the_others_and_of_any_free_place() -> None:
    assert neighbours([Other(7, 10), Other(5, 5)], 0.1) == (5, True)
    assert neighbours([Other(10, 10), Other(5, 5)], 0.1) == (5, False)


def test_one_is_not_measured_by_a_silent_one_but_leaves_to_it_what_would_be_too_much() -> None:
    silent = neighbours([Other(0, 10)], FRESH_SECONDS)
    assert silent == (None, True)
    assert accepts(9, 10, *silent[:1], room=silent[1])
    assert not accepts(10, 10, *silent[:1], room=silent[1])


def test_one_that_is_full_leaves_clients_to_those_who_have_room() -> None:
    assert not accepts(100, 100, 90, room=True)
    assert accepts(99, 100, 90, room=True)


def test_when_all_are_full_they_accept_so_that_clients_are_told() -> None:
    assert accepts(100, 100, 100, room=False)


def test_one_that_is_ahead_steps_back_until_others_have_caught_up() -> None:
    assert accepts(4, 1000, 0, room=True)
    assert not accepts(5, 1000, 0, room=True)
    assert accepts(450, 1000, 400, room=True)
    assert not accepts(451, 1000, 400, room=True)


def test_the_one_that_has_fewest_always_accepts() -> None:
    assert accepts(5, 1000, 5, room=True)
    assert accepts(0, 1000, 500, room=True)
