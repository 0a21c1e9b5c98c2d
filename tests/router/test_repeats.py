from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import httptools
import looptime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.admission import Admission
from router.connection import Connection
from router.headers import IN_REQUEST, forwarding
from router.http1 import RequestReader
from router.known import Answer, Known
from router.listener import Listener
from router.plain import Plain
from router.pool import Pool
from router.proxy import Proxy
from router.repeats import LONGEST_KEPT, Last
from router.response import BadResponse, ResponseReader
from router.upstream import Upstream
from tests.router.fakes import Client, Clock, Transport, Wakes, exchange, replicas, request, table

if TYPE_CHECKING:
    from router.request import Request
    from router.slots import Slots

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
DATE = re.compile(rb"Date: [^\r]*\r\n")


def field(name: bytes, value: bytes = b"", to: bytes = GET) -> bytes:
    return to[:-2] + name + b": " + value + b"\r\n\r\n"


# Last


def test_what_repeats_itself_is_learned_the_second_time() -> None:
    last = Last[int]()
    assert not last.learn(POST + b"hello", 5)
    assert last.size == 0
    assert last.learn(POST + b"world", 5)
    assert (last.head, last.size) == (POST, len(POST) + 5)


def test_the_head_that_is_learned_is_kept_once() -> None:
    last = Last[int]()
    for body in (b"hello", b"world"):
        last.learn(POST + body, 5)
    assert last.head is last._before


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (GET + GET, 0),
        (GET + b"\r\n", 0),
        (POST + b"hello\r\n", 5),
        (POST + b"hell", 5),
        (b"\r\n\r\n" + GET, 0),
        (field(b"A", b"x" * LONGEST_KEPT), 0),
        (GET[:-2], 0),
    ],
)
def test_what_is_not_one_small_head_and_its_body_is_not_learned(data: bytes, length: int) -> None:
    last = Last[int]()
    assert not any(last.learn(data, length) for _ in range(3))
    assert last.size == 0


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r"])
@pytest.mark.parametrize("parser", [httptools.HttpRequestParser, httptools.HttpResponseParser])
def test_nothing_but_two_line_ends_ends_a_head(parser: type[httptools.HttpRequestParser], end: bytes) -> None:
    message = GET if parser is httptools.HttpRequestParser else OK

    class Protocol:
        ended = False

        def on_headers_complete(self) -> None:
            self.ended = True

    protocol = Protocol()
    with contextlib.suppress(httptools.HttpParserError):
        parser(protocol).feed_data(message[:-4] + end)
    assert not protocol.ended


# Requests


class Reading(Client):
    """Reads requests, and tells which of them are the very one before."""

    def __init__(self, *, remembers: bool = True) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.reader = RequestReader(self, forwarding=forwarding("192.0.2.7") if remembers else None)

    def on_request(self, request: Request) -> None:
        self.requests.append(request)

    def feed(self, *pieces: bytes) -> Reading:
        for piece in pieces:
            self.reader.feed(piece)
        return self

    @property
    def repeats(self) -> list[bool]:
        """Whether each request's fields are those of the one before, and not only equal to them."""
        lines = [each.lines for each in self.requests]
        return [lines[at] is lines[at - 1] for at in range(1, len(lines))]


@pytest.mark.parametrize("head", [GET, field(b"Connection", b"keep-alive"), field(b"X", b"1"), field(b"TE", b"gzip")])
def test_a_head_that_comes_again_is_not_parsed_again(head: bytes) -> None:
    assert Reading().feed(head, head, head, head).repeats == [False, True, True]


def test_a_head_that_had_to_be_parsed_keeps_none_behind_it_from_being_taken_as_it_is() -> None:
    reading = Reading().feed(b"HEAD" + GET[3:], field(b"X", b"1"))
    assert [each.fields for each in reading.requests] == [b"", b"X: 1\r\n"]


def test_a_body_of_the_same_length_comes_with_its_own_request() -> None:
    reading = Reading().feed(*(POST + body for body in (b"first", b"other", b"third", b"\r\n\r\n!")))
    assert reading.repeats[1:] == [True, True]
    assert [each.body is not None and each.body.complete for each in reading.requests] == [True] * 4
    assert [each.body.take() for each in reading.requests if each.body] == [b"first", b"other", b"third", b"\r\n\r\n!"]


def test_what_is_kept_of_a_request_with_a_body_is_not_the_body() -> None:
    reading = Reading().feed(POST + b"first", POST + b"other", POST + b"third")
    assert all(each.body is not reading.requests[0].body for each in reading.requests[1:])
    assert reading.requests[1].body is not reading.requests[2].body


