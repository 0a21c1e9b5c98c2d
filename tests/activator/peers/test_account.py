"""For whom elsewhere a claimer is asked for slots: as many as it has, however it came to them."""

from __future__ import annotations

from activator.peers import messages as m
from activator.peers.account import Account
from router.queue import Queue
from tests.router.fakes import Clock, replicas, revision

NAME = "a-1"
OTHERS = (1.0, 2.0, 3.0)


class Line(list[m.Message]):
    """A way to a claimer that keeps what it is told."""

    def send(self, message: m.Message) -> None:
        self.append(message)


def test_it_is_asked_for_what_runs_by_its_own_choice_and_for_nothing_that_it_has_given_back() -> None:
    queue = Queue(revision(NAME), lambda _: None, Clock())
    queue.update(replicas(1, NAME), 0.0)
    (endpoint,) = queue.replicas.endpoints
    line = Line()
    account = Account(line, 0)
    account.recall(NAME, OTHERS)
    assert line == [], "it has none"
    account.occupy(NAME, queue.slots_of(endpoint), 2)
    account.recall(NAME, OTHERS)
    account.release(NAME, endpoint, 1)
    account.release(NAME, endpoint, 1)
    account.recall(NAME, OTHERS)
    assert line == [m.Recall(NAME, (1.0, 2.0))]
    assert queue.in_flight() == {}
