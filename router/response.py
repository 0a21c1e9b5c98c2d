"""A replica's bytes to a client's bytes: parses one response, checks it, and frames it anew.

llhttp cannot be told what a response answers, so the rules for HEAD, 1xx, 204, 304 and for a body that ends with the
connection are kept here (RFC 9112 6.3). Whatever is not exactly one proper response raises BadResponse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from router.dates import date_line
from router.exchange import SWITCHING
from router.guard import MAX_HEAD
from router.headers import CHUNKED, IN_RESPONSE, NOMINATES_NOTHING, STATUS_LINES, UPGRADE, may_trail, without_nominated
from router.known import BODYLESS, Answer, Known
from router.template import MAX_DIGITS

if TYPE_CHECKING:
    from router.exchange import Exchange

MAX_INTERIM = 10
MAX_TRAILERS = 64 << 10
CONTINUE = 100
NO_CONTENT = 204
UPGRADE_REQUIRED = 426
_TIMING = b"Server-Timing: hold;dur=%.1f, upstream;dur=%.1f\r\n"
_ROUNDS_TO_ZERO = 0.00005  # seconds, in such milliseconds
_BLANK_LINE = b"\r\n\r\n"
_KEPT = 1000  # lines of Warm


class BadResponse(Exception):
    """The replica did not send a proper response; the message says what was wrong."""


class Warm(dict[int, bytes]):
    """What is told of requests that did not wait, by the tenths of a millisecond that the replica took. Most are short,
    and to write a number costs as much as ten statements."""

    def __missing__(self, tenths: int) -> bytes:
        line = _TIMING % (0.0, tenths / 10)
        if tenths < _KEPT:
            self[tenths] = line
        return line


_WARM = Warm()


class ResponseReader:
    """Parses the responses on one connection, each begun for its exchange.

    `complete` = the response is whole and nothing more may come; `clean` = another may follow on this connection;
    `switched` = it was a 101, and what follows is not HTTP.
    """

    __slots__ = (
        "_begun",
        "_chunked",
        "_connection",
        "_dated",
        "_encoding",
        "_exchange",
        "_head",
        "_interim",
        "_known",
        "_length",
        "_lines",
        "_now",
        "_out",
        "_parser",
        "_protocol",
        "_seen",
        "_to_head",
        "_trailers",
        "_unproductive",
        "_until_close",
        "clean",
        "complete",
        "switched",
    )

    def __init__(self) -> None:
        self.complete = True
        self.clean = True
        self.switched = False
        self._now = 0.0
        self._parser = self._new_parser()
        self._lines: list[bytes] = []
        self._length: bytes | None = None
        self._encoding: bytes | None = None
        self._protocol: bytes | None = None
        self._connection: list[bytes] = []  # its values
        self._out: list[bytes] = []
        self._dated = False
        self._known = Known()

    def close(self) -> None:
        """Let go of what refers back to this reader, as nothing more is fed: no collector need find out."""
        del self._parser

    @property
    def silent(self) -> bool:
        """Whether nothing has come yet."""
        return not self._begun

    def begin(self, exchange: Exchange) -> None:
        """Expect the response to `exchange`."""
        self.complete = False
        self._exchange = exchange
        self._begun = False

    def feed(self, data: bytes, now: float) -> bytes:
        """Parse what came from the replica at `now` and return what goes to the client."""
        self._now = now
        if not self._begun:
            exchange = self._exchange
            if _ordinary(exchange) and (known := self._known.take(data)) is not None:
                return self._hand_on(exchange, known, data)
            self._start(exchange)
            out = self._parse(data)
            if self.complete:
                self._learn(data)
            return out
        return self._parse(data)

    def end(self) -> bytes:
        """Take note that the replica has closed its side; return what still goes to the client. BadResponse if
        that cuts it."""
        self.clean = False
        if not (self._begun and self._head and self._until_close):
            raise BadResponse("it closed the connection before the response was complete")
        self.complete = True
        return b"0\r\n\r\n" if self._chunked else b""

    @property
    def _declares_content(self) -> bool:
        """Whether there is content by the head. Where there must be none (HEAD, 1xx, 204, 304), some servers send it
        all the same, maybe a moment later, when it would be read as the next answer on this connection."""
        return self._encoding is not None or self._length not in {None, b"0"}

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(lenient_keep_alive=True)  # an answer may follow a 1xx with `Connection: close`
        return parser

    def _start(self, exchange: Exchange) -> None:
        """Begin to parse the response."""
        self._begun = True
        self._to_head = exchange.request.method == b"HEAD"
        self._seen = 0  # bytes until the final head was complete, with what came behind it in the same read
        self._unproductive = 0  # bytes since the last one of the body
        self._trailers: list[bytes] = []
        self._interim = 0
        self._head = False  # the final head is complete
        self._chunked = False  # the body goes to the client in chunks
        self._until_close = False

    def _parse(self, data: bytes) -> bytes:
        if self._head:
            self._unproductive += len(data)
        else:
            self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.switched = True
            behind = data[upgrade.args[0] :]
            self._exchange.body_bytes += len(behind)
            return b"".join((*self._out, behind))
        except httptools.HttpParserError as error:
            self.clean = False
            if not self.complete:
                raise _bad(error) from error
        if not self._head:
            if self._seen > MAX_HEAD:
                raise _head_too_large()
        elif self._to_head:
            self._parser = self._new_parser()  # the former waits for a body that must not come
            alone = self._seen == len(data) == data.find(_BLANK_LINE) + len(_BLANK_LINE)
            self.clean = self.clean and alone and not self._declares_content
        elif self._unproductive > MAX_TRAILERS and not self.complete:
            raise _too_much_besides()
        out = b"".join(self._out)
        self._out.clear()
        return out

    def on_message_begin(self) -> None:
        if self.complete:
            self.clean = False
            raise BadResponse("it sent more than one response")
        self._lines = []
        self._length = self._encoding = self._protocol = None
        self._connection = []
        self._dated = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head:
            if self._exchange.request.trailers and may_trail(name):
                self._trailers += (name, b": ", value, b"\r\n")
            return
        special = IN_RESPONSE[name]
        if not special:
            self._lines += (name, b": ", value, b"\r\n")
        elif special == b"content-length":
            self._length = value.rstrip(b" \t")  # RFC 9112 5.1
        elif special == b"date":
            self._dated = True
            self._lines += (name, b": ", value, b"\r\n")
        elif special == b"transfer-encoding":
            self._encoding = value.rstrip(b" \t") if self._encoding is None else b"several"
        elif special == b"upgrade":
            self._protocol = value.rstrip(b" \t") if self._protocol is None else b"several"
        elif special == b"trailer" and self._exchange.request.trailers:
            self._lines += (name, b": ", value, b"\r\n")
        elif special == b"connection":
            self._connection.append(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self.clean = self._parser.should_keep_alive()
        if self._connection or not self.clean:
            self._check_version()
            self._drop_nominated()
        if status < 200:
            self._pass_interim(status)
            return
        if self._seen > MAX_HEAD and sum(map(len, self._lines)) > MAX_HEAD:
            raise _head_too_large()
        self._head = True
        exchange = self._exchange
        if exchange.request.upgrade is not None:
            exchange.decline()
        exchange.status = status
        exchange.first_byte = self._now
        body = exchange.request.body
        if body is not None and not body.complete:
            exchange.keep_alive = False  # there may be more of it than is read once the response has ended
        lines = self._lines
        if status == UPGRADE_REQUIRED and self._protocol is not None and self._protocol.lower() == b"websocket":
            lines += UPGRADE  # RFC 9110 15.5.22
        if self._length is not None and self._encoding is None and status not in BODYLESS:
            lines += (b"Content-Length: ", self._length, b"\r\n")
        else:
            lines.append(self._frame(status))
        if not exchange.keep_alive or exchange.request.version != "1.1":
            lines.append(_persistence(exchange))
        self._out += (STATUS_LINES[status], *lines, _own_lines(exchange, self._dated), b"\r\n")
        self.complete = self._to_head

    def on_body(self, data: bytes) -> None:
        if self.complete:
            return
        self._exchange.body_bytes += len(data)
        self._unproductive = 0
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def on_message_complete(self) -> None:
        if self._head and not self.complete:
            if self._trailers and sum(map(len, self._trailers)) > MAX_TRAILERS:
                raise _too_much_besides()
            self.complete = True
            if self._chunked:
                self._out += (b"0\r\n", *self._trailers, b"\r\n")

    def _check_version(self) -> None:
        """Refuse another major version (RFC 9110 6.2), where there can be one: a connection that stays open without a
        word is one of HTTP/1.1, and asking is not cheap."""
        version = self._parser.get_http_version()
        if not version.startswith("1."):
            raise BadResponse(f"it is of HTTP/{version}")

    def _drop_nominated(self) -> None:
        """Keep the fields here that are for this connection only."""
        named = [value for value in self._connection if value.lower() not in NOMINATES_NOTHING]
        if named:
            self._lines = without_nominated(self._lines, b",".join(named))
            self._dated = any(name.lower() == b"date" for name in self._lines[::4])

    def _learn(self, data: bytes) -> None:
        """Take note of a response that came whole in one read: of a later one, no byte is a head."""
        length, exchange = self._length, self._exchange
        if not self.clean or length is None or len(length) > MAX_DIGITS or not _ordinary(exchange):
            return
        head = b"".join((STATUS_LINES[exchange.status], *self._lines))
        self._known.learn(data, Answer(exchange.status, head, self._dated, len(data) - int(length)))

    def _hand_on(self, exchange: Exchange, known: Answer, data: bytes) -> bytes:
        """Pass on a whole response whose head is known."""
        status, head, dated, at = known
        exchange.status = status
        exchange.first_byte = self._now
        exchange.body_bytes = len(data) - at
        self.complete = True
        return b"".join((head, _own_lines(exchange, dated), b"\r\n", data[at:]))

    def _pass_interim(self, status: int) -> None:
        """Pass 102 and 103 on to clients that know them; 100 was answered by the edge. None of them has content, which
        the parser would take for that of an answer (RFC 9110 15.2)."""
        if status < CONTINUE:
            raise BadResponse(f"its status is {status}")
        if self._declares_content:
            raise BadResponse(f"its interim response ({status}) has content")
        if status == SWITCHING:
            self._switch()
            return
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise BadResponse("it sent too many 1xx")
        if sum(map(len, self._lines)) > MAX_HEAD:
            raise _head_too_large()
        if status > SWITCHING and self._exchange.request.version == "1.1":
            self._out += (STATUS_LINES[status], *self._lines, b"\r\n")

    def _switch(self) -> None:
        """Pass a 101 on, if it is the one that was asked for (RFC 6455 4.2.2); the parser stops behind its head."""
        exchange = self._exchange
        if exchange.request.upgrade is None or not self._parser.should_upgrade():
            raise BadResponse("it switched protocols unasked")
        if self._protocol is None or self._protocol.lower() != b"websocket":
            raise BadResponse("it switched to another protocol than WebSocket")
        exchange.status = SWITCHING
        exchange.first_byte = self._now
        exchange.keep_alive = self.clean = False
        self._out += (STATUS_LINES[SWITCHING], *self._lines, _own_lines(exchange, self._dated), *UPGRADE, b"\r\n")

    def _frame(self, status: int) -> bytes:
        """Decide how the body is delimited towards the client and return the line that says so (RFC 9112 6.3)."""
        length, encoding = self._length, self._encoding
        old = encoding is not None and self._parser.get_http_version() != "1.1"  # RFC 9112 6.1
        if encoding is not None and (old or encoding.lower() != b"chunked" or length is not None):
            raise BadResponse("its framing is ambiguous")
        if status in BODYLESS:
            self.clean = self.clean and not self._declares_content
            return b"Content-Length: %b\r\n" % length if length is not None and status != NO_CONTENT else b""
        if length is not None or self._to_head:
            return b""
        self._until_close = encoding is None
        self.clean = self.clean and not self._until_close
        if self._exchange.request.version == "1.1":
            self._chunked = True
            return CHUNKED
        self._exchange.keep_alive = False
        return b""


def _ordinary(exchange: Exchange) -> bool:
    """Tell whether nothing about the request is special, and its connection stays open, which may have changed: for
    one, it does not when a body is answered before its end."""
    body = exchange.request.body
    return exchange.keep_alive and exchange.request.ordinary and (body is None or body.complete)


def _own_lines(exchange: Exchange, dated: bool) -> bytes:
    """Return the header fields that the edge writes itself."""
    hold, upstream = exchange.dispatched - exchange.arrived, exchange.first_byte - exchange.dispatched
    warm = hold < _ROUNDS_TO_ZERO
    lines = _WARM[int(upstream * 10_000 + 0.5)] if warm else _TIMING % (hold * 1000, upstream * 1000)
    if not dated:
        lines += date_line()
    if exchange.service.show_revision:
        lines += b"Activator-Revision: %s\r\n" % exchange.revision.name.encode()
    return lines


def _persistence(exchange: Exchange) -> bytes:
    """Return the line that says whether the connection stays open, where that is not understood."""
    if not exchange.keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if exchange.request.version == "1.0" else b""


def _head_too_large() -> BadResponse:
    return BadResponse(f"its head is larger than {MAX_HEAD} bytes")


def _too_much_besides() -> BadResponse:
    return BadResponse(f"it has more than {MAX_TRAILERS} bytes of chunk extensions or trailers")


def _bad(error: httptools.HttpParserError) -> BadResponse:
    if isinstance(error.__context__, BadResponse):
        return error.__context__
    return BadResponse(f"it is not valid HTTP/1.1 ({error})")