@pytest.mark.parametrize(
    "head",
    [
        field(b"Connection", b"close"),
        field(b"Max-Forwards", b"0", GET.replace(b"GET", b"OPTIONS")),
        field(b"Expect", b"100-continue", POST) + b"hello",
        GET.replace(b"1.1", b"1.0"),
        field(b"Connection", b"keep-alive", GET.replace(b"1.1", b"1.0")),
        field(b"Transfer-Encoding", b"chunked", GET) + b"0\r\n\r\n",
        field(b"Upgrade", b"h2c", field(b"Connection", b"upgrade")),
        GET + GET,
        GET + b"\r\n",
        b"\r\n\r\n" + GET,
    ],
)
def test_what_is_out_of_the_ordinary_is_always_parsed(head: bytes) -> None:
    closes = b"close" in head or head.endswith(b"1.0\r\nHost: a.example\r\n\r\n")
    assert not any(Reading().feed(*[head] * (1 if closes else 4)).repeats)


def test_a_head_counts_for_the_next_read_only() -> None:
    assert Reading().feed(GET, GET, GET, POST + b"hello", GET).repeats == [False, True, False, False]
    assert Reading().feed(GET, GET, GET[:9], GET[9:], GET).repeats == [False, False, False]


def test_a_head_within_a_body_is_body() -> None:
    long = POST.replace(b": 5", b": %d" % len(GET))
    reading = Reading().feed(GET, GET, GET, long, GET, long + GET)
    assert [each.method for each in reading.requests] == [b"GET"] * 3 + [b"POST"] * 2
    assert [each.body.take() for each in reading.requests if each.body] == [GET, GET]


def test_a_read_that_begins_in_a_body_is_not_taken_for_a_message() -> None:
    tail = b"GET / HTTP/1.1\r\n"
    begun = POST.replace(b": 5", b": %d" % len(tail))
    read = tail + b"GET /secret HTTP/1.1\r\nHost: a.example\r\n\r\n"
    reading = Reading()
    with pytest.raises(Exception, match="not valid"):
        reading.feed(begun, read, begun, read, read)
    assert [each.target for each in reading.requests] == [b"/", b"/secret", b"/", b"/secret"]


@pytest.mark.parametrize("before", [b"", b"\r\n\r\n"])
def test_a_request_whose_body_is_still_to_come_is_not_known(before: bytes) -> None:
    for size in range(30, 90):
        begun = before + POST.replace(b": 5", b": %d" % size)
        body = (before or b"POS").ljust(size, b"x")
        stream = [begun, body, begun, body + begun[:3], begun[3:], body + GET]
        cut, whole = Reading().feed(*stream), Reading(remembers=False).feed(b"".join(stream))
        assert [each.target for each in cut.requests] == [each.target for each in whole.requests]


def test_after_a_last_request_nothing_is_taken() -> None:
    reading = Reading()
    with pytest.raises(Exception, match="not valid"):
        reading.feed(GET, GET, GET, field(b"Connection", b"close"), GET)


def test_where_requests_differ_by_more_than_their_heads_all_are_parsed() -> None:
    assert not any(Reading(remembers=False).feed(GET, GET, GET, GET).repeats)


# Responses


class Counting(ResponseReader):
    """Counts the heads that were parsed."""

    parsed = 0

    def on_headers_complete(self) -> None:
        self.parsed += 1
        super().on_headers_complete()

    def answer(self, data: bytes, line: str = "GET / HTTP/1.1", *fields: str) -> bytes:
        self.begin(exchange(request(line, *fields)))
        return self.feed(data, 1000.0)


def test_a_response_head_that_comes_again_is_not_parsed_again() -> None:
    reader = Counting()
    answers = [reader.answer(OK + body) for body in (b"first", b"other", b"third")]
    assert reader.parsed == 2
    assert [answer.replace(answers[0][:-5], b"") for answer in answers] == [b"first", b"other", b"third"]
    assert reader.complete
    assert reader.clean
    assert reader.answer(OK.replace(b"200 OK", b"404 No") + b"hello").startswith(b"HTTP/1.1 404 ")
    assert reader.parsed == 3


def test_a_response_head_that_is_like_the_one_before_is_not_parsed() -> None:
    reader = Counting()
    answers = [dated(b"Mon", b"one"), dated(b"Tue", b"other"), dated(b"Wed", b"x" * 1000), dated(b"Mon", b"")]
    assert [reader.answer(answer) for answer in answers] == [Counting().answer(answer) for answer in answers]
    assert reader.parsed == 2
    assert reader.complete
    assert reader.clean


