from __future__ import annotations

import json
import socket

import pytest

from activator.scalers.keeper.main import Keeper, Ward

PAIR = (socket.AF_UNIX, socket.SOCK_SEQPACKET)


def dead(name: str) -> Ward:
    """A warden that has died unseen."""
    ours, theirs = socket.socketpair(*PAIR)
    theirs.close()
    ward = Ward(0, ours)
    ward.name = name
    return ward


class Forkless(Keeper):
    """A keeper of given wards, of which one waits."""

    def __init__(self, edge: socket.socket, spare: Ward, *others: Ward, next_: Ward | None) -> None:
        super().__init__(edge)
        self._spare = spare
        self._wards = dict(enumerate([spare, *others]))
        self._next = next_

    def _fork(self) -> Ward | None:
        return self._next

    def obey(self, **order: object) -> None:
        self._obey(json.dumps(order).encode())


def test_an_end_of_a_model_whose_warden_has_died_unseen_does_no_harm() -> None:
    here, edge = socket.socketpair(*PAIR)
    spare, ward = dead(""), dead("a")
    with here, edge, spare.line, ward.line:
        Forkless(edge, spare, ward, next_=None).obey(do="end", name="a")


@pytest.mark.parametrize("forks", [True, False])
def test_a_start_is_for_a_new_warden_when_the_one_that_waited_has_died_unseen(forks: bool) -> None:
    here, edge = socket.socketpair(*PAIR)
    line, other = socket.socketpair(*PAIR)
    new, spare = Ward(1, line) if forks else None, dead("")
    with here, edge, line, other, spare.line:
        Forkless(edge, spare, next_=new).obey(do="start", name="a")
        heard = other if forks else here
        assert json.loads(heard.recv(1000))["name"] == "a"
    assert new is None or new.name == "a"
