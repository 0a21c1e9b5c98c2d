"""A replica's bytes to a client's bytes: parses one response, checks it, and frames it anew.

llhttp cannot be told what a response answers, so the rules for HEAD, 1xx, 204, 304 and for a body that ends with the
connection are kept here (RFC 9112 6.3). Whatever is not exactly one proper response raises BadResponse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from router.headers import response_head

if TYPE_CHECKING:
    from router.exchange import Exchange
    from router.http1 import Header
    from router.ports import Clock

MAX_INTERIM = 10
MAX_HEAD = 64 << 10
SWITCHING = 101
_BODYLESS = frozenset((204, 304))
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


class BadResponse(Exception):
    """The replica did not send a proper response; the message says what was wrong."""


class ResponseReader:
    """Parses the response to one exchange. `complete` = nothing more may come; `reusable` = the connection is clean."""

    __slots__ = (
        "_chunked",
        "_clock",
        "_exchange",
        "_head",
        "_headers",
        "_interim",
        "_out",
        "_parser",
        "_phrase",
        "_seen",
        "_until_close",
        "complete",
        "reusable",
    )

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self.complete = False
        self.reusable = False
        self._exchange = exchange
        self._clock = clock
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[Header] = []
        self._phrase = b""
        self._out: list[bytes] = []
        self._seen = 0  # bytes of heads
        self._interim = 0
        self._head = False  # the final head is complete
        self._chunked = False  # the body goes to the client in chunks
        self._until_close = False

    def feed(self, data: bytes) -> bytes:
        """Parse what came from the replica and return what goes to the client."""
        bad: Exception | None = None
        if not self._head:
            self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            bad = BadResponse("it switched protocols unasked")
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, BadResponse):
                raise
            bad = error.__context__
        except httptools.HttpParserError as error:
            bad = BadResponse(f"it is not valid HTTP/1.1 ({error})")
        if not self._head and self._seen > MAX_HEAD:
            bad = bad or BadResponse(f"its head is larger than {MAX_HEAD} bytes")
        if bad is not None and not self.complete:
            raise bad
        if self.complete and (bad is not None or (self._answers_head() and not data.endswith(b"\r\n\r\n"))):
            self.reusable = False
        out = b"".join(self._out)
        self._out.clear()
        return out

    def end(self) -> bytes:
        """Take note that the replica has closed its side; return what still goes to the client."""
        if not (self._head and self._until_close):
            raise BadResponse("it closed the connection before the response was complete")
        self.complete = True
        return b"0\r\n\r\n" if self._chunked else b""

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False
            raise BadResponse("it sent more than one response")
        self._headers = []
        self._phrase = b""

    def on_status(self, phrase: bytes) -> None:
        self._phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head:  # later ones are trailers, which are dropped (RFC 9110 6.5.1)
            self._headers.append((name.lower(), name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._pass_interim(status)
            return
        self._head = True
        exchange = self._exchange
        exchange.status = status
        exchange.first_byte = self._clock()
        self.reusable = self._parser.should_keep_alive()
        framing = self._frame(status)
        self._out.append(response_head(exchange, status, self._phrase, self._headers, framing))
        if self._answers_head():
            self.complete = True

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False
            return
        self._exchange.body_bytes += len(data)
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def on_message_complete(self) -> None:
        if self._head and not self.complete:
            self.complete = True
            if self._chunked:
                self._out.append(b"0\r\n\r\n")

    def _answers_head(self) -> bool:
        return self._head and self._exchange.request.method == b"HEAD"

    def _pass_interim(self, status: int) -> None:
        """Pass 102 and 103 on to clients that know them; 100 was answered by the edge (RFC 9110 15.2)."""
        self._interim += 1
        if status == SWITCHING or self._interim > MAX_INTERIM:
            raise BadResponse("it switched protocols unasked" if status == SWITCHING else "it sent too many 1xx")
        if status > SWITCHING and self._exchange.request.version == "1.1":
            fields = [b"%s: %s\r\n" % (name, value) for _, name, value in self._headers]
            self._out.append(b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, self._phrase, b"".join(fields)))

    def _frame(self, status: int) -> bytes:
        """Decide how the body is delimited towards the client and return the line that says so (RFC 9112 6.3)."""
        length = encoding = None
        for lower, _, value in self._headers:
            if lower == b"content-length":
                length = value
            elif lower == b"transfer-encoding":
                encoding = value
        if encoding is not None and (encoding.lower() != b"chunked" or length is not None):
            raise BadResponse("its framing is ambiguous")
        if status in _BODYLESS or self._answers_head():
            return b"Content-Length: %s\r\n" % length if length is not None and status != 204 else b""
        if length is not None:
            return b"Content-Length: %s\r\n" % length
        self._until_close = encoding is None
        self.reusable = self.reusable and not self._until_close
        if self._exchange.request.version == "1.1":
            self._chunked = True
            return _CHUNKED
        self._exchange.keep_alive = False
        return b""
