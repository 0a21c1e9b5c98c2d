from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.chunks import MAX_EXTENSIONS, Chunks
from router.errors import EdgeError, Reason
from router.guard import MAX_HEAD, MAX_TARGET
from router.http1 import GATHERED, SLICE, RequestReader
from tests.router.fakes import Client
from tests.router.segments import dribble, segmented

if TYPE_CHECKING:
    from router.request import Request

VECTORS = [
    vector["request"].encode("latin-1")
    for vector in json.loads((Path(__file__).parents[1] / "data" / "http-vectors.json").read_text())
]
GET = b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n"
OPEN = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"


class Received:
    """A request with the body that came for it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.body = b""
        self.complete = request.body is None
        if request.body is not None:
            request.body.attach(self)

    def write_body(self, data: bytes) -> None:
        self.body += data

    def end_body(self) -> None:
        self.complete = True


@dataclass
class Reading(Client):
    """A connection with its reader, fed as far as that goes."""

    requests: list[Received] = field(default_factory=list)
    refusal: EdgeError | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.reader = RequestReader(self)

    def on_request(self, request: Request) -> None:
        self.requests.append(Received(request))

    def feed(self, pieces: list[bytes]) -> Reading:
        try:
            for piece in pieces:
                self.reader.feed(piece)
        except EdgeError as refusal:
            self.refusal = refusal
        return self

    @property
    def seen(self) -> list[tuple[bytes, bytes, bytes, int | None, bytes]]:
        """What was received whole."""
        whole = [(received.request, received.body) for received in self.requests if received.complete]
        return [(made.method, made.target, made.host, made.length, body) for made, body in whole]

    @property
    def verdict(self) -> tuple[list[tuple[bytes, bytes, bytes, int | None, bytes]], bool, bool]:
        return self.seen, self.refusal is not None, self.refusal is None and self.reader.mid_request


def read(*pieces: bytes) -> Reading:
    return Reading().feed(list(pieces))


def refused(*pieces: bytes) -> str:
    refusal = read(*pieces).refusal
    assert refusal is not None
    return refusal.reason


@given(st.data(), st.lists(st.sampled_from(VECTORS), min_size=1, max_size=3).map(b"".join))
def test_the_same_bytes_mean_the_same_however_they_are_cut(data: st.DataObject, stream: bytes) -> None:
    assert read(*data.draw(segmented(stream))).verdict == read(stream).verdict


@pytest.mark.parametrize("stream", VECTORS)
def test_the_same_bytes_mean_the_same_when_they_are_dribbled(stream: bytes) -> None:
    assert read(*dribble(stream + GET % 7)).verdict == read(stream + GET % 7).verdict


@given(
    st.data(),
    st.sampled_from(
        [
            (b"BREW / HTTP/1.1", Reason.METHOD_UNKNOWN),
            (b"GETT /x HTTP/1.0", Reason.METHOD_UNKNOWN),
            (b"X / HTTP/1.1", Reason.METHOD_UNKNOWN),
            (b"BREW / HTTP/2.0", Reason.VERSION_UNSUPPORTED),
            (b"GET / HTTP/3.0", Reason.VERSION_UNSUPPORTED),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", Reason.VERSION_UNSUPPORTED),
            (b"GET / HTTP/1.2", Reason.BAD_REQUEST),
            (b"GET / HTTP/10.0", Reason.BAD_REQUEST),
            (b"B@EW / HTTP/1.1\r\nBREW / HTTP/1.1", Reason.BAD_REQUEST),
            (b"POS\nT / HTTP/1.1", Reason.BAD_REQUEST),
            (b"GET", Reason.BAD_REQUEST),
            (b"BREW /" + b"a" * 2 * MAX_TARGET + b" HTTP/1.1", Reason.TARGET_TOO_LONG),
        ]
    ),
)
def test_a_line_that_is_not_understood_is_refused_for_the_same_reason_however_it_is_cut(
    data: st.DataObject, case: tuple[bytes, Reason]
) -> None:
    line, reason = case
    assert refused(*data.draw(segmented(GET % 1 + line + b"\r\nHost: a.example\r\n\r\n"))) == reason


def test_requests_in_a_row_are_handed_over_in_order() -> None:
    targets = [made[1] for made in read(b"".join(GET % number for number in range(50))).seen]
    assert targets == [b"/%d" % number for number in range(50)]


def test_what_came_before_a_bad_request_counts() -> None:
    reading = read(GET % 1 + b"rubbish\r\n\r\n")
    assert [made[1] for made in reading.seen] == [b"/1"]
    assert reading.refusal is not None


def test_a_body_ends_where_it_says_and_the_next_request_begins() -> None:
    reading = read(b"POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody" + GET % 2)
    assert [(made[1], made[4]) for made in reading.seen] == [(b"/1", b"body"), (b"/2", b"")]


def test_trailers_become_no_fields_of_the_request() -> None:
    reading = read(OPEN + b"5\r\nhello\r\n0\r\nAuthorization: stolen\r\nHost: b.example\r\n\r\n" + GET % 2)
    assert [(made[2], made[4]) for made in reading.seen] == [(b"a.example", b"hello"), (b"a.example", b"")]
    assert all(made.request.header(b"authorization") is None for made in reading.requests)


def test_a_target_of_8000_octets_is_taken_and_a_longer_one_is_414() -> None:
    assert len(read(b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a.example\r\n\r\n").seen[0][1]) == 8001
    assert refused(b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1\r\nHost: a.example\r\n\r\n") == Reason.TARGET_TOO_LONG


def test_a_target_without_end_is_refused_while_it_is_dribbled() -> None:
    assert refused(b"GET /", *[b"a" * 100] * 100) == Reason.TARGET_TOO_LONG


def test_more_than_100_fields_are_431() -> None:
    fields = b"".join(b"X-%d: 1\r\n" % number for number in range(99))
    assert len(read(b"GET / HTTP/1.1\r\nHost: a.example\r\n" + fields + b"\r\n").seen) == 1
    assert refused(b"GET / HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n" + fields + b"\r\n") == Reason.HEAD_TOO_LARGE


@pytest.mark.parametrize("field", [b"%03d: 1\r\n", b"Te: %d\r\n"])
def test_and_are_so_before_the_head_ends_and_nothing_is_kept_of_them(field: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\n"
    fields = b"".join(field % number for number in range(100))
    assert read(head + fields[: fields.rindex(b"\r\n", 0, -2) + 2]).refusal is None
    assert refused(head + fields + b"X") == Reason.HEAD_TOO_LARGE
    tracemalloc.start()
    reading = read(head + fields * 60)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert reading.refusal is not None
    assert kept < 4 * MAX_HEAD


@pytest.mark.parametrize("size", [1, 1000, SLICE])
def test_a_head_of_more_than_64_kib_is_431_whatever_its_pieces(size: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 7000) for n in range(10))
    head += b"\r\n"
    assert refused(*[head[at : at + size] for at in range(0, len(head), size)]) == Reason.HEAD_TOO_LARGE


@pytest.mark.parametrize("size", [1, 1000, SLICE])
def test_a_head_of_64_kib_is_taken_and_one_byte_more_is_431_before_it_ends(size: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\nX: "
    head += b"a" * (MAX_HEAD - len(head) - 4)
    for behind, verdict in ((b"\r\n\r\n", None), (b"aaaaa", Reason.HEAD_TOO_LARGE)):
        stream = head + behind
        reading = read(GET % 1, *[stream[at : at + size] for at in range(0, len(stream), size)])
        assert (reading.refusal and reading.refusal.reason) == verdict


def test_the_first_line_is_known_as_far_as_it_has_come() -> None:
    assert read(b"GET /v1/ch", b"a", b"t").reader.line == b"GET /v1/chat"


def test_a_line_that_comes_bit_by_bit_is_judged_once_it_is_whole_or_there_is_much_of_it() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\nX: "
    dribbled = [bytes([each]) for each in b"a" * 9 + b"\0" * (GATHERED - 9)]
    assert read(head, *dribbled[:-1]).refusal is None
    assert refused(head, *dribbled[:20], b"\n") == Reason.BAD_REQUEST
    assert refused(head, *dribbled) == Reason.BAD_REQUEST


@pytest.mark.parametrize("line", [b"OPTIONS / RTSP/1.1", b"GET /HTTP/1.1 RTSP/1.1", b"POST / RTSP/1.1"])
def test_another_protocol_is_not_taken_for_http_however_it_comes(line: bytes) -> None:
    stream = line + b"\r\nHost: a.example\r\nX: / HTTP/1.1\r\n\r\n"
    for before, size in product((b"", GET % 1, b"\r\n"), (1, 3, SLICE)):
        whole = before + stream
        assert refused(*[whole[at : at + size] for at in range(0, len(whole), size)]) == Reason.BAD_REQUEST


def test_a_head_without_end_is_431() -> None:
    assert refused(b"GET / HTTP/1.1\r\nX: ", *[b"a" * SLICE] * 4) == Reason.HEAD_TOO_LARGE


def test_a_body_of_tiny_chunks_is_refused_before_it_costs_much() -> None:
    assert refused(OPEN, *[b"1\r\nx\r\n" * 100] * 100) == Reason.BAD_REQUEST


EXTENSION = b"5;" + b"a" * (MAX_EXTENSIONS + 100)
BESIDES = [
    pytest.param(EXTENSION + b"\r\nhello\r\n0\r\n\r\n", id="the first chunk's"),
    pytest.param(b"5\r\nhello\r\n0;" + EXTENSION + b"\r\n\r\n", id="the last chunk's"),
    pytest.param((b"5;" + b"a" * 200 + b"\r\nhello\r\n") * 25, id="some of each"),
    pytest.param(EXTENSION * 100, id="without end"),
    pytest.param(b"5\r\nhello\r\n0\r\n" + b"X: 1\r\n" * 1000 + b"\r\n", id="trailers"),
    pytest.param(b"5\r\nhello\r\n0\r\nX: " + EXTENSION + b"\r\n\r\n", id="a trailer"),
]


@pytest.mark.parametrize("before", [b"", GET % 1, OPEN + b"5\r\nhello\r\n0\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 3, 1000, SLICE])
@pytest.mark.parametrize("body", BESIDES)
def test_more_than_4_kib_of_extensions_and_trailers_are_refused_however_they_come(
    body: bytes, size: int, before: bytes
) -> None:
    stream = before + OPEN + body + GET % 2
    assert refused(*[stream[at : at + size] for at in range(0, len(stream), size)]) == Reason.BAD_REQUEST


@given(
    st.data(),
    st.lists(
        st.sampled_from(
            [
                GET % 1,
                OPEN + b"5;" + b"a" * 4000 + b"\r\nhello\r\n0\r\n\r\n",
                OPEN + b"5\r\n\r\n\r\n\r\r\n0\r\nX: " + b"a" * 4000 + b"\r\n\r\n",
                OPEN + b"0\r\n\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\n\r\n\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Large: " + b"a" * 30_000 + b"\r\n\r\n",
            ]
        ),
        min_size=2,
        max_size=6,
    ),
)
def test_what_came_before_a_body_on_its_connection_does_not_count(data: st.DataObject, stream: list[bytes]) -> None:
    reading = read(*data.draw(segmented(b"".join(stream))))
    assert (reading.refusal, len(reading.seen)) == (None, len(stream))


BLANK = b"\r\n\r\n"
LINES = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"x", b"0", b"0\r\n\r\n", b"5\r\n", GET % 9]), max_size=8)


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return a request in chunks, full of what may be taken for an end, and its body."""
    parts = [part for part in draw(st.lists(LINES.map(b"".join), max_size=4)) if part]
    sizes = st.sampled_from([b"%x\r\n", b"%X\r\n", b"000%x\r\n", b"%x;0=5\r\n", b'%x;a="\t;"\r\n'])
    framed = [draw(sizes) % len(part) + part + b"\r\n" for part in parts]
    trailers = draw(st.sampled_from([b"", b"X: 1\r\n", b"X: 0\r\nY: 5\r\n"]))
    offer = draw(st.sampled_from([b"", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"]))
    return OPEN[:-2] + offer + b"\r\n" + b"".join(framed) + draw(sizes) % 0 + trailers + b"\r\n", b"".join(parts)


@given(st.data(), st.lists(chunked(), min_size=1, max_size=3))
def test_a_body_in_chunks_ends_behind_its_last_one_whatever_is_in_it(
    data: st.DataObject, made: list[tuple[bytes, bytes]]
) -> None:
    stream = b"".join(request for request, _ in made) + GET % 2
    reading = read(*data.draw(segmented(stream)))
    assert reading.refusal is None
    assert [seen[4] for seen in reading.seen] == [*[body for _, body in made], b""]


def test_a_chunk_that_is_larger_than_can_be_is_refused() -> None:
    for size in (b"8000000000000000", b"00FFFFFFFFFFFFFFFF", b"10000000000000000;x"):
        assert refused(OPEN + size + b"\r\n") == Reason.BAD_REQUEST
        assert refused(*dribble(OPEN + size + b"\r\n")) == Reason.BAD_REQUEST
    assert read(OPEN + b"7FFFFFFFFFFFFFFF\r\n").refusal is None


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(OPEN + (b"3e80\r\n" + BLANK * 4000 + b"\r\n") * 4 + b"0\r\n\r\n", id="in chunks"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 64000\r\n\r\n" + BLANK * 16_000 + GET % 2,
            id="in a body",
        ),
        pytest.param(BLANK * 16_000 + GET % 2, id="between requests"),
    ],
)
def test_blank_lines_cost_no_more_than_other_bytes(stream: bytes) -> None:
    reading, pieces = Reading(), 0

    class Counting(httptools.HttpRequestParser):
        def feed_data(self, data: Any) -> None:
            nonlocal pieces
            pieces += 1
            super().feed_data(data)

    reading.reader._parser = Counting(reading.reader)
    reading.feed([stream[at : at + SLICE] for at in range(0, len(stream), SLICE)])
    assert reading.refusal is None
    assert len(reading.seen) == stream.count(b"HTTP/1.1")
    assert pieces < 10


def test_a_chunk_that_goes_on_in_the_next_read_is_followed_to_its_end_whatever_came_before_it() -> None:
    first, next_one = b"head" + b"9\r\nabc", b"\r\n\r\nde\r\n" + b"0\r\n"
    chunks = Chunks()
    assert chunks.follow(first, len(b"head")) == len(first)
    assert chunks.follow(next_one + BLANK + GET, 0) == len(next_one)


@pytest.mark.parametrize("trailer", [b"Connection: close", b"connection: keep-alive", b"Proxy-Connection: close"])
def test_a_trailer_must_not_be_about_the_connection(trailer: bytes) -> None:
    stream = OPEN + b"0\r\n" + trailer + b"\r\n\r\n"
    assert refused(stream, GET % 2) == refused(stream + GET % 2) == Reason.BAD_REQUEST


def test_a_body_whose_request_also_offers_another_protocol_is_read() -> None:
    # as Java's client does with its first request
    head = b"POST /1 HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    for framed in (b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
        stream = (head + framed) * 2 + GET % 2
        for reading in (read(stream), read(*dribble(stream))):
            assert reading.refusal is None
            assert [made[4] for made in reading.seen] == [b"hello", b"hello", b""]


def test_a_long_body_of_proper_chunks_is_taken() -> None:
    reading = read(OPEN, *[b"20\r\n" + b"x" * 32 + b"\r\n"] * 3000, b"0\r\n\r\n")
    assert len(reading.seen[0][4]) == 3000 * 32


def test_an_offer_to_upgrade_is_declined_and_the_next_request_read() -> None:
    offer = b"GET /%d HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert [made[1] for made in read(offer % 1 + GET % 2 + offer % 3 + GET % 4).seen] == [b"/1", b"/2", b"/3", b"/4"]


def test_a_slice_full_of_offers_to_upgrade_is_only_a_slice_full_of_requests() -> None:
    offer = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    count = SLICE // len(offer)
    assert len(read(offer * count, GET % 1).seen) == count + 1


OFFER = (
    b"GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@given(st.data(), st.sampled_from([b"", b"\x81\x05hello", GET % 2, OFFER, b"rubbish\r\n\r\n", b"\r\n"]))
def test_what_comes_behind_an_offer_of_websocket_is_never_parsed(data: st.DataObject, behind: bytes) -> None:
    reading = Reading().feed(data.draw(segmented(GET % 1 + OFFER + behind)))
    assert reading.refusal is None
    assert [received.request.target for received in reading.requests] == [b"/1", b"/ws"]
    upgrade = reading.requests[1].request.upgrade
    assert upgrade is not None
    assert upgrade.received == len(behind)
    tunnel = Received(reading.requests[0].request)
    upgrade.attach(tunnel)
    reading.feed([GET % 3])
    assert tunnel.body == behind + GET % 3
    assert not reading.reader.decline()


def test_requests_are_read_again_after_an_offer_that_was_declined_in_time() -> None:
    reading = Reading().feed([OFFER])
    assert reading.reader.decline()
    reading.feed([GET % 2, OFFER])
    assert [received.request.target for received in reading.requests] == [b"/ws", b"/2", b"/ws"]


def test_what_came_behind_an_offer_is_known_when_it_is_handed_over() -> None:
    declined: list[bool] = []

    class Declining(Reading):
        def on_request(self, request: Request) -> None:
            declined.append(self.reader.decline())

    Declining().feed([OFFER])
    Declining().feed([OFFER + GET % 2])
    assert declined == [True, False]


def test_no_more_is_read_than_can_be_kept_behind_an_offer() -> None:
    reading = Reading().feed([OFFER, *[b"x" * 1000] * 65])
    assert reading.reader.expects(1 << 20), "it need not be cut for a parser"
    assert reading.reading
    assert not reading.feed([b"x" * 1000]).reading


@pytest.mark.parametrize("version", ["0.9", "2.0"])
@pytest.mark.parametrize("field", ["Connection", "Proxy-Connection"])
def test_no_field_hides_the_version(field: str, version: str) -> None:
    head = f"GET / HTTP/{version}\r\nHost: a.example\r\n{field}: keep-alive\r\n\r\n"
    assert refused(head.encode()) == Reason.VERSION_UNSUPPORTED


@pytest.mark.parametrize("field", ["Connection", "Proxy-Connection"])
def test_an_http_1_0_client_is_known_as_one_when_its_connection_stays_open(field: str) -> None:
    head = f"POST / HTTP/1.0\r\nHost: a.example\r\n{field}: keep-alive\r\n"
    assert read(f"{head}\r\n".encode()).requests[0].request.version == "1.0"
    assert refused(f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()) == Reason.BAD_REQUEST


def test_an_http_1_0_request_needs_no_host_beside_an_absolute_target() -> None:
    made = read(b"GET http://b.example/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").requests[0].request
    assert (made.host, made.target, made.version) == (b"b.example", b"/x", "1.0")


def test_blanks_behind_a_value_are_not_part_of_it() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a.example \t\r\n"
    assert read(head + b"Content-Length: 2 \r\n\r\nhi").seen == [(b"POST", b"/", b"a.example", 2, b"hi")]
    assert read(head + b"Transfer-Encoding: chunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n").seen[0][3:] == (None, b"hi")
    expecting = read(head + b"Expect: 100-continue \r\nContent-Length: 2\t\r\n\r\n").requests[0].request
    assert expecting.expects_continue
    assert b"2\t" not in expecting.lines


def test_a_reader_knows_whether_it_is_within_a_request() -> None:
    reading = Reading()
    states = []
    for piece in (b"GET /", b"1 HTTP/1.1\r\nHost: a.example\r\n\r\n", OPEN, b"5\r\nhel", b"lo\r\n0\r\n", b"\r\n"):
        reading.feed([piece])
        states.append((reading.reader.in_head, reading.reader.mid_request))
    assert states == [(True, True), (False, False), (False, True), (False, True), (False, True), (False, False)]
