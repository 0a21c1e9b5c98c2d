from __future__ import annotations

import pytest

from activator.deaths import Deaths
from activator.scalers.base import Phase, Replica, ReplicaSet

NAME = "m-1"


def seen(*phases: Phase, failure: str = "") -> ReplicaSet:
    members = tuple(Replica(f"m-1-{n}", phase, 0.0) for n, phase in enumerate(phases))
    return ReplicaSet(NAME, 1, members, last_failure=failure)


@pytest.mark.parametrize(
    ("before", "gone", "told"),
    [
        ((Phase.READY,), "boom", True),
        ((Phase.READY, Phase.STARTING), "boom", True),
        ((Phase.STARTING,), "boom", False),
        ((Phase.READY, Phase.DRAINING), "boom", False),
        ((Phase.READY,), "", False),
    ],
)
def test_one_that_has_been_ready_and_was_not_to_go_died_while_it_served(
    before: tuple[Phase, ...], gone: str, told: bool
) -> None:
    deaths = Deaths()
    for phase in before:
        deaths.see(seen(phase), 1.0)
    deaths.see(seen(failure=gone), 2.0)
    deaths.see(seen(Phase.READY), 3.0)
    assert deaths.last(NAME, 4.0) == ((2.0, gone) if told else None)


def test_it_is_told_beside_the_one_that_took_its_place_at_once() -> None:
    deaths = Deaths()
    deaths.see(ReplicaSet(NAME, 1, (Replica("m-1-0", Phase.READY, 0.0),)), 1.0)
    deaths.see(ReplicaSet(NAME, 1, (Replica("m-1-1", Phase.STARTING, 2.0),), last_failure="boom"), 2.0)
    assert deaths.last(NAME, 2.0) == (2.0, "boom")


def test_what_has_left_the_configuration_is_forgotten() -> None:
    deaths = Deaths()
    for revision in ("m-1", "m-2"):
        deaths.see(ReplicaSet(revision, 1, (Replica("a", Phase.READY, 0.0),)), 1.0)
        deaths.see(ReplicaSet(revision, 1, (), last_failure="boom"), 2.0)
    deaths.keep({"m-2"})
    assert (deaths.last("m-1", 3.0), deaths.last("m-2", 3.0)) == (None, (2.0, "boom"))
