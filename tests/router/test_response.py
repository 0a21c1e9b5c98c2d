from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.response import BadResponse, ResponseReader
from tests.router.fakes import exchange, request, revision, service
from tests.router.segments import dribble, segmented

NOW = 1000.0

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n yo\r\n0\r\nX-T: 1\r\n\r\n"
UNTIL_CLOSE = OK + b"Content-Type: text/plain\r\n\r\nhello"


@dataclass
class Passed:
    """What became of a replica's bytes. `body` is without its chunks' sizes, None where the client gets no body."""

    out: bytes
    complete: bool
    clean: bool
    broken: str = ""

    @property
    def head(self) -> bytes:
        """The final head, without the timings."""
        lines = self.out.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")[0].split(b"\r\n")
        return b"\r\n".join(line for line in lines if not line.startswith(b"Server-Timing"))

    @property
    def body(self) -> bytes:
        _, _, body = self.out.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
        return unchunked(body) if b"Transfer-Encoding: chunked" in self.head else body


def unchunked(data: bytes) -> bytes:
    """Return the data of chunks; it must end with the last one."""
    size, _, rest = data.partition(b"\r\n")
    length = int(size, 16)
    if not length:
        assert rest == b"\r\n"
        return b""
    assert rest[length : length + 2] == b"\r\n"
    return rest[:length] + unchunked(rest[length + 2 :])


def passed(pieces: list[bytes], line: str = "GET / HTTP/1.1", *, ends: bool = False) -> Passed:
    asked = exchange(request(line))
    asked.assign(service(), revision(), tagged=False)
    reader, out = ResponseReader(), b""
    reader.begin(asked)
    try:
        for piece in pieces:
            out += reader.feed(piece, NOW)
            if reader.complete:
                break
        if ends and not reader.complete:
            out += reader.end()
    except BadResponse as error:
        return Passed(out, reader.complete, reader.clean, str(error))
    return Passed(out, reader.complete, reader.clean)


def test_a_response_with_a_length_keeps_it() -> None:
    result = passed([HELLO])
    assert (result.head, result.body) == (b"200 OK\r\nContent-Length: 5", b"hello")
    assert (result.complete, result.clean) == (True, True)


def test_a_chunked_response_is_framed_anew_without_extensions_and_trailers() -> None:
    result = passed([CHUNKED])
    assert (result.head, result.body) == (b"200 OK\r\nTransfer-Encoding: chunked", b"hello yo")
    assert b"x=y" not in result.out
    assert b"X-T" not in result.out
    assert (result.complete, result.clean) == (True, True)


def test_a_response_that_ends_with_its_connection_gets_chunks() -> None:
    result = passed([UNTIL_CLOSE], ends=True)
    assert (b"Transfer-Encoding: chunked" in result.head, result.body) == (True, b"hello")
    assert (result.complete, result.clean) == (True, False)


@pytest.mark.parametrize("response", [CHUNKED, UNTIL_CLOSE])
def test_an_http_1_0_client_gets_no_chunks_but_the_end_of_the_connection(response: bytes) -> None:
    result = passed([response], "GET / HTTP/1.0", ends=True)
    assert result.body in {b"hello", b"hello yo"}
    assert b"Transfer-Encoding" not in result.out
    assert b"Connection: close" in result.head


def test_the_answer_to_head_keeps_its_length_and_has_no_body() -> None:
    result = passed([OK + b"Content-Length: 500\r\n\r\n"], "HEAD / HTTP/1.1")
    assert (result.head, result.body, result.complete) == (b"200 OK\r\nContent-Length: 500", b"", True)


