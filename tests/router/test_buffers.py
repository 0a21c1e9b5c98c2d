from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.buffers import Buffers


def buffers(limit: int = 1200) -> Buffers:
    made = Buffers()
    made.limit = limit
    return made


def fill(shared: Buffers, revision: str, size: int = 10) -> int:
    """Let a revision take as much as it gets; return that."""
    before = shared.by_revision.get(revision, 0)
    while shared.keep(object(), revision, size):
        pass
    return shared.by_revision.get(revision, 0) - before


def test_one_alone_gets_half() -> None:
    assert fill(buffers(), "a") == 600


def test_two_that_fill_up_together_get_a_third_each() -> None:
    shared = buffers()
    while shared.keep(object(), "a", 10) | shared.keep(object(), "b", 10):
        pass
    assert shared.by_revision == {"a": 400, "b": 400}


def test_one_that_hogs_leaves_room_for_others() -> None:
    shared = buffers()
    fill(shared, "hog")
    assert fill(shared, "late") == 300
    assert fill(shared, "hog") == 0
    assert fill(shared, "later") == 150


def test_what_is_released_is_free_again_and_only_once() -> None:
    shared = buffers()
    assert shared.keep("x", "a", 600)
    assert not shared.keep("y", "a", 1)
    shared.release("x")
    shared.release("x")
    assert (shared.total, shared.by_revision) == (0, {})
    assert shared.keep("y", "a", 600)


def test_who_has_room_keeps_it_though_others_have_come_meanwhile() -> None:
    shared = buffers()
    assert shared.keep("x", "a", 300)
    assert shared.keep("y", "a", 300)
    assert fill(shared, "late") + fill(shared, "later") > 300
    assert shared.keep("x", "a", 300)
    assert not shared.keep("x", "a", 301)


def test_what_is_kept_again_replaces_what_was_kept_before() -> None:
    shared = buffers()
    assert shared.keep("x", "a", 600)
    assert shared.keep("x", "b", 500)
    assert (shared.total, shared.by_revision) == (500, {"b": 500})
    assert not shared.keep("x", "b", 1201)
    assert shared.total == 0


def test_without_a_limit_everything_is_counted_and_nothing_refused() -> None:
    shared = buffers(0)
    assert shared.keep("x", "a", 1 << 40)
    assert shared.total == 1 << 40


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc"), st.integers(0, 400), st.booleans())))
def test_the_limit_holds_and_the_sums_are_right(steps: list[tuple[int, str, int, bool]]) -> None:
    shared = buffers(1000)
    kept: dict[int, int] = {}
    for owner, revision, size, keep in steps:
        kept.pop(owner, None)
        if keep and shared.keep(owner, revision, size):
            kept[owner] = size
        elif not keep:
            shared.release(owner)
        assert shared.total == sum(kept.values()) == sum(shared.by_revision.values()) <= 1000
