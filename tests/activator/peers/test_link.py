"""One connection between two edges in virtual time, on a way that is slow when a test says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from activator.peers import messages as m
from activator.peers.link import Link, Self
from activator.peers.pacts import Seen

if TYPE_CHECKING:
    from activator.peers.pacts import ToPeer

pytestmark = pytest.mark.looptime

SECRET = b"0123456789abcdef"
FAST = 0.001
WAITED = 5.0


class Transport(asyncio.Transport):
    """Hands on what is written after as long as the way takes, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.way = FAST
        self.other: Any = None
        self._due = 0.0

    def write(self, data: Any) -> None:
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time() + self.way)
        loop.call_at(self._due, self.other.data_received, bytes(data))

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Side:
    """An edge whose clock is `ahead`. As soon as it hears the other one it claims for who has waited for a while."""

    def __init__(self, name: str, ahead: float, dial: str = "") -> None:
        self._ahead = ahead
        self.waited: list[float] = []  # of the claims that were heard
        self.transport = Transport()
        self.link = Link(Self(name, SECRET, self.clock), self, dial)

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead

    def opened(self, link: Link) -> None:  # like Links.opened, and then Tenure.join
        link.beat(self.clock(), leads=False)
        link.send(Seen(1))

    def heard(self, link: Link, message: ToPeer) -> None:
        if isinstance(message, Seen):
            link.send(m.Claim(1, "a", self.clock() - WAITED, 0))
        elif isinstance(message, m.Claim):
            self.waited.append(self.clock() - message.arrived)

    def closed(self, link: Link) -> None:
        pass

    def accepted(self, nonce: bytes) -> bool:
        return False


@pytest.mark.parametrize("slow", ["greeting", "challenge"])
async def test_the_order_of_arrival_does_not_suffer_from_a_handshake_that_took_long(slow: str) -> None:
    dials, dialled = Side("a:1", 0.0, "b:2"), Side("b:2", 1000.0)
    dials.transport.other, dialled.transport.other = dialled.link.wire, dials.link.wire
    (dials if slow == "greeting" else dialled).transport.way = 0.8  # who is to answer is stopped
    dialled.link.wire.connection_made(dialled.transport)
    dials.link.wire.connection_made(dials.transport)
    await asyncio.sleep(0.5)
    dials.transport.way = dialled.transport.way = FAST
    await asyncio.sleep(2)
    assert dials.waited == [pytest.approx(WAITED, abs=0.01)]
    assert dialled.waited == [pytest.approx(WAITED, abs=0.01)]
