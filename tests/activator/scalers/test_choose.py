from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from activator.scalers.base import Phase, Replica
from activator.scalers.choose import victims

PHASES = st.sampled_from([Phase.PENDING, Phase.STARTING, Phase.READY])
FLEETS = st.lists(st.tuples(PHASES, st.integers(0, 5)), max_size=12)


def fleet(*phases: Phase) -> list[Replica]:
    return [Replica(f"r{number}", phase, 0.0) for number, phase in enumerate(phases)]


def names(replicas: list[Replica]) -> list[str]:
    return [replica.name for replica in replicas]


def test_those_that_are_not_ready_come_first() -> None:
    replicas = fleet(Phase.STARTING, Phase.PENDING, Phase.READY)
    assert names(victims(replicas, {}, 3)) == ["r1", "r0", "r2"]


def test_the_idle_come_before_the_busy() -> None:
    replicas = fleet(Phase.READY, Phase.READY, Phase.READY)
    assert names(victims(replicas, {"r1": 1, "r2": 3}, 3)) == ["r0", "r1", "r2"]


def test_the_newest_comes_first_among_equals() -> None:
    assert names(victims(fleet(Phase.READY, Phase.READY, Phase.READY), {}, 2)) == ["r2", "r1"]


@given(FLEETS, st.integers(0, 15))
def test_no_one_spared_would_have_cost_less(members: list[tuple[Phase, int]], count: int) -> None:
    replicas = fleet(*(phase for phase, _ in members))
    load = {replica.name: load for replica, (_, load) in zip(replicas, members, strict=True)}
    chosen = victims(replicas, load, count)
    spared = [replica for replica in replicas if replica not in chosen]

    def cost(replica: Replica) -> tuple[bool, bool, int]:
        return (replica.phase is Phase.READY, replica.phase is Phase.STARTING, load[replica.name])

    assert len(chosen) == min(count, len(replicas)) == len(set(names(chosen)))
    assert all(cost(victim) <= cost(other) for victim in chosen for other in spared)


@given(FLEETS, st.integers(0, 12))
def test_a_larger_cut_only_adds_to_a_smaller_one(members: list[tuple[Phase, int]], count: int) -> None:
    replicas = fleet(*(phase for phase, _ in members))
    assert victims(replicas, {}, count + 1)[:count] == victims(replicas, {}, count)
