"""What takes the place of llhttp's parser where that reads no further: behind a method that it does not know, and in a
body behind an offer to upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from router.guard import judge_line

if TYPE_CHECKING:
    from router.http1 import RequestReader


class RestOfLine:
    """Takes the rest of a line whose method is unknown, wherever a read ended: only the whole line tells how to refuse
    it."""

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader

    def feed_data(self, _: bytes) -> None:
        """See httptools; EdgeError once it is known what is wrong."""
        if refusal := judge_line(self._reader.line):
            raise refusal


class _WithinBody:
    """What a parser may tell a reader of a body whose head another one has parsed."""

    def __init__(self, reader: RequestReader) -> None:
        self.on_body = reader.on_body
        self.on_chunk_header = reader.on_chunk_header
        self.on_message_complete = reader.go_on


def parser_within(reader: RequestReader, length: int) -> httptools.HttpRequestParser:
    """Return a parser that is about to read a body of `length` bytes, 0 = in chunks: llhttp reads none behind an offer
    to upgrade, and clients of h2c make one with any request."""
    parser = httptools.HttpRequestParser(_WithinBody(reader))
    framing = b"Content-Length: %d" % length if length else b"Transfer-Encoding: chunked"
    parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
    return parser
