"""Who may come in, with connections that are only names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from router.door import EVICT_SECONDS, TURNED_AWAY, TURNED_AWAY_SECONDS, Door, source_of
from router.errors import EdgeError, Reason
from router.sockets import OWN_DESCRIPTORS, most_callers, most_connections
from router.table import EdgeLimits
from tests.router.fakes import Clock, Transport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Guest:
    """A connection that is idle since it came, unless a test says that it is busy."""

    def __init__(self, clock: Clock) -> None:
        self.since = clock()
        self.evicted = False

    def is_idle(self, now: float, seconds: float) -> bool:
        return now - self.since >= seconds

    def evict(self) -> None:
        self.evicted = True


class Stage:
    def __init__(self, **limits: int) -> None:
        self.clock = Clock()
        self.refusals: list[EdgeError] = []
        self.door = Door(self.clock, self.refusals.append)
        self.door.limit(EdgeLimits(**limits))

    def come(self, host: str = "192.0.2.1", *, busy: bool = False) -> tuple[Guest, Reason | None]:
        guest = Guest(self.clock)
        reason = self.door.enter(guest, host)
        if busy:
            self.door.idle.pop(guest, None)
        return guest, reason


def test_no_more_are_let_in_than_there_are_places_while_all_are_busy() -> None:
    stage = Stage(connections=2)
    first, _ = stage.come(busy=True)
    assert stage.come(busy=True)[1] is None
    assert stage.come()[1] is Reason.TOO_MANY_CONNECTIONS
    stage.door.leave(first)
    assert stage.come()[1] is None


def test_whoever_has_been_idle_for_longest_makes_room() -> None:
    stage = Stage(connections=2)
    oldest, _ = stage.come()
    stage.clock.now += EVICT_SECONDS
    younger, _ = stage.come()
    assert stage.come()[1] is None
    assert (oldest.evicted, younger.evicted) == (True, False)
    assert len(stage.door.guests) == 2


def test_one_that_has_just_come_is_not_pushed_out() -> None:
    stage = Stage(connections=1)
    first, _ = stage.come()
    stage.clock.now += EVICT_SECONDS / 2
    assert stage.come()[1] is Reason.TOO_MANY_CONNECTIONS
    assert not first.evicted


def test_who_does_not_take_its_answers_does_not_stand_before_others_that_may_be_closed() -> None:
    stage = Stage(connections=40)
    for _ in range(20):
        stage.come()[0].since = float("inf")
    silent = [stage.come()[0] for _ in range(20)]
    stage.clock.now += EVICT_SECONDS
    reasons = [stage.come()[1] for _ in range(22)]
    assert reasons[1:21] == [None] * 20
    assert all(guest.evicted for guest in silent)


def test_it_is_pressed_when_most_places_are_taken() -> None:
    stage = Stage(connections=8)
    for _ in range(6):
        stage.come()
    assert not stage.door.pressed
    stage.come()
    assert stage.door.pressed


def test_a_source_has_a_limit_of_its_own() -> None:
    stage = Stage(connections_per_source=2)
    first, _ = stage.come("192.0.2.1")
    stage.come("192.0.2.1")
    assert stage.come("192.0.2.1")[1] is Reason.TOO_MANY_FROM_SOURCE
    assert stage.come("192.0.2.2")[1] is None
    stage.door.leave(first)
    stage.door.leave(first)
    assert stage.come("192.0.2.1")[1] is None
    assert stage.come("192.0.2.1")[1] is Reason.TOO_MANY_FROM_SOURCE


def test_nothing_is_kept_of_those_who_left() -> None:
    stage = Stage()
    guests = [stage.come(f"192.0.2.{number}")[0] for number in range(100)]
    for guest in guests:
        stage.door.leave(guest)
    assert (stage.door.guests, stage.door.idle, stage.door._sources) == ({}, {}, {})


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8::6", "2001:db8:0:0"),
        ("fe80::1%eth0", "fe80:0:0:0"),
        ("::1", "0:0:0:0"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_is_one_source(host: str, source: str) -> None:
    assert source_of(host) == source


def limit(soft: int) -> Callable[[int], tuple[int, int]]:
    return lambda _: (soft, soft)


def test_places_are_fewer_than_half_of_the_descriptors() -> None:
    assert [most_callers(limit(each)) for each in (256, 1024, 1 << 20, -1)] == [32, 128, 128, 128]
    assert most_connections(limit(1024)) == (1024 - OWN_DESCRIPTORS - 128) // 2 < 512
    assert most_connections(limit(256)) == 96
    assert most_connections(limit(16)) == 1
    assert most_connections(limit(-1)) == 1 << 20
    stage = Stage(connections=1 << 30)
    assert stage.door.places == most_connections()


class Leaving(Transport):
    protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


def test_whoever_is_turned_away_is_told_why_and_when_to_come_back() -> None:
    stage, transport = Stage(), Leaving()
    stage.door.turn_away(transport, Reason.TOO_MANY_FROM_SOURCE)
    head, _, body = transport.got.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 429 Too Many Requests\r\n")
    assert "\r\nConnection: close" in head
    assert "\r\nRetry-After: " in head
    assert json.loads(body)["reason"] == "too_many_connections_from_source"
    assert [refusal.reason for refusal in stage.refusals] == [Reason.TOO_MANY_FROM_SOURCE]


def test_they_have_a_moment_to_hear_it() -> None:
    stage, transport = Stage(), Leaving()
    stage.door.turn_away(transport, Reason.TOO_MANY_CONNECTIONS)
    stage.door.sweep(stage.clock() + TURNED_AWAY_SECONDS / 2)
    assert not transport.closed
    stage.door.sweep(stage.clock() + TURNED_AWAY_SECONDS)
    assert transport.closed


def test_no_more_than_a_few_of_them_are_there_at_a_time() -> None:
    stage, transports = Stage(), [Leaving() for _ in range(TURNED_AWAY + 3)]
    for transport in transports:
        stage.door.turn_away(transport, Reason.TOO_MANY_CONNECTIONS)
    assert [transport.closed for transport in transports] == [True] * 3 + [False] * TURNED_AWAY
