from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.exchange import SWITCHING
from router.response import BadResponse, ResponseReader, Warm
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
        """The final head, without the timings, and the date behind them, which the edge adds where it is missing."""
        head, _, own = self.out.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")[0].partition(b"\r\nServer-Timing")
        assert own.count(b"\r\nDate: ") == (b"\r\nDate: " not in head)
        return head

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


def passed(pieces: list[bytes], line: str = "GET / HTTP/1.1", *fields: str, ends: bool = False) -> Passed:
    asked = exchange(request(line, *fields))
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


TRAILING = CHUNKED.replace(
    b"X-T: 1\r\n", b"X-T: 1\r\nSet-Cookie: a=1\r\nConnection: x\r\nactivator-reason: lie\r\nserver-timing: x\r\n"
).replace(b"\r\n\r\n", b"\r\nTrailer: X-T\r\n\r\n", 1)


@given(st.data())
def test_a_client_that_takes_trailers_gets_those_that_are_harmless(data: st.DataObject) -> None:
    cut = data.draw(segmented(TRAILING))
    result = passed(cut, "GET / HTTP/1.1", "TE: trailers")
    assert b"\r\nTrailer: X-T\r\n" in result.head
    assert result.out.endswith(b"\r\n0\r\nX-T: 1\r\nserver-timing: x\r\n\r\n")
    assert result.complete


@pytest.mark.parametrize("asked", [("GET / HTTP/1.1", "TE: gzip"), ("GET / HTTP/1.0", "TE: trailers")])
def test_and_no_other_client_gets_any(asked: tuple[str, str]) -> None:
    assert b"X-T" not in passed([TRAILING], *asked).out


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


def test_and_the_connection_may_be_used_again_if_no_body_was_declared() -> None:
    reader, framing = ResponseReader(), b"Content-Length: 0"
    for line in ("HEAD / HTTP/1.1", "GET / HTTP/1.1", "HEAD / HTTP/1.1"):
        asked = exchange(request(line))
        asked.assign(service(), revision(), tagged=False)
        reader.begin(asked)
        out = reader.feed(OK + framing + b"\r\n\r\n" if line.startswith("HEAD") else HELLO, NOW)
        assert (asked.status, reader.complete, reader.clean) == (200, True, True)
        assert out.endswith(b"\r\n\r\n" if line.startswith("HEAD") else b"\r\n\r\nhello")


