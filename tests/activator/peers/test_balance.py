from __future__ import annotations

from activator.peers.balance import accepts


def test_one_without_neighbours_accepts_even_when_it_is_full() -> None:
    assert accepts(100, 100, None, room=False)


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