@pytest.mark.parametrize("surplus", [b"hello", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\r\n\r\n"])
def test_a_body_that_must_not_be_there_is_not_passed_on_after_head(surplus: bytes) -> None:
    result = passed([OK + b"Content-Length: 5\r\n\r\n" + surplus], "HEAD / HTTP/1.1")
    assert (result.body, result.complete, result.clean) == (b"", True, False)


def test_204_has_neither_length_nor_body() -> None:
    result = passed([b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"])
    assert (result.head, result.body, result.complete) == (b"204 No Content", b"", True)


def test_304_keeps_its_length_and_has_no_body() -> None:
    result = passed([b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n"])
    assert (result.head, result.body) == (b"304 Not Modified\r\nETag: x\r\nContent-Length: 5", b"")
    assert result.complete


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_bytes_after_a_bodyless_response_are_dropped_with_the_connection(status: bytes) -> None:
    result = passed([b"HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nhello" % status])
    assert (result.body, result.complete, result.clean) == (b"", True, False)


@pytest.mark.parametrize(
    "surplus", [b"!", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n"]
)
@pytest.mark.parametrize("response", [HELLO, CHUNKED])
def test_surplus_bytes_cost_the_connection_and_not_the_response(response: bytes, surplus: bytes) -> None:
    result = passed([response + surplus])
    assert (result.body, result.complete, result.broken) == (passed([response]).body, True, "")
    assert not result.clean or surplus == b"\r\n"


def test_a_replica_that_closes_is_not_asked_again() -> None:
    assert not passed([OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n"]).clean
    assert not passed([b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"]).clean


def test_early_hints_are_passed_on_and_100_is_not() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    result = passed([b"HTTP/1.1 100 Continue\r\n\r\n" + hints + HELLO])
    assert result.out.startswith(hints)
    assert b"100 Continue" not in result.out
    assert result.body == b"hello"


def test_an_http_1_0_client_gets_no_interim_responses() -> None:
    assert b"103" not in passed([b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO], "GET / HTTP/1.0").out


def test_an_interim_response_carries_no_framing() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n"
    result = passed([hints + HELLO])
    assert result.out.startswith(b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\n") or result.broken


def test_too_many_interim_responses_are_one_bad_response() -> None:
    assert passed([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 11 + HELLO]).broken


@pytest.mark.parametrize(
    "response",
    [
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 xx OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        OK + b"X-A: 1\x002\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: 1\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A : 1\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        OK + b"".join(b"X-%d: %s\r\n" % (number, b"v" * 1000) for number in range(200)),
    ],
)
def test_whatever_is_not_one_proper_response_is_refused(response: bytes) -> None:
    assert passed([response]).broken
    assert passed(dribble(response)).broken


@pytest.mark.parametrize(
    "response", [b"", OK[:9], OK, HELLO[:-1], CHUNKED[:-20], CHUNKED[:-2], b"HTTP/1.1 103 Early Hints\r\n\r\n"]
)
def test_a_connection_that_ends_too_early_is_noticed(response: bytes) -> None:
    result = passed([response] if response else [], ends=True)
    assert result.broken
    assert not result.out.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("status", [b"299 Strange", b"599 ", b"200 fine", b"418 I'm a teapot"])
def test_a_status_passes_whatever_its_phrase(status: bytes) -> None:
    result = passed([b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status])
    assert result.head.startswith(status[:3] + b" ")
    assert result.complete


def test_fields_pass_as_they_are_but_hop_by_hop_ones_and_the_edges_own() -> None:
    kept = b"Date: Tue, 24 Nov 2026 23:00:00 GMT\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-U: caf\xe9\r\n"
    dropped = b"Keep-Alive: timeout=5\r\nConnection: keep-alive\r\nActivator-Reason: lie\r\nTrailer: X-T\r\n"
    result = passed([OK + kept + dropped + b"Content-Length: 0\r\n\r\n"])
    assert result.head == b"200 OK\r\n" + kept + b"Content-Length: 0"


OFFER = request(
    "GET / HTTP/1.1",
    *("Connection: Upgrade", "Upgrade: websocket"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
)
SWITCH = (
    b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 101 Yes\r\n"
    b"Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


@given(st.data(), st.sampled_from([b"", b"\x81\x05hello", HELLO, SWITCH]))
def test_what_comes_behind_an_accepted_offer_is_never_parsed(data: st.DataObject, behind: bytes) -> None:
    asked = exchange(OFFER)
    asked.assign(service(), revision(), tagged=False)
    reader, out, rest = ResponseReader(), b"", data.draw(segmented(SWITCH + behind))
    reader.begin(asked)
    while not reader.switched:
        out += reader.feed(rest.pop(0), NOW)
    head, _, first = out.partition(b"HTTP/1.1 101 ")[2].partition(b"\r\n\r\n")
    assert head.startswith(b"Switching Protocols\r\nSec-WebSocket-Accept: x\r\nServer-Timing: ")
    assert b"upstream;dur=1000000.0" in head
    assert head.endswith(b"\r\nConnection: Upgrade\r\nUpgrade: websocket")
    assert first + b"".join(rest) == behind
    assert (asked.status, asked.keep_alive, reader.complete, reader.clean) == (101, False, False, False)
    assert asked.body_bytes == len(first)


STREAMS = [
    (HELLO, "GET / HTTP/1.1", False),
    (CHUNKED, "GET / HTTP/1.1", False),
    (UNTIL_CLOSE, "GET / HTTP/1.1", True),
    (UNTIL_CLOSE, "GET / HTTP/1.0", True),
    (CHUNKED, "GET / HTTP/1.0", False),
    (OK + b"Content-Length: 500\r\n\r\n", "HEAD / HTTP/1.1", False),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "GET / HTTP/1.1", False),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET / HTTP/1.1", False),
    (b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 100 C\r\n\r\n" + HELLO, "GET / HTTP/1.1", False),
    (CHUNKED[:-9], "GET / HTTP/1.1", True),
    (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.1", False),
]


@given(st.data(), st.sampled_from(STREAMS))
def test_the_same_bytes_mean_the_same_however_they_are_cut(
    data: st.DataObject, stream: tuple[bytes, str, bool]
) -> None:
    response, line, ends = stream
    whole, cut = passed([response], line, ends=ends), passed(data.draw(segmented(response)), line, ends=ends)
    assert (cut.complete, bool(cut.broken)) == (whole.complete, bool(whole.broken))
    if not whole.broken:
        assert (cut.head, cut.body) == (whole.head, whole.body)


def test_every_piece_leaves_in_the_turn_in_which_it_came() -> None:
    asked = exchange()
    asked.assign(service(), revision(), tagged=False)
    reader = ResponseReader()
    reader.begin(asked)
    reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n", NOW)
    assert reader.feed(b"5\r\nfirst\r\n", NOW) == b"5\r\nfirst\r\n"
    assert reader.feed(b"6\r\nsec", NOW) == b"3\r\nsec\r\n"
    assert reader.feed(b"ond\r\n0\r\n\r\n", NOW) == b"3\r\nond\r\n0\r\n\r\n"


@pytest.mark.parametrize("cut", [1 << 20, 1000], ids=["at once", "in pieces"])
def test_a_head_that_is_too_large_is_refused_however_it_comes(cut: int) -> None:
    data = OK + b"X-Large: " + b"x" * (100 << 10) + b"\r\nContent-Length: 0\r\n\r\n"
    result = passed([data[start : start + cut] for start in range(0, len(data), cut)])
    assert "its head is larger than" in result.broken
    assert not result.out


def test_a_large_body_may_come_with_its_head() -> None:
    body = b"x" * (100 << 10)
    assert passed([OK + b"Content-Length: %d\r\n\r\n" % len(body) + body]).body == body