@pytest.mark.parametrize(
    "surplus", [b"h", b"hello", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\r\n", b"0\r\n\r\n"]
)
@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked"])
def test_a_body_that_must_not_be_there_is_not_passed_on_after_head(framing: bytes, surplus: bytes) -> None:
    result = passed([OK + framing + b"\r\n\r\n" + surplus], "HEAD / HTTP/1.1")
    assert result.out.endswith(b"\r\n\r\n")
    assert (result.complete, result.clean) == (True, False)


def test_204_has_neither_length_nor_body() -> None:
    result = passed([b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"])
    assert (result.head, result.body, result.complete) == (b"204 No Content", b"", True)


@pytest.mark.parametrize(
    ("head", "clean"),
    [
        (b"204 No Content", True),
        (b"204 No Content\r\nContent-Length: 0", True),
        (b"204 No Content\r\nContent-Length: 5", False),
        (b"204 No Content\r\nTransfer-Encoding: chunked", False),
        (b"304 Not Modified", True),
        (b"304 Not Modified\r\nContent-Length: 0", True),
        (b"304 Not Modified\r\nContent-Length: 5", False),
        (b"304 Not Modified\r\nTransfer-Encoding: chunked", False),
    ],
)
def test_one_that_declares_a_body_that_it_cannot_have_is_the_last_on_its_connection(head: bytes, clean: bool) -> None:
    result = passed([b"HTTP/1.1 " + head + b"\r\n\r\n"])
    assert (result.complete, result.clean) == (True, clean)


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_and_so_is_one_to_head_as_the_body_may_yet_come(framing: bytes) -> None:
    result = passed([OK + framing + b"\r\n\r\n"], "HEAD / HTTP/1.1")
    assert (result.complete, result.clean) == (True, False)


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


def test_an_answer_may_follow_an_interim_response_that_announces_the_end_of_the_connection() -> None:
    assert passed([b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + HELLO]).body == b"hello"


def test_an_http_1_0_client_gets_no_interim_responses() -> None:
    assert b"103" not in passed([b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO], "GET / HTTP/1.0").out


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Early Hints"])
def test_an_interim_response_may_say_that_it_has_no_content(status: bytes) -> None:
    assert passed([b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status + HELLO]).body == b"hello"


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Forged: 1\r\n\r\nyes"


@given(
    st.data(),
    st.integers(0, 199).filter(lambda status: status != SWITCHING),
    st.sampled_from(
        [
            b"Content-Length: %d\r\n\r\n%s" % (len(FORGED), FORGED),
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(FORGED), FORGED),
            b"Content-Length: 1\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n",
        ]
    ),
)
def test_what_a_response_before_the_final_one_has_as_content_never_reaches_the_client(
    data: st.DataObject, status: int, rest: bytes
) -> None:
    result = passed(data.draw(segmented(b"HTTP/1.1 %03d X\r\n" % status + rest + HELLO)), ends=True)
    assert result.broken
    assert result.out == b""


@pytest.mark.parametrize("status", [b"000", b"42", b"099"])
def test_there_is_no_status_below_100(status: bytes) -> None:
    result = passed([b"HTTP/1.1 %s X\r\n\r\n" % status + FORGED], ends=True)
    assert result.broken
    assert result.out == b""


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
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/2.0 103 Early Hints\r\n\r\n" + HELLO,
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
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
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
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


def test_an_answer_that_asks_for_websocket_says_so() -> None:
    result = passed([b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: WebSocket\r\nContent-Length: 0\r\n\r\n"])
    assert result.head.endswith(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0")
    assert b"Upgrade:" not in passed([b"HTTP/1.1 426 X\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"]).head


@pytest.mark.parametrize("connection", [b"x-hop", b"close, X-Hop", b"keep-alive\r\nConnection: a, x-hop "])
def test_fields_that_the_response_names_in_connection_stay_here(connection: bytes) -> None:
    for line in (OK, b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK):
        result = passed([line + b"X-Hop: 1\r\nX-Kept: 1\r\nConnection: %s\r\nContent-Length: 0\r\n\r\n" % connection])
        assert result.head == b"200 OK\r\nX-Kept: 1\r\nContent-Length: 0"


def test_and_those_that_an_interim_response_names_too() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nX-Hop: 1\r\nConnection: x-hop\r\nX-Kept: 1\r\n\r\n"
    assert passed([hints + HELLO]).out.startswith(b"HTTP/1.1 103 Early Hints\r\nX-Kept: 1\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_blanks_behind_a_value_are_not_part_of_it() -> None:
    assert passed([OK + b"Content-Length: 5 \t\r\n\r\nhello"]).head == b"200 OK\r\nContent-Length: 5"
    assert passed([OK + b"Transfer-Encoding: chunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n"]).body == b"hello"


def test_a_response_without_a_date_gets_one_and_no_other_does() -> None:
    dated = OK + b"date: Tue, 24 Nov 2026 23:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    assert passed([dated]).out.lower().count(b"\r\ndate: ") == 1
    for response in (HELLO, dated.replace(b"\r\n\r\n", b"\r\nConnection: date\r\n\r\n")):
        added = passed([response]).out.partition(b"\r\nDate: ")[2].partition(b"\r\n")[0]
        assert abs(parsedate_to_datetime(added.decode()).timestamp() - time.time()) < 5


def test_and_so_it_is_when_its_head_comes_again() -> None:
    for response in (HELLO, HELLO.replace(b"\r\n", b"\r\nDate: Tue, 24 Nov 2026 23:00:00 GMT\r\n", 1)):
        reader = ResponseReader()
        for _ in range(4):
            asked = exchange()
            asked.assign(service(), revision(), tagged=False)
            reader.begin(asked)
            assert reader.feed(response, NOW).count(b"\r\nDate: ") == 1


@pytest.mark.parametrize("more", [b"X: %s\r\n", b"X: 1\r\n", b"5;%s\r\nhello\r\n"], ids=["one", "many", "extension"])
@pytest.mark.parametrize("cut", [1000, 200_000])
def test_trailers_and_extensions_without_end_cut_the_response(more: bytes, cut: int) -> None:
    begun = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    extension = more.startswith(b"5")
    flood = more % (b"x" * 1_000_000) if b"%" in more else more * 200_000
    data = flood if extension else b"0\r\n" + flood
    result = passed([begun, *(data[start : start + cut] for start in range(0, len(data), cut))])
    assert "bytes of chunk extensions or trailers" in result.broken
    assert not result.out.endswith(b"0\r\n\r\n")


def test_a_long_body_may_have_many_chunks_with_extensions() -> None:
    begun = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    result = passed([begun, *[b"5;%s\r\nhello\r\n" % (b"x" * 1000)] * 100, b"0\r\nX: %s\r\n\r\n" % (b"x" * 60_000)])
    assert (result.complete, result.body) == (True, b"hello" * 100)


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


@pytest.mark.parametrize("cut", [1 << 20, 1000], ids=["at once", "in pieces"])
def test_and_so_are_one_before_it_and_trailers_that_are_passed_on(cut: int) -> None:
    large = b"X-Large: " + b"x" * (100 << 10) + b"\r\n"
    for data in (b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % large + HELLO, CHUNKED.replace(b"X-T: 1\r\n", large)):
        pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
        result = passed(pieces, "GET / HTTP/1.1", "TE: trailers")
        assert "than 65536 bytes" in result.broken
        assert large not in result.out


def test_a_large_body_may_come_with_its_head() -> None:
    body = b"x" * (100 << 10)
    assert passed([OK + b"Content-Length: %d\r\n\r\n" % len(body) + body]).body == body


def test_of_what_is_told_of_times_so_much_is_kept_as_is_short() -> None:
    warm = Warm()
    told = [warm[tenths] for tenths in (5, 5, 5000)]
    assert [each.rpartition(b"=")[2] for each in told] == [b"0.5\r\n", b"0.5\r\n", b"500.0\r\n"]
    assert list(warm) == [5]
