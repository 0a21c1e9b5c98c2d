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


def test_one_that_someone_took_away_has_not_died_by_what_another_one_died_of_earlier() -> None:
    deaths, failure = Deaths(), "m-1-1 exited with code 1"
    deaths.see(seen(Phase.READY, Phase.STARTING), 1.0)
    deaths.see(seen(Phase.READY, failure=failure), 2.0)
    deaths.see(seen(failure=failure), 3.0)
    assert deaths.last(NAME, 3.0) is None


def test_a_pod_whose_container_died_and_is_started_again_in_its_place_is_told_once_with_its_last_words() -> None:
    deaths, killed = Deaths(), "container model of m-1-0 was killed by SIGKILL (signal 9)"
    deaths.see(seen(Phase.READY), 1.0)
    deaths.see(seen(Phase.STARTING), 2.0)  # as our own probe finds it, before the kubelet tells why
    deaths.see(seen(Phase.STARTING, failure=killed), 3.0)
    assert deaths.last(NAME, 3.0) == (3.0, killed)
    deaths.see(seen(Phase.STARTING, failure=f"{killed}; its last words: boom"), 4.0)
    deaths.see(seen(Phase.STARTING, failure="container model of m-1-0 exited with code 1"), 5.0)
    deaths.see(seen(Phase.READY), 6.0)
    assert deaths.last(NAME, 6.0) == (3.0, f"{killed}; its last words: boom")


def test_one_that_is_not_ready_for_a_while_has_not_died_by_what_another_one_died_of() -> None:
    deaths = Deaths()
    deaths.see(seen(Phase.READY, Phase.STARTING), 1.0)
    deaths.see(seen(Phase.STARTING, Phase.STARTING, failure="m-1-1 exited with code 1"), 2.0)
    assert deaths.last(NAME, 2.0) is None


def test_what_has_left_the_configuration_is_forgotten() -> None:
    deaths = Deaths()
    for revision in ("m-1", "m-2"):
        deaths.see(ReplicaSet(revision, 1, (Replica("a", Phase.READY, 0.0),)), 1.0)
        deaths.see(ReplicaSet(revision, 1, (), last_failure="boom"), 2.0)
    deaths.keep({"m-2"})
    assert (deaths.last("m-1", 3.0), deaths.last("m-2", 3.0)) == (None, (2.0, "boom"))
