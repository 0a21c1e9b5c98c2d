from __future__ import annotations

from activator.scalers.base import Phase, Replica
from activator.scalers.kubernetes.vacancies import Vacancies


def test_what_was_ordered_is_starting_until_something_is_in_its_way() -> None:
    vacancies = Vacancies("m")
    vacancies.want(2, "", 10.0)
    assert vacancies.replicas == [Replica(name, Phase.STARTING, 10.0, vacant=True) for name in ("m/1", "m/2")]
    vacancies.want(2, "no quota", 20.0)
    assert vacancies.replicas[0] == Replica("m/1", Phase.PENDING, 20.0, message="no quota", vacant=True)


def test_an_obstacle_that_is_told_in_other_words_is_the_same_wait() -> None:
    vacancies = Vacancies("m")
    vacancies.want(1, "timeout", 10.0)
    vacancies.want(1, "connection refused", 20.0)
    assert vacancies.replicas == [Replica("m/1", Phase.PENDING, 10.0, message="connection refused", vacant=True)]


def test_those_that_came_are_no_longer_missed() -> None:
    vacancies = Vacancies("m")
    vacancies.want(3, "", 10.0)
    vacancies.want(1, "", 20.0)
    vacancies.want(2, "", 30.0)
    assert [replica.since for replica in vacancies.replicas] == [10.0, 30.0]
    vacancies.want(0, "", 40.0)
    assert vacancies.replicas == []
