from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.gpus import Holder, Inventory, Machine, Need, is_gpu

GPU = "nvidia.com/gpu"
SLICE = "nvidia.com/mig-1g.10gb"


def machine(name: str, count: int = 1, resource: str = GPU) -> Machine:
    return Machine(name, {resource: count})


def holder(revision: str, node: str, count: int = 1, resource: str = GPU) -> Holder:
    return Holder(revision, node, {resource: count})


def need(*nodes: str, revision: str = "m", count: int = 1, resource: str = GPU) -> Need:
    return Need(revision, {resource: count}, frozenset(nodes))


def room(need: Need, machines: list[Machine], holders: list[Holder]) -> int | None:
    return Inventory(machines, holders).room(need)


def rivals(need: Need, machines: list[Machine], holders: list[Holder]) -> frozenset[str]:
    return Inventory(machines, holders).rivals(need)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [(GPU, True), (SLICE, True), ("amd.com/gpu", True), ("cpu", False), ("nvidia.com/gpu.shared", False)],
)
def test_gpus_and_their_parts_are_told_from_other_resources(resource: str, expected: bool) -> None:
    assert is_gpu(resource) is expected


def test_there_is_room_for_what_the_nodes_have() -> None:
    assert room(need("a", "b"), [machine("a", 4), machine("b", 2)], []) == 6


def test_a_replica_must_fit_on_one_node() -> None:
    assert room(need("a", "b", count=2), [machine("a", 3), machine("b", 1)], []) == 1


def test_what_others_hold_is_taken_and_what_we_hold_is_not() -> None:
    held = [holder("n", "a"), holder("", "a"), holder("m", "a")]
    assert room(need("a"), [machine("a", 4)], held) == 2


def test_only_nodes_that_match_count() -> None:
    assert room(need("a"), [machine("a", 1), machine("b", 8)], [holder("n", "b", 8)]) == 1


def test_another_kind_of_gpu_is_no_help() -> None:
    assert room(need("a", resource=SLICE), [machine("a", 8)], []) == 0


def test_each_kind_of_gpu_must_suffice() -> None:
    both = Need("m", {GPU: 1, SLICE: 2}, frozenset({"a"}))
    assert room(both, [Machine("a", {GPU: 5, SLICE: 6})], []) == 3


def test_nothing_is_known_without_a_node_that_matches() -> None:
    assert room(need(), [machine("a")], []) is None
    assert room(need("gone"), [machine("a")], []) is None


def test_who_needs_no_gpu_is_not_bound() -> None:
    assert room(Need("m", {}, frozenset({"a"})), [machine("a")], []) is None


def test_replicas_that_run_where_none_could_be_started_now_keep_their_place() -> None:
    assert room(need("a"), [machine("a", 1), machine("cordoned", 2)], [holder("m", "cordoned", 2)]) == 2


def test_a_rival_is_whoever_holds_enough_on_one_node() -> None:
    held = [holder("n", "a"), holder("o", "b"), holder("p", "c")]
    assert rivals(need("a", "b"), [machine("a"), machine("b"), machine("c")], held) == {"n", "o"}


def test_who_holds_too_little_is_no_rival_unless_the_rest_is_free() -> None:
    assert rivals(need("a", count=2), [machine("a", 2)], [holder("n", "a"), holder("o", "a")]) == set()
    assert rivals(need("a", count=2), [machine("a", 2)], [holder("n", "a")]) == {"n"}


def test_neither_oneself_nor_strangers_are_rivals() -> None:
    assert rivals(need("a"), [machine("a", 2)], [holder("m", "a"), holder("", "a")]) == set()


def test_where_nodes_may_not_be_read_a_rival_is_whoever_holds_enough_itself() -> None:
    held = [holder("n", "a"), holder("o", "b", 2), holder("p", "c", 2, SLICE)]
    assert rivals(need(count=2), [], held) == {"o"}


NODES = st.sampled_from("abc")
MACHINES = st.dictionaries(NODES, st.integers(0, 4)).map(lambda found: [machine(*each) for each in found.items()])
HOLDERS = st.lists(st.builds(holder, st.sampled_from(["m", "n", ""]), NODES, st.integers(1, 2)), max_size=8)
NEEDS = st.builds(lambda nodes, count: need(*nodes, count=count), st.frozensets(NODES), st.integers(1, 2))


@given(NEEDS, MACHINES, HOLDERS)
def test_replicas_that_run_always_have_room(need: Need, machines: list[Machine], holders: list[Holder]) -> None:
    found = room(need, machines, holders)
    assert found is None or found >= sum(each.revision == "m" for each in holders)


@given(NEEDS, MACHINES, HOLDERS)
def test_the_end_of_another_pod_never_leaves_less_room(
    need: Need, machines: list[Machine], holders: list[Holder]
) -> None:
    for gone in holders:
        left = [each for each in holders if each is not gone]
        if gone.revision != "m":
            assert (room(need, machines, left) or 0) >= (room(need, machines, holders) or 0)


@given(NEEDS, MACHINES, HOLDERS)
def test_a_rivals_end_leaves_room_for_one_more(need: Need, machines: list[Machine], holders: list[Holder]) -> None:
    for rival in rivals(need, machines, holders):
        left = [each for each in holders if each.revision != rival]
        found = room(need, machines, left)
        assert not machines or (found is not None and found >= 1)
