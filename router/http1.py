"""Bytes to requests and responses: httptools (llhttp) with the guard that it needs in front of hostile peers.

llhttp is strict about framing but bounds nothing, does not look at Host, version or target, and cannot be told what a
response answers. What it lets through is checked here, so that whatever leaves this module may be trusted by the path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, cast

import httptools

from router.body import Body, Flow
from router.chunks import Chunks
from router.errors import EdgeError, Reason
from router.guard import (
    MAX_HEAD,
    MAX_TARGET,
    check,
    check_line,
    fields_refused,
    offers_websocket,
    too_many_fields,
    version_refused,
)
from router.headers import IN_REQUEST, UPGRADE, request_head, without_nominated
from router.parsers import RestOfLine, parser_within
from router.plain import Plain
from router.repeats import Last
from router.request import Request

if TYPE_CHECKING:
    from router.headers import Special

SLICE = 64 << 10
GATHERED = 256  # bytes of a line that comes bit by bit, before they are parsed
_BLANK_LINE = b"\r\n\r\n"
_LINE_ENDS = re.compile(rb"[\r\n]+")
_PERSISTENCE = frozenset((b"connection", b"proxy-connection"))  # what the parser goes by


class RequestSink(Flow, Protocol):
    """The connection that a reader works for. While it is `full` it takes no further request."""

    full: bool

    def on_request(self, request: Request) -> None:
        """Take a request whose head is complete; its body follows."""


class RequestReader:
    """Feeds one client connection's bytes to llhttp and hands over complete heads. Raises EdgeError for what is
    refused; after that it must not be fed again, and `line` is what came of that request's line. `specials` tells which
    fields to look at, `scheme` how the bytes came, `forwarding` is what heads get upstream, None = that depends on more
    than the connection: where it does not, a head that comes again is not translated again.
    """

    __slots__ = (
        "_at",
        "_body",
        "_chunks",
        "_fed",
        "_fed_before",
        "_forwarding",
        "_gathered",
        "_last",
        "_last_one",
        "_left",
        "_lines",
        "_offer",
        "_parser",
        "_plain",
        "_refusal",
        "_resumes",
        "_scheme",
        "_sink",
        "_special",
        "_specials",
        "_target",
        "_upgrade",
        "_whole",
        "in_head",
        "line",
    )

    def __init__(
        self,
        sink: RequestSink,
        specials: Special = IN_REQUEST,
        scheme: bytes = b"http",
        forwarding: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.in_head = False
        self._specials = specials
        self._scheme = scheme
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._lines: list[bytes] = []
        self.line = b""
        self._special: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._body: Body | None = None
        self._offer: Request | None = None  # to upgrade; handed over once it is known what came behind it
        self._upgrade: Body | None = None  # takes all bytes, until the offer before them is declined
        self._refusal: EdgeError | None = None
        self._resumes = False  # a body follows, of which the parser takes no note
        self._forwarding = forwarding
        self._last_one = False  # nothing comes behind the present request
        self._gathered = b""  # the end of what came of a head, not parsed yet
        self._last: Last[Request] = Last()
        self._plain = Plain(specials.names, forwarding)
        self._whole: Request | None = None  # whose head ended in this read
        self._chunks = Chunks()  # of the present body, or the last one
        self._left = 0  # declared length of the present body, 0 = it comes in chunks
        self._fed = self._fed_before = 0  # bytes fed, with the present piece and without
        self._at = 0  # how many of them before the present head or body

    @property
    def mid_request(self) -> bool:
        """Whether a request has begun and is not complete."""
        return self.in_head or self._body is not None

    def expects(self, size: int) -> bool:
        """Tell whether the next `size` bytes can only be body of the present request, or are no HTTP at all."""
        if self._upgrade is not None:
            return True
        return self._body is not None and size <= self._left - self._body.received

    def end(self) -> None:
        """Take note that the client has closed its side."""
        if self._upgrade is not None:
            self._upgrade.finish()

    def close(self) -> None:
        """Let go of what refers back to this reader, as nothing more is fed: no collector need find out."""
        for body in (self._body, self._upgrade):
            if body is not None:
                body.discard()
        del self._parser, self._sink
        self._body = self._upgrade = self._offer = self._whole = self._refusal = None

    def decline(self) -> bool:
        """Take requests again after an offer to upgrade; False when that cannot be, as something came behind it."""
        upgrade, self._upgrade = self._upgrade, None
        return upgrade is None or not upgrade.received

    def feed(self, data: bytes) -> bytes:
        """Parse at most SLICE bytes from the client, or as many as are expected; return what is left for the time when
        the sink is not full any more."""
        last = self._last
        if len(data) == last.size and data[: len(last.head)] == last.head:
            known = last.translation
            if known.length:
                self._hand_over(known.again(), data)
            else:
                self._sink.on_request(known)
            return b""
        last.size = 0
        if self.in_head and not (data := self._gather(data)):
            return b""
        between = not (self.in_head or self._last_one) and self._body is None and self._upgrade is None
        if between and (request := self._plain.take(data)) is not None:
            self._learn(data, request)
            self._hand_over(request, data)
            return b""
        return self._parse(data)

    def _gather(self, data: bytes) -> bytes:
        """Return what is to be parsed now that `data` came of a head. A line of it that comes bit by bit is, once it is
        whole or there is much of it: to parse bytes one by one is most of what they cost, and others wait meanwhile."""
        data = self._gathered + data
        few = len(data) < min(GATHERED, MAX_HEAD + 1 - (self._fed - self._at))
        waits = few and b"\n" not in data and self.line.endswith(b"\n")
        self._gathered = data if waits else b""
        return b"" if waits else data

    def on_message_begin(self) -> None:
        self._lines = []
        self._special = []
        self._target = b""
        self.in_head = True
        self._at = self._fed_before

    def on_url(self, fragment: bytes) -> None:
        self._target += fragment
        if len(self._target) > MAX_TARGET:
            self._refusal = EdgeError(Reason.TARGET_TOO_LONG, f"The request target is longer than {MAX_TARGET} bytes.")
            raise self._refusal

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            if name.lower() in _PERSISTENCE:
                raise self._refuse("A trailer must not be about the connection.")
            return  # which is dropped (RFC 9110 6.5.1)
        if special := self._specials[name]:
            self._special.append((special, value.rstrip(b" \t")))  # RFC 9112 5.1
        else:
            self._lines += (name, b": ", value, b"\r\n")

    def on_headers_complete(self) -> None:
        parser = self._parser
        special = self._special
        request = Request(parser.get_method(), self._target, self._lines, special, parser.should_keep_alive())
        offers = False
        if not request.keep_alive:
            self._last_one = True
        if not request.keep_alive or not _PERSISTENCE.isdisjoint(dict(special)):
            request.version = parser.get_http_version()  # else it can only be 1.1, and asking is not cheap
            offers = parser.should_upgrade()
        self.in_head = False
        try:
            check_line(self.line)
            check(request, self._scheme)
        except EdgeError as refusal:
            self._refusal = refusal
            raise
        if request.length != 0:
            request.body = self._body = Body(self._sink)
            self._left = request.length or 0
            if request.length is None:
                self._chunks = Chunks()
            self._at = self._fed  # a piece ends with the head
            self._resumes = offers
        elif offers and offers_websocket(request):
            request.lines = [*without_nominated(request.lines, b"Connection, TE"), *UPGRADE]
            self._offer = request
            return
        request.ordinary = request.keep_alive and not (
            offers
            or request.version != "1.1"
            or request.length is None
            or request.expects_continue
            or request.trailers
            or request.refusal
            or request.method == b"HEAD"
        )
        self._whole = request
        self._sink.on_request(request)

    def on_chunk_header(self) -> None:
        self._chunks.count += 1

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data)

    def on_message_complete(self) -> None:
        if self._body is not None and not self._resumes:
            if not self._left:
                self._check_chunks(self._body)
            body, self._body = self._body, None
            body.finish()

    def _parse(self, data: bytes) -> bytes:
        between = not self.in_head and self._body is None
        at = 0
        while at < len(data):
            if self._upgrade is not None:
                self._upgrade.feed(data[at:])
                return b""
            at = self._parse_piece(data, at)
            if self._sink.full and not self.mid_request:
                break
        if self._whole is not None:
            request, self._whole = self._whole, None
            if between and at == len(data) and self._body is None and request.ordinary:
                self._learn(data, request)
        return data[at:]

    def _parse_piece(self, data: bytes, at: int) -> int:
        """Parse the next piece, and return where the one behind it begins."""
        piece = data[at : self._end_of_piece(data, at)]
        self._fed_before = self._fed
        self._fed += len(piece)
        if self._body is None:
            self._follow_head(piece)
        try:
            self._parser.feed_data(piece)
            at += len(piece)
        except httptools.HttpParserUpgrade as upgrade:
            at = len(data) - len(self._stop_behind_offer(data[at + upgrade.args[0] :]))
        except httptools.HttpParserInvalidMethodError:
            self._parser = cast("Any", RestOfLine(self))
            self._parser.feed_data(piece)
            at += len(piece)
        except httptools.HttpParserError as error:
            raise self._why(error) from error
        if self.in_head:
            self._check_fields()
        elif self._body is not None and not self._left:
            self._check_chunks(self._body)
        return at

    def _follow_head(self, piece: bytes) -> None:
        """Take note of what the parser does not tell of a head: how its first line reads, and how large it is."""
        if not self.in_head:
            self.line = b""
        elif self._fed - self._at > MAX_HEAD:
            raise EdgeError(Reason.HEAD_TOO_LARGE, f"The request's head is larger than {MAX_HEAD} bytes.")
        if not self.line.endswith(b"\n"):
            self.line += piece[: piece.find(b"\n") + 1 or len(piece)]

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """Return up to where to parse: heads and bodies end with a piece, so that their bytes can be counted. A head,
        and a body in chunks, end with a blank line, of which a part may have come before."""
        body, start = self._body, at
        if body is not None and self._left:
            return min(len(data), at + self._left - body.received)
        if body is not None:
            start = self._chunks.follow(data, at)
            if start == len(data):
                return start
            if start > at and data.startswith(b"\r\n", start):
                return start + 2
        elif not self.in_head and (between := _LINE_ENDS.match(data, at)):
            return between.end()
        line_ends = 0 if start else len(data) - len(data.lstrip(b"\r\n"))
        if 0 < line_ends <= len(_BLANK_LINE):
            return line_ends
        end = data.find(_BLANK_LINE, start)
        return len(data) if end < 0 else end + len(_BLANK_LINE)

    def _learn(self, data: bytes, request: Request) -> None:
        forwarding = self._forwarding
        if forwarding is not None and not request.sent and self._last.learn(data, request.length or 0):
            self._last.translation = known = request if request.body is None else request.again()
            request_head(known, forwarding)

    def _hand_over(self, request: Request, data: bytes) -> None:
        """Hand over a request that is all of `data`."""
        if not request.length:
            self._sink.on_request(request)
            return
        request.body = body = Body(self._sink)
        self._sink.on_request(request)
        body.feed(data[-request.length :])
        body.finish()

    def _stop_behind_offer(self, rest: bytes) -> bytes:
        """Hand over an offer to upgrade that may be accepted, with what came behind it, which is not for a parser; for
        any other, return that (RFC 9110 7.8), for a parser that has not seen it."""
        self._parser = httptools.HttpRequestParser(self)
        request, self._offer = self._offer, None
        if self._resumes:
            self._resumes = False
            self._parser = parser_within(self, self._left)
        if request is None:
            return rest
        request.upgrade = self._upgrade = Body(self._sink)
        if rest:
            request.upgrade.feed(rest)
        self._sink.on_request(request)
        return b""

    def _why(self, error: httptools.HttpParserError) -> Exception:
        if isinstance(error, httptools.HttpParserCallbackError):
            return self._refusal or error
        if self.in_head and (refusal := version_refused(self.line)):
            return refusal
        return EdgeError(Reason.BAD_REQUEST, f"The request is not valid HTTP/1.1: {error}.")

    def _check_fields(self) -> None:
        """Keep no head that has too many fields until it ends: many short ones take far more memory than bytes."""
        if too_many_fields(self._lines, self._special):
            self._lines.clear()
            self._special.clear()
            raise fields_refused()

    def _check_chunks(self, body: Body) -> None:
        try:
            self._chunks.check(self._fed - self._at, body.received)
        except EdgeError as refusal:
            self._refusal = refusal
            raise

    def _refuse(self, message: str) -> EdgeError:
        self._refusal = EdgeError(Reason.BAD_REQUEST, message)
        return self._refusal

    def go_on(self) -> None:
        """Parse requests again after a body that had a parser of its own."""
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_complete()