@pytest.mark.parametrize(
    "change",
    [
        (b"200 OK", b"404 No"),
        (b"1.1 200", b"1.0 200"),
        (b"X-A: 1", b"X-A: 2"),
        (b"X-A: 1", b"Connection: X-B"),
        (b"Date: Wed", b"Date: Wed "),
        (b"Date: Wed", b"Date: \xe9"),
        (b"Date: Wed", b"Date: W\r\n d"),
        (b"Date: Wed", b"Date:Wed"),
        (b"Length: 5", b"Length: 5 "),
        (b"Length: 5", b"Length: 05\r\nX-C: 1"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ],
)
def test_a_response_head_that_differs_by_more_is_parsed(change: tuple[bytes, bytes]) -> None:
    reader = Counting()
    reader.answer(dated(b"Mon", b"one"))
    reader.answer(dated(b"Tue", b"third"))
    try:
        reader.answer(dated(b"Wed", b"hello").replace(*change))
    except BadResponse:
        return
    assert reader.parsed == 3


@pytest.mark.parametrize(
    "line", [b"Connection: X-A", b"Upgrade: x", b"Activator-Reason: x", b"Content_Length: 3", b"Trailer: x", b"X-B:"]
)
def test_response_heads_with_more_to_them_are_all_parsed(line: bytes) -> None:
    reader = Counting()
    for number, body in enumerate((b"one", b"other", b"third", b"fourth"), 1):
        reader.answer(dated(b"Mon", body, line))
        assert reader.parsed == number


@pytest.mark.parametrize(
    "response",
    [
        OK + b"hello\r\n",
        OK[:-2] + b"Connection: close\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"hello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_responses_out_of_the_ordinary_are_always_parsed(response: bytes) -> None:
    reader = Counting()
    for _ in range(1 if b"close" in response else 4):
        before = reader.parsed
        reader.answer(response)
        assert reader.parsed > before


def test_a_client_that_is_to_leave_is_told_so_however_late_that_is_known() -> None:
    reader = Counting()
    for _ in range(4):
        asked = exchange(request())
        reader.begin(asked)
        asked.keep_alive = False
        assert b"Connection: close\r\n" in reader.feed(OK + b"hello", 1000.0)
    assert b"Connection" not in reader.answer(OK + b"hello")
    for _ in range(3):
        reader.answer(OK + b"hello")
    asked = exchange(request())
    reader.begin(asked)
    asked.keep_alive = False
    assert b"Connection: close\r\n" in reader.feed(OK + b"hello", 1000.0)


def test_a_response_within_a_body_is_body() -> None:
    reader = Counting()
    for _ in range(3):
        reader.answer(OK + b"hello")
    begun = reader.answer(OK.replace(b": 5", b": %d" % len(OK + b"hello")))
    assert begun.endswith(b"\r\n\r\n")
    assert not reader.complete
    assert reader.feed(OK + b"hello", 1000.0) == OK + b"hello"
    assert reader.complete


def in_a_body(number: int) -> list[bytes]:
    """Return a response in two reads of one size, of which the second begins with what reads as the head of a 204."""
    other = dated(b"%d" % number, b"hello").replace(b"200 OK", b"204 No Content")[: -len(b"hello")]
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: " % (len(other) + 2)
    return [begun.ljust(len(other) - 4, b"x") + b"\r\n\r\n!", other + b"!"]


def test_of_a_response_in_two_reads_no_byte_of_the_body_is_taken_for_a_head_that_was_accepted() -> None:
    reader = Counting()
    for number in (1, 2):
        begun, rest = in_a_body(number)
        assert len(begun) == len(rest)
        assert reader.answer(begun).endswith(b"\r\n\r\n!")
        assert reader.feed(rest, 1000.0) == rest
        assert (reader.complete, reader.clean) == (True, True)
    assert not reader.answer(in_a_body(3)[1][:-1] + b"hello").endswith(b"hello")
    assert not reader.clean


@pytest.mark.parametrize("zeros", [20, 5000])
def test_a_response_whose_length_has_many_zeros_is_parsed_each_time(zeros: int) -> None:
    reader = Counting()
    for number in (1, 2, 3):
        assert reader.answer(OK.replace(b": 5", b": " + b"0" * zeros + b"5") + b"hello").endswith(b"\r\n\r\nhello")
        assert (reader.complete, reader.parsed) == (True, number)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
def test_a_length_that_is_declared_for_no_body_makes_no_head_of_another(status: bytes, before: bytes) -> None:
    for size in range(30, 70):
        answer = before + b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, size)
        other = before + b"HTTP/1.1 200 OK\r\nA: ".ljust(len(answer) - len(before) - 23, b"b")
        other += b"\r\nContent-Length: 0\r\n\r\n"
        reader = Counting()
        for _ in range(3):
            assert reader.answer(answer).count(b"HTTP/1.1 %b" % status[:3]) == 1
            assert reader.complete
        assert len(other) == len(answer)
        assert b"HTTP/1.1 200 OK\r\n" in reader.answer(other)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_what_comes_behind_an_answer_that_has_no_body_is_never_its_body(status: bytes) -> None:
    reader = Counting()
    for date in (b"Mon", b"Tue", b"Wed"):
        head = dated(date, b"hello").replace(b"200 OK", status)[: -len(b"hello")]
        reader.answer(head)
    assert not reader.answer(head.replace(b"Wed", b"Thu") + b"hello").endswith(b"hello")
    assert not reader.clean


def test_a_response_to_a_client_that_is_told_more_is_parsed() -> None:
    reader = Counting()
    for _ in range(3):
        reader.answer(OK + b"hello")
    assert b"Connection: close" in reader.answer(OK + b"hello", "GET / HTTP/1.1", "Connection: close")
    assert b"Connection: keep-alive" in reader.answer(OK + b"hello", "GET / HTTP/1.0", "Connection: keep-alive")
    assert not reader.answer(OK, "HEAD / HTTP/1.1").endswith(b"hello")


# The whole router, with messages that repeat, beside one that remembers nothing


class Never(Last[Any]):
    """Learns nothing."""

    def learn(self, data: bytes, length: int) -> bool:
        return False


class Forgetful(Known):
    """Learns nothing."""

    def learn(self, data: bytes, answer: Answer) -> None:
        pass


class Replica(Transport):
    """Answers each request by what its path says."""

    upstream: Upstream

    def __init__(self) -> None:
        super().__init__()
        self._parser = httptools.HttpRequestParser(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self._parser.feed_data(bytes(data))

    def on_url(self, url: bytes) -> None:
        self._answer = ANSWERS[int(url[1:]) % len(ANSWERS)]

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"HEAD":
            self._answer = OK
        for read in self._answer.split(b"|"):
            asyncio.get_running_loop().call_soon(self.upstream.data_received, read)


def dated(date: bytes, body: bytes, line: bytes = b"X-B: 1") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nDate: %b\r\nX-A: 1\r\n%b\r\nContent-Length: %d\r\n\r\n"
    return head % (date, line, len(body)) + body


ANSWERS = (  # | is where a read ends
    OK + b"first",
    OK + b"other",
    OK + b"\r\n\r\n!",
    OK.replace(b"200 OK", b"404 No") + b"hello",
    OK.replace(b": 5", b": 0"),
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n",  # 3 bytes less than its head has
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 49\r\n\r\n",  # as its head has
    OK + b"he|llo",
    OK.replace(b": 5", b": %d" % len(OK + b"first")) + b"|" + OK + b"first",
    b"HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"hello",
    OK.replace(b": 5", b": 12") + b"hello, world",
    dated(b"Mon, 30 Nov 2026 00:00:00 GMT", b"first"),
    dated(b"Mon, 30 Nov 2026 00:00:01 GMT", b"other, longer"),
    dated(b"x", b"third", b"Connection: keep-alive"),
    dated(b"y", b"fourth", b"Connection: keep-alive"),
    dated(b"z", b"fifth", b"Connection: X-A"),
    OK + b"hell",
    OK.replace(b": 5", b": +5") + b"hello",
    OK.replace(b": 5", b": 5, 5") + b"hello",
    dated(b"x", b"third").replace(b"X-A: 1", b"X-A: \x00"),
    dated(b"x", b"third").replace(b"X-A: 1", b"X-A: 1\rb"),
    dated(b"x", b"third") + b"!",
    OK + b"hello\r\n",
    OK + OK + b"hello",
    b"nonsense",
)
SOUND = 18  # of them, after which the connection goes on


class Replicas(Pool):
    """Connections to a replica that is at hand."""

    def __init__(self, clock: Clock, *, remembers: bool) -> None:
        super().__init__(clock)
        self._at = clock
        self._remembers = remembers
        self.made: list[Replica] = []

    async def _connect(self, slots: Slots) -> Upstream:
        replica = Replica()
        self.made.append(replica)
        replica.upstream = upstream = Upstream(slots, self._at)
        if not self._remembers:
            upstream._reader._known = Forgetful()
        upstream.connection_made(replica)
        return upstream


async def relayed(reads: list[bytes], *, remembers: bool) -> tuple[bytes, list[bytes]]:
    """Return what the client got for `reads`, and what came to the replica, by connection."""
    clock = Clock()
    proxy = Proxy(Wakes(), clock)
    pool = Replicas(clock, remembers=remembers)
    proxy.admission = Admission(pool, proxy.queues, proxy.reassign, clock)
    proxy.replace_table(table())
    proxy.update(replicas(1))
    client = Transport()
    connection = Connection(Listener(proxy.serve, clock, lambda _: None))
    connection.connection_made(client)
    if not remembers:
        connection._reader._last = Never()
        connection._reader._plain = Plain(IN_REQUEST.names)
    for read in reads:
        connection.data_received(read)
        await asyncio.sleep(1.0)  # virtual: also what was held since an answer broke has its own by then
    got = DATE.sub(b"", client.got), [replica.got for replica in pool.made]
    connection.connection_lost(None)
    await asyncio.sleep(1.0)
    return got


methods = st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"OPTIONS", b"POST"])
targets = st.one_of(st.integers(0, SOUND - 1), st.integers(0, len(ANSWERS) - 1)).map(lambda number: b"/%d" % number)
fields = st.lists(
    st.sampled_from(
        [
            b"Connection: keep-alive",
            b"Connection: close",
            b"Connection: X-A",
            b"X-A: 1",
            b"X-A: 23",
            b"X-A: 4 ",
            b"X-A: 5\r6",
            b"Via: 1.1 b",
            b"Max-Forwards: 1",
            b"X-Forwarded-For: 192.0.2.1",
            b"Transfer-Encoding: chunked",
            b"Upgrade: h2c",
            b"Expect: 100-continue",
        ]
    ),
    max_size=2,
    unique=True,
)
bodies = st.sampled_from([b"", b"hello", b"\r\n\r\nx", b"0\r\n\r\n", GET, POST, OK])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    body = draw(bodies)
    length = [b"Content-Length: %d" % len(body)] if body and draw(st.booleans()) else []
    if draw(st.integers(0, 4)) == 0:
        length, body = [b"Content-Length: %d" % draw(st.integers(50, 90))], b""  # what comes next is its body
    line = b"%b %b HTTP/1.%d" % (draw(methods), draw(targets), draw(st.sampled_from([1, 1, 1, 1, 0])))
    return b"\r\n".join((line, b"Host: a.example", *length, *draw(fields), b"", body))


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Return what a client sends, read by read: mostly one message at a time, mostly the same as before."""
    heads = draw(st.lists(messages(), min_size=1, max_size=3))
    sent: list[bytes] = []
    for _ in range(draw(st.integers(1, 8))):
        data = draw(st.sampled_from(heads))
        odd = draw(st.integers(0, 9))
        if odd == 0:
            data += draw(st.sampled_from(heads))
        elif odd == 1:
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + bytes((draw(st.integers(0, 255)),)) + data[at + 1 :]
        elif odd == 2:
            at = draw(st.integers(1, len(data) - 1))
            sent.append(data[:at])
            data = data[at:]
        elif odd == 3:
            at = draw(st.integers(1, len(data) - 1))
            data += data[:at]
            sent.append(data)
            data = data[-len(data) + at + 1 :] or b"\r\n"
        sent.append(data)
    return sent


@given(streams())
@example([GET.replace(b"/ ", b"/0 ")] * 4)
@example([POST.replace(b"/ ", b"/2 ") + body for body in (b"12345", b"abcde", b"\r\n\r\n!", b"hello")])
@example([GET.replace(b"/ ", b"/%d " % number) for number in (0, 0, 0, 24, 24, 24, 0, 0, 8, 0, 0)])
@example([GET.replace(b"/ ", b"/%d " % number) for number in (5, 5, 5, 0, 5, 6, 6, 6, 0, 6)])
@example([GET.replace(b"/ ", b"/0 ")] * 3 + [GET.replace(b"/ ", b"/%d " % bad) for bad in (18, 25, 26)])
@example(
    [GET.replace(b"/ ", b"/%d " % number) for number in (0, 12, 0, 12, 13, 14, 13, 15, 16, 15, 17, 16, 0, 8, 3, 11, 0)]
)
@example(
    [
        POST.replace(b"/ ", b"/%d " % number) + b"12345"
        for number in (13, 14, 13, 14, 21, 13, 14, 13, 22, 13, 14, 13, 23)
    ]
)
@example([GET.replace(b"/ ", b"/%d " % number) for number in (0, 12, 0, 12, 19, 0, 12, 0, 20, 0, 12, 0, 5, 6, 5, 9, 0)])
def test_what_repeats_is_relayed_as_if_it_were_parsed(reads: list[bytes]) -> None:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        remembered = runner.run(relayed(reads, remembers=True))
        assert remembered == runner.run(relayed(reads, remembers=False))
