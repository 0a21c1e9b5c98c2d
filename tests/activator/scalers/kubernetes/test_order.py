from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from activator.scalers.kubernetes.order import may_go
from activator.scalers.kubernetes.pods import Pod, Wish, read
from tests.models.kubelet import _rank as real_rank

READY = Pod("a", "1", "", node="n", running=True, ready=True)


def pod(name: str, **changes: object) -> Pod:
    return Pod(**{**{field: getattr(READY, field) for field in Pod.__dataclass_fields__}, "name": name, **changes})


def test_a_pod_without_a_node_goes_first_then_one_that_does_not_run_then_one_that_is_not_ready() -> None:
    pods = [pod("ready"), pod("unready", ready=False), pod("pending", ready=False, running=False)]
    pods.append(pod("homeless", ready=False, running=False, node=""))
    assert [may_go(pods, count) - may_go(pods, count - 1) for count in (1, 2, 3, 4)] == [
        {"homeless"},
        {"pending"},
        {"unready"},
        {"ready"},
    ]


def test_among_ready_pods_the_cheapest_goes() -> None:
    assert may_go([pod("a", cost=5), pod("b", cost=-5), pod("c")], 1) == {"b"}


def test_a_cost_does_not_save_a_pod_that_is_not_ready() -> None:
    assert may_go([pod("a", cost=100, ready=False), pod("b", cost=-5)], 1) == {"a"}


def test_all_that_are_equal_may_go() -> None:
    assert may_go([pod("a"), pod("b"), pod("c", cost=1)], 1) == {"a", "b"}


def test_pods_that_are_ending_or_over_are_not_counted() -> None:
    assert may_go([pod("a", ending=True), pod("b", active=False), pod("c")], 1) == {"c"}


def test_none_goes_when_there_are_none_too_many() -> None:
    assert may_go([pod("a")], 0) == may_go([pod("a")], -1) == set()


ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "metadata": st.fixed_dictionaries(
                {
                    "annotations": st.fixed_dictionaries(
                        {"controller.kubernetes.io/pod-deletion-cost": st.integers(-2, 2).map(str)}
                    ),
                    "creationTimestamp": st.integers(0, 3).map(lambda second: f"2026-01-01T00:00:0{second}Z"),
                }
            ),
            "spec": st.sampled_from([{}, {"nodeName": "n"}]),
            "status": st.fixed_dictionaries(
                {
                    "phase": st.sampled_from(["Pending", "Running"]),
                    "conditions": st.sampled_from([[], [{"type": "Ready", "status": "True"}]]),
                }
            ),
        }
    ),
    max_size=6,
)


@given(ITEMS, st.integers(0, 6))
def test_whatever_the_replica_set_ends_was_said_to_be_possible(items: list[dict[str, object]], count: int) -> None:
    named = [{**item, "metadata": {**item["metadata"], "name": str(number)}} for number, item in enumerate(items)]  # type: ignore[dict-item]
    ended = {item["metadata"]["name"] for item in sorted(named, key=real_rank)[:count]}  # type: ignore[index]
    assert ended <= may_go([read(item, Wish()) for item in named], count)
