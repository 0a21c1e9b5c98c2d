"""A text field of a multipart form of which only the beginning may be here (RFC 7578, RFC 2046 5.1).

Strict, for the same reason as `toplevel`: a form that some reader could cut into other parts, or name otherwise, is not
read at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router.toplevel import Ambiguous

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PARTS = 64
_PARAMETERS = re.compile(rb"(?:[ \t]*;[ \t]*[a-zA-Z]+\*?=(?:\"[^\"\\\r\n]*\"|[^\s\"\\;]+))*[ \t]*(?:;[ \t]*)?")
_PARAMETER = re.compile(rb";[ \t]*([a-zA-Z]+\*?)=(?:\"([^\"]*)\"|([^\s\";]+))")
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 5.1.1
_PLAIN = frozenset((b"7bit", b"8bit", b"binary"))
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([^\r\n]*)")  # spaces are tried in one way only

Head = dict[bytes, bytes]  # a part's header fields, by lower-case name


def is_form(content_type: bytes) -> bool:
    """Tell whether a body of this type is a multipart form."""
    return _split(content_type)[0] == b"multipart/form-data"


def text_of(key: str, content_type: bytes, data: bytes, *, whole: bool) -> str | None:
    """Return the text of the field `key` of the form that `data` is, or begins with if not `whole`. None when it is not
    there, or when this is no proper form. Ambiguous when it is there twice, or as something else than plain text."""
    parameters = _parameters(_split(content_type)[1])
    boundary = parameters.get(b"boundary", b"") if parameters is not None else b""
    if not _BOUNDARY.fullmatch(boundary):
        return None
    try:
        found = [part for part in _parts(b"--" + boundary, data, whole=whole) if _name(part[0]) == key.encode()]
        if len(found) > 1 or any(_is_odd(head) for head, _ in found):
            raise Ambiguous(f"the form's field {key!r} is there more than once, or is no plain text")
        return found[0][1].decode() if found else None
    except ValueError:
        return None


def _parts(delimiter: bytes, data: bytes, *, whole: bool) -> list[tuple[Head, bytes]]:
    """Return head and value of each part that is here to its end. ValueError if one could be cut in another way."""
    preamble, *pieces = (b"\r\n" + data).split(b"\r\n" + delimiter, MAX_PARTS + 1)
    last = pieces.pop() if pieces else b""
    closed = last in {b"--", b"--\r\n"}
    if preamble or len(pieces) >= MAX_PARTS or (whole and not closed) or delimiter in b"".join((*pieces, last)):
        raise ValueError
    return [_part(piece) for piece in pieces]


def _part(piece: bytes) -> tuple[Head, bytes]:
    head, blank, value = piece.partition(b"\r\n\r\n")
    lines = [_LINE.fullmatch(line) for line in head.split(b"\r\n")[1:]]
    fields = {line[1].lower(): line[2] for line in lines if line is not None}
    if not blank or len(fields) != head.count(b"\r\n") or not piece.startswith(b"\r\n"):
        raise ValueError
    return fields, value


def _name(head: Head) -> bytes | None:
    """Return the name of a part. ValueError where readers may find another one."""
    kind, written = _split(head.get(b"content-disposition", b""))
    parameters = _parameters(written)
    if kind != b"form-data" or parameters is None or b"name*" in parameters:
        raise ValueError
    return parameters.get(b"name")


def _is_odd(head: Head) -> bool:
    """Tell whether a field is a file, or written in a coding that some readers undo (RFC 7578 4.7)."""
    coding = head.get(b"content-transfer-encoding", b"binary").strip().lower()
    return b"filename" in head[b"content-disposition"].lower() or coding not in _PLAIN


def _split(value: bytes) -> tuple[bytes, bytes]:
    """Return a field's value, in lower case, and its parameters as they are written."""
    kind, semicolon, rest = value.partition(b";")
    return kind.strip().lower(), semicolon + rest


def _parameters(written: bytes) -> Mapping[bytes, bytes] | None:
    """Return parameters by their lower-case name; None where readers may disagree."""
    if not _PARAMETERS.fullmatch(written):
        return None
    pairs = [(name.lower(), quoted or plain) for name, quoted, plain in _PARAMETER.findall(written)]
    return dict(pairs) if len(dict(pairs)) == len(pairs) else None
