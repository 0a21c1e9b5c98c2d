"""The bounded look into a body, whatever it is coded in."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.peek import PEEK, model_in
from router.toplevel import Ambiguous
from tests.router.fakes import request

BODY = json.dumps({"model": "a", "prompt": "x" * 300}).encode()
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'


def named(data: bytes, *fields: str, whole: bool = True) -> str | None:
    return model_in(request("POST /v1/completions HTTP/1.1", *fields), data, whole=whole)


def coded(body: bytes, coding: str) -> bytes:
    return zlib.compress(body) if coding == "deflate" else gzip.compress(body)


@pytest.mark.parametrize("fields", [(), ("Content-Type: application/json",), ("Content-Type: text/plain",)])
def test_json_is_read_whatever_its_type_says(fields: tuple[str, ...]) -> None:
    assert named(BODY, *fields) == "a"


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "us-ascii", "ISO-8859-1"])
def test_a_charset_that_has_ascii_as_it_is_changes_nothing(charset: str) -> None:
    assert named(BODY, f"Content-Type: application/json; charset={charset}") == "a"
    assert named(FORM, f"Content-Type: multipart/form-data; charset={charset}; boundary=b") == "whisper-1"


@pytest.mark.parametrize("charset", ["utf-7", "UTF-16", '"utf-7"', "'utf-7'", "utf-8; charset=utf-7", " utf-7"])
def test_in_another_charset_keys_may_read_otherwise_and_hide_the_model(charset: str) -> None:
    assert json.loads(b'{"model": "a", "+AG0-odel": "b"}'.decode("utf-7")) == {"model": "b"}
    assert named(b'{"model": "a", "+AG0-odel": "b"}', f"Content-Type: application/json; charset={charset}") is None
    assert named(FORM, f"Content-Type: multipart/form-data; boundary=b; charset={charset}") is None


def test_json_that_says_it_is_pairs_is_read_as_curl_sends_it() -> None:
    body = b'{"model": "a", "prompt": "a = b & c; the &models= are &remodel=, model=b"}'
    assert named(body, "Content-Type: application/x-www-form-urlencoded") == "a"


@pytest.mark.parametrize(
    "pair", ["&model=b&", ";model=b&", "&mod%65l=b&", "&%4D%4f%44%45%4C=b&", "&model[]=b&", "&model"]
)
def test_json_in_which_a_reader_of_pairs_finds_another_model_is_ambiguous(pair: str) -> None:
    body = json.dumps({"model": "a", "prompt": pair}).encode()
    assert named(body) == "a"
    for whole in (True, False):
        with pytest.raises(Ambiguous, match="'model'"):
            named(body, "Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8", whole=whole)


def test_a_form_is_read_by_its_type_only() -> None:
    assert named(FORM, "Content-Type: multipart/form-data; boundary=b") == "whisper-1"
    assert named(FORM) is None
    assert named(BODY, "Content-Type: multipart/form-data; boundary=b") is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "x-gzip", "GZip"])
def test_gzip_and_deflate_are_looked_into(coding: str) -> None:
    field = f"Content-Encoding: {coding}"
    assert named(coded(BODY, coding), field) == "a"
    assert named(coded(FORM, coding), field, "Content-Type: multipart/form-data; boundary=b") == "whisper-1"
    with pytest.raises(Ambiguous):
        named(coded(b'{"model": "a", "model": "b"}', coding), field)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", ""])
def test_a_coding_that_cannot_be_read_hides_the_model(coding: str) -> None:
    assert named(BODY, f"Content-Encoding: {coding}") is None


def test_identity_is_no_coding() -> None:
    assert named(BODY, "Content-Encoding: identity") == "a"


def test_fields_that_are_there_twice_hide_the_model() -> None:
    form = "Content-Type: multipart/form-data; boundary=b"
    assert named(BODY, "Content-Encoding: identity", "Content-Encoding: gzip") is None
    assert named(FORM, form, form) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        BODY,
        gzip.compress(BODY)[:-9],
        gzip.compress(BODY)[:-1] + b"\7",
        gzip.compress(BODY[:20]) + gzip.compress(BODY[20:]),
        gzip.compress(BODY) + b"\0",
        gzip.compress(BODY) + gzip.compress(b""),
    ],
    ids=["nothing", "plain", "cut", "wrong length", "two members", "zero behind", "empty member behind"],
)
def test_a_broken_or_several_fold_gzip_hides_the_model(data: bytes) -> None:
    assert named(data, "Content-Encoding: gzip") is None


@given(st.data())
def test_the_beginning_of_a_coded_body_tells_the_same_or_nothing(data: st.DataObject) -> None:
    coding = data.draw(st.sampled_from(("gzip", "deflate")))
    sent = coded(json.dumps({"n": list(range(200)), "model": "a", "m": list(range(200))}).encode(), coding)
    ends = sorted(data.draw(st.lists(st.integers(0, len(sent) - 1), min_size=2, max_size=3)))
    told = [named(sent[:end], f"Content-Encoding: {coding}", whole=False) for end in ends]
    assert set(told) <= {None, "a"}
    assert told == sorted(told, key=bool)
    assert {named(sent[:end], f"Content-Encoding: {coding}") for end in ends} == {None}


def test_no_more_than_a_peek_is_decoded() -> None:
    behind = gzip.compress(b'{"prompt": "' + b"x" * PEEK + b'", "model": "a"}')
    bomb = gzip.compress(b'{"model": "a", "prompt": "' + b"0" * (256 << 20 >> 4) + b'"}')
    assert named(behind, "Content-Encoding: gzip") is None
    assert named(bomb, "Content-Encoding: gzip") == "a"
    assert len(bomb) < PEEK
