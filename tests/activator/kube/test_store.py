from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from activator.kube.store import Store

if TYPE_CHECKING:
    from activator.kube.resources import Object


def item(name: str, version: int = 1, uid: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}}


class Ear:
    """Remembers what it is told, and what that makes of the objects."""

    def __init__(self, store: Store) -> None:
        self.heard: list[tuple[str, str]] = []
        self.objects: dict[str, Object] = {}
        store.subscribe(self.hear)

    def hear(self, old: Object | None, new: Object | None) -> None:
        assert old is None or self.objects.pop(old["metadata"]["name"]) is old
        if new is not None:
            self.objects[new["metadata"]["name"]] = new
        self.heard.append((version(old), version(new)))


def version(item: Object | None) -> str:
    return "" if item is None else item["metadata"]["resourceVersion"]


def test_a_listener_hears_of_what_is_there_and_of_every_change() -> None:
    store = Store()
    store.put(item("a"))
    ear = Ear(store)
    store.put(item("a", 2))
    store.remove(item("a", 3))
    assert ear.heard == [("", "1"), ("1", "2"), ("2", "")]


def test_an_event_that_comes_twice_or_late_changes_nothing() -> None:
    store = Store()
    ear = Ear(store)
    store.put(item("a", 10))
    store.put(item("a", 10))
    store.put(item("a", 9))
    assert ear.heard == [("", "10")]


def test_a_version_that_is_no_number_is_only_compared_for_equality() -> None:
    store = Store()
    store.put({"metadata": {"name": "a", "resourceVersion": "x2"}})
    store.put({"metadata": {"name": "a", "resourceVersion": "x1"}})
    assert version(store.objects["a"]) == "x1"


def test_an_object_made_anew_under_an_old_name_is_another_one() -> None:
    store = Store()
    ear = Ear(store)
    store.put(item("a", 5, uid="one"))
    store.put(item("a", 3, uid="two"))
    assert ear.heard == [("", "5"), ("5", ""), ("", "3")]


def test_the_end_of_an_object_does_not_take_its_successor() -> None:
    store = Store()
    store.put(item("a", 5, uid="two"))
    store.remove(item("a", 4, uid="one"))
    assert version(store.objects["a"]) == "5"


def test_a_list_is_the_truth_even_when_its_versions_are_older() -> None:
    store = Store()
    store.put(item("a", 500))
    store.put(item("b", 501))
    ear = Ear(store)
    store.replace([item("a", 100)])
    assert ear.heard[2:] == [("501", ""), ("500", "100")]


def test_a_list_that_tells_nothing_new_is_not_told() -> None:
    store = Store()
    store.put(item("a", 5))
    ear = Ear(store)
    store.replace([item("a", 5)])
    assert ear.heard == [("", "5")]


def test_a_store_is_synced_by_its_first_list_and_tells_of_trouble_once() -> None:
    store = Store()
    states: list[tuple[bool, str]] = []
    store.on_state(lambda: states.append((store.synced, store.trouble)))
    store.state(trouble="away")
    store.state(trouble="away")
    store.replace([])
    store.replace([])
    assert states == [(False, "away"), (True, "")]


NAMES = st.sampled_from("abc")
CHANGES = st.lists(st.tuples(NAMES, st.integers(1, 6), st.sampled_from(["one", "two"])))


@given(st.lists(st.one_of(CHANGES, st.tuples(st.sampled_from(["put", "remove"]), CHANGES))))
def test_what_a_listener_was_told_adds_up_to_what_is_there(steps: list[Any]) -> None:
    store = Store()
    ear = Ear(store)
    for step in steps:
        if isinstance(step, list):
            store.replace([item(*change) for change in step])
        else:
            for change in step[1]:
                (store.put if step[0] == "put" else store.remove)(item(*change))
        assert ear.objects == store.objects
