"""The name of a model in the beginning of a request's body: a bounded look at a copy.

JSON is looked for whatever the type says, since many clients do not say, and curl says that it is pairs as of a web
page; forms by their type; both also in gzip and deflate. The look sees at most PEEK bytes as they came, and PEEK bytes
decoded: a bomb is not worth sending. It depends on the bytes alone, never on how they came.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from router import form, toplevel
from router.body import BUFFER
from router.toplevel import Ambiguous

if TYPE_CHECKING:
    from router.request import Request

PEEK = BUFFER
KEY = "model"
_ASCII = frozenset((b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b""))  # which all have ASCII's as it is
_CHARSET = re.compile(rb"charset[\s*]*=[\s\"']*([^\s\"';,]*)", re.IGNORECASE)
_PAIRS = b"application/x-www-form-urlencoded"
_PAIR = re.compile(
    b"[&;]" + b"".join(b"(?:%c|%%%02x|%%%02x)" % (sign, sign, sign - 32) for sign in KEY.encode()) + rb"(?!\w)",
    re.IGNORECASE,
)  # one named KEY, in whatever escapes; the first one begins with the bracket of the JSON
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}  # zlib's wbits; RFC 9110 8.4.1


def model_in(request: Request, data: bytes, *, whole: bool) -> str | None:
    """Return the model that a body names; `data` is its beginning, all of it if `whole`. None when it names none there,
    or cannot be read. Ambiguous when its readers may disagree about the name."""
    types, codings = request.values(b"content-type"), request.values(b"content-encoding")
    if len(types) > 1 or len(codings) > 1:
        return None
    kind = types[0].lower() if types else b""
    if any(charset not in _ASCII for charset in _CHARSET.findall(kind)):
        return None
    coding = codings[0].strip().lower() if codings else b"identity"
    if coding != b"identity":
        data, whole = _decoded(data, _WINDOWS.get(coding, 0), whole=whole)
    if form.is_form(kind):
        return form.text_of(KEY, types[0], data, whole=whole)
    if kind.startswith(_PAIRS) and _PAIR.search(data):
        raise Ambiguous(f"its type is that of pairs, and one is {KEY!r}")
    return toplevel.text_at(KEY, data, whole=whole)


def _decoded(data: bytes, window: int, *, whole: bool) -> tuple[bytes, bool]:
    """Return the beginning of what `data` decodes to, and whether it is all. Nothing for a coding that is not known
    (window 0), is broken, or has something behind its end, which not all readers take for more of the same."""
    if not window:
        return b"", False
    decoder = zlib.decompressobj(window)
    try:
        decoded = decoder.decompress(data, PEEK)
    except zlib.error:
        return b"", False
    if decoder.unused_data or (whole and not decoder.eof and not decoder.unconsumed_tail and len(decoded) < PEEK):
        return b"", False
    return decoded, whole and decoder.eof
