from __future__ import annotations

import tracemalloc

from router.body import BUFFER, Body
from tests.router.fakes import Client


class Sink:
    """A replica's side of a body."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = False

    def write_body(self, data: bytes) -> None:
        assert not self.ended
        self.got += data

    def end_body(self) -> None:
        assert not self.ended
        self.ended = True


def test_what_came_before_the_replica_was_known_is_sent_first() -> None:
    body, sink = Body(Client()), Sink()
    body.feed(b"one ")
    body.feed(b"two ")
    body.attach(sink)
    body.feed(b"three")
    assert (sink.got, sink.ended) == (b"one two three", False)
    body.finish()
    assert sink.ended


def test_a_look_at_the_beginning_changes_nothing_of_what_is_sent() -> None:
    for whole in (True, False):
        body, sink = Body(Client()), Sink()
        assert body.beginning(4) == b""
        body.feed(b"one")
        body.feed(b" two")
        assert body.beginning(4) == b"one "
        body.feed(b" three")
        assert body.beginning(100) == b"one two three"
        assert body.size == 13
        if whole:
            body.finish()
        body.attach(sink)
        assert (sink.got, sink.ended) == (b"one two three", whole)


def test_a_complete_body_is_sent_and_ended_at_once() -> None:
    body, sink = Body(Client()), Sink()
    body.feed(b"all")
    body.finish()
    body.attach(sink)
    assert (sink.got, sink.ended) == (b"all", True)


def test_a_body_is_ready_when_it_is_complete() -> None:
    body, told = Body(Client()), []
    body.on_ready = lambda: told.append(body.ready)
    body.feed(b"x")
    assert (body.ready, told) == (False, [])
    body.finish()
    assert (body.ready, told) == (True, [True])


def test_a_body_is_ready_when_the_buffer_is_full_and_then_no_more_is_read() -> None:
    client, told = Client(), []
    body = Body(client)
    body.on_ready = lambda: told.append(body.ready)
    body.feed(b"x" * (BUFFER - 1))
    assert (body.ready, client.reading) == (False, True)
    body.feed(b"x")
    body.finish()
    assert (told, client.reading) == ([True], False)


def test_reading_goes_on_once_the_buffer_was_sent() -> None:
    client = Client()
    body = Body(client)
    body.feed(b"x" * BUFFER)
    body.attach(Sink())
    assert (client.reading, body.size) == (True, 0)


def test_a_whole_body_that_was_taken_takes_no_memory() -> None:
    body = Body(Client())
    body.feed(b"x" * 10)
    body.finish()
    assert (body.take(), body.size) == (b"x" * 10, 0)


def test_a_body_over_its_limit_is_told_once_and_dropped() -> None:
    body, sink, told = Body(Client()), Sink(), []
    body.limit, body.on_overflow = 4, lambda: told.append("over")
    body.attach(sink)
    for piece in (b"1234", b"5", b"6"):
        body.feed(piece)
    body.finish()
    assert (sink.got, sink.ended, told) == (b"1234", False, ["over"])


def test_a_discarded_body_is_read_on_and_kept_nowhere() -> None:
    client = Client()
    body = Body(client)
    body.feed(b"x" * BUFFER)
    body.discard()
    body.feed(b"y" * BUFFER)
    body.finish()
    assert (client.reading, body.size, body.complete) == (True, 0, True)


def test_a_body_that_comes_in_bits_takes_little_more_memory_than_its_bytes() -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    bodies = [Body(Client()) for _ in range(10)]
    for body in bodies:
        for number in range(5000):
            body.feed(b"%04d" % number)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(body.size for body in bodies) == 200_000
    assert after - before < 300_000
    assert bodies[0].beginning(8) == b"00000001"
