"""One edge, with what stands for its peers."""

from __future__ import annotations

import asyncio

import pytest
from structlog import get_logger

from activator.peers.league import League
from activator.peers.link import Self
from router.tasks import Tasks
from tests.router.fakes import Wakes

pytestmark = pytest.mark.looptime


class Peer:
    """A link, as far as a sweep goes. `told` is what its peer was told of whether this edge leads."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def beat(self, now: float, *, leads: bool) -> None:
        self.told.append(leads)

    def excuse(self, now: float) -> None:
        pass


async def test_an_edge_leads_as_it_tells_its_peers_though_its_lease_ends_meanwhile() -> None:
    clock = asyncio.get_running_loop().time
    league = League(Self("10.0.0.1:7000", b"", clock), Wakes(), Tasks(lambda *_: None), get_logger())
    peer = league.links.live["10.0.0.2:7000"] = Peer()  # type: ignore[assignment]
    answers = [False, True]
    league.router.elected = answers.pop
    league.sweep()
    league.router.elected = lambda: True
    assert (peer.told, league.router.leads()) == ([True], True)
