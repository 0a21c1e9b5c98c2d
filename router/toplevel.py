"""A text at the top level of a JSON object of which only the beginning may be here.

Whoever reads the object later must come to the same text, or to none: what parsers disagree on is refused. Of a key
that is written twice, most take the last, some the first, some none; some do not tell `Model` from `model`. Only the
top level is walked here; each value is passed over by the JSON decoder of the standard library.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from typing import NoReturn

MAX_KEYS = 256
_LONGEST = len("-Infinity")  # of what the decoder takes for a mistake when it is cut, but a text
_SPACE = re.compile(r"[ \t\n\r]*")


class Ambiguous(Exception):
    """Readers would not agree on what was asked for."""


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def text_at(key: str, data: bytes, *, whole: bool) -> str | None:
    """Return the text at `key` of the object (RFC 8259) that `data` is, or begins with if not `whole`. None when it is
    not there, is no text, or when this is no JSON object in UTF-8. Ambiguous when the key is there twice, in whatever
    spelling.

    What lies behind `data` is not known: the text may be found then, and the object still be refused by its reader. A
    mistake in it, or more than MAX_KEYS keys, may hide a second text from this reader alone, so then nothing is found.
    """
    try:
        text = getincrementaldecoder("utf-8-sig")().decode(data, whole)
    except UnicodeDecodeError:
        return None
    found: list[tuple[str, object]] = []
    try:
        _walk(text, key, found)
    except (ValueError, IndexError, RecursionError) as error:
        if whole or not _is_cut(error, text):
            return None
    if len(found) > 1:
        raise Ambiguous(f"{key!r} is there more than once")
    name, value = found[0] if found else (None, None)
    return value if name == key and isinstance(value, str) else None


def _is_cut(error: Exception, text: str) -> bool:
    """Tell whether the walk over `text` may have failed only because that ends too early."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg.startswith("Unterminated string") or error.pos > len(text) - _LONGEST
    return isinstance(error, IndexError)


def _walk(text: str, key: str, found: list[tuple[str, object]]) -> None:
    """Add the members of the object in `text` that are, or look like, those of `key`. ValueError, IndexError or
    RecursionError where it is no more an object, be it that it is cut."""
    at = _behind("{", text, 0)
    if text[at] == "}":
        return _end(text, at + 1)
    for _ in range(MAX_KEYS):
        if text[at] != '"':
            raise ValueError
        name, at = _DECODER.raw_decode(text, at)
        value, at = _DECODER.raw_decode(text, _behind(":", text, at))
        at = _skip(text, at)
        if name.casefold() == key and text[at] in ",}":
            found.append((name, value))
        if text[at] == "}":
            return _end(text, at + 1)
        at = _behind(",", text, at)
    raise ValueError


def _behind(sign: str, text: str, at: int) -> int:
    at = _skip(text, at)
    if text[at] != sign:
        raise ValueError
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space is not None else at


def _end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise ValueError
