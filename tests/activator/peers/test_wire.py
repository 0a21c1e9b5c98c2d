from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import msgspec
import pytest

from activator.peers import messages as m
from activator.peers.wire import LARGEST, LENGTH, Wire
from router.ports import Endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DECODER: msgspec.msgpack.Decoder[list[m.ToOwner]] = msgspec.msgpack.Decoder(list[m.ToOwner])


class End:
    """One end of a way between two processes. `heard` has the frames that came."""

    def __init__(self) -> None:
        self.heard: list[list[m.ToOwner]] = []
        self.lost = asyncio.Event()
        self.wire: Wire[m.ToOwner] = Wire(DECODER, lambda _, messages: self.heard.append(messages), self.lost.set)

    async def connect(self, sock: socket.socket) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self.wire, sock=sock)

    async def until(self, frames: int) -> list[list[m.ToOwner]]:
        async with asyncio.timeout(30):
            while len(self.heard) < frames:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return self.heard


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    pair = End(), End()
    for end, sock in zip(pair, socket.socketpair(), strict=True):
        await end.connect(sock)
    yield pair
    for end in pair:
        end.wire.close()
    for end in pair:
        await end.lost.wait()


async def test_what_is_sent_in_one_turn_comes_in_one_frame_and_in_order(ends: tuple[End, End]) -> None:
    here, there = ends
    for number in range(3):
        here.wire.send(m.Withdraw(number))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    here.wire.send(m.Poke("a-1"))
    assert await there.until(2) == [[m.Withdraw(0), m.Withdraw(1), m.Withdraw(2)], [m.Poke("a-1")]]


async def test_what_may_wait_comes_with_the_next_message(ends: tuple[End, End]) -> None:
    here, there = ends
    here.wire.patience = 60.0
    here.wire.put(m.Withdraw(0))
    await asyncio.sleep(0.01)
    here.wire.put(m.Withdraw(1))
    here.wire.send(m.Poke("a-1"))
    assert await there.until(1) == [[m.Withdraw(0), m.Withdraw(1), m.Poke("a-1")]]


async def test_what_may_wait_comes_by_itself_a_moment_later(ends: tuple[End, End]) -> None:
    here, there = ends
    for frame in range(2):
        here.wire.put(m.Withdraw(2 * frame))
        here.wire.put(m.Withdraw(2 * frame + 1))
        assert (await there.until(frame + 1))[frame:] == [[m.Withdraw(2 * frame), m.Withdraw(2 * frame + 1)]]


async def test_what_has_not_left_can_be_taken_back_once(ends: tuple[End, End]) -> None:
    here, there = ends
    first, second = m.Claim(1, "a-1", 1.5, 0), m.Claim(2, "a-1", 1.6, 0)
    here.wire.put(first)
    here.wire.put(second)
    assert [here.wire.take_back(first), here.wire.take_back(first)] == [True, False]
    assert await there.until(1) == [[second]]
    assert not here.wire.take_back(second)


async def test_thousands_are_withdrawn_in_one_turn_without_a_look_at_all_others_for_each(ends: tuple[End, End]) -> None:
    here, there = ends
    compared = 0

    class Counted(m.Claim, tag=7):  # noqa: PLW1641 - nobody hashes it
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

    left, put = ([Counted(number, "a-1", 1.5, 0) for number in range(2000)] for _ in range(2))
    for claim in put:
        here.wire.put(claim)
    assert all(here.wire.take_back(claim) for claim in reversed(put))
    for claim in left:
        assert not here.wire.take_back(claim)
        here.wire.put(m.Withdraw(claim.claim))
    assert await there.until(1) == [[m.Withdraw(number) for number in range(2000)]]
    assert compared < 10000


async def test_frames_that_come_in_pieces_are_put_together() -> None:
    ours, theirs = socket.socketpair()
    end = End()
    await end.connect(ours)
    told = [m.Claim(7, "a-1", 1.5, 10), m.Release("a-1", Endpoint("r1", "127.0.0.1", 8000))]
    frame = msgspec.msgpack.encode(told)
    data = (LENGTH.pack(len(frame)) + frame) * 3
    for start in range(0, len(data), 5):
        theirs.send(data[start : start + 5])
        await asyncio.sleep(0)
    assert await end.until(3) == [told] * 3
    theirs.close()
    await end.lost.wait()


@pytest.mark.parametrize(
    "data",
    [
        LENGTH.pack(1 << 31),
        LENGTH.pack(3) + b"\xc1\xc1\xc1",
        LENGTH.pack(len(more := msgspec.msgpack.encode([[99, "from a later version"]]))) + more,
        LENGTH.pack(len(more := msgspec.msgpack.encode([[7, "no number", "a-1", 0.0, 0]]))) + more,
        LENGTH.pack(len(more := b"\x91\x92\x06\xa1\xff")) + more,
        LENGTH.pack(len(more := b"\x91\x93\x06\xa1a" + b"\x91" * 1000 + b"\xc0")) + more,
    ],
    ids=["too long", "no MessagePack", "an unknown kind", "a wrong type", "no UTF-8", "too deep"],
)
async def test_a_side_that_breaks_the_rules_is_cut_off(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    end, defects = End(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    await end.connect(ours)
    theirs.send(data)
    async with asyncio.timeout(30):
        await end.lost.wait()
    assert (end.heard, defects) == ([], [])
    theirs.close()


async def test_what_is_sent_before_the_connection_waits_for_it() -> None:
    ours, theirs = socket.socketpair()
    here, there = End(), End()
    here.wire.send(m.Poke("a-1"))
    await asyncio.sleep(0)
    await here.connect(ours)
    await there.connect(theirs)
    assert await there.until(1) == [[m.Poke("a-1")]]
    here.wire.close()
    await there.lost.wait()
    there.wire.close()
    await here.lost.wait()


async def test_what_is_sent_to_one_that_is_gone_is_dropped(ends: tuple[End, End]) -> None:
    here, there = ends
    there.wire.close()
    await here.lost.wait()
    here.wire.send(m.Poke("a-1"))
    await asyncio.sleep(0)


async def test_a_side_that_has_stopped_is_cut_off_before_what_it_is_sent_takes_all_memory() -> None:
    here, (ours, theirs) = End(), socket.socketpair()
    with theirs:
        await here.connect(ours)
        for _ in range(3):
            here.wire.send(m.Poke("a" * (LARGEST - 100)))
            here.wire.flush()
        await asyncio.wait_for(here.lost.wait(), 30)
