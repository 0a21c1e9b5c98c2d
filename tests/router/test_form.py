"""The text of one field in a multipart form, or nothing where its readers could see another form."""

from __future__ import annotations

import time
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.form import MAX_PARTS, is_form, text_of
from router.toplevel import Ambiguous

TYPE = b"multipart/form-data; boundary=frontier"
MODEL = b'Content-Disposition: form-data; name="model"'
FILE = b'Content-Disposition: form-data; name="file"; filename="speech.wav"\r\nContent-Type: audio/wav'


def form(*parts: tuple[bytes, bytes], end: bytes = b"--frontier--\r\n") -> bytes:
    return b"".join(b"--frontier\r\n%s\r\n\r\n%s\r\n" % part for part in parts) + end


def named(data: bytes, *, kind: bytes = TYPE, whole: bool = True) -> str | None:
    return text_of("model", kind, data, whole=whole)


@pytest.mark.parametrize(
    "parts", [((MODEL, b"whisper-1"), (FILE, b"RIFF\r\n\0")), ((FILE, b"RIFF--\r\n"), (MODEL, b"whisper-1"))]
)
def test_the_field_is_found_before_and_behind_a_file(parts: tuple[tuple[bytes, bytes], ...]) -> None:
    assert named(form(*parts)) == "whisper-1"
    assert named(form(*parts, end=b"--frontier--")) == "whisper-1"


@pytest.mark.parametrize(
    "head",
    [
        b"content-disposition:form-data;name=model",
        b'Content-Disposition: Form-Data; Name="model"\r\nContent-Type: text/plain; charset=utf-8',
        MODEL + b"\r\nContent-Length: 9",
        MODEL + b"\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit",
        b'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="model"',
        b'Content-Disposition: form-data ; name="model"; ',
    ],
)
def test_a_part_may_be_written_in_other_ways_that_all_understand(head: bytes) -> None:
    assert named(form((head, b"org/n\xc3\xa4me"))) == "org/näme"


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data;boundary=frontier",
        b'Multipart/Form-Data; charset=utf-8; BOUNDARY="frontier"',
        b"multipart/form-data ; boundary=frontier ;",
    ],
)
def test_a_type_may_be_written_in_other_ways(kind: bytes) -> None:
    assert is_form(kind)
    assert named(form((MODEL, b"a")), kind=kind) == "a"


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=other; boundary=frontier",
        b"multipart/form-data; boundary*=utf-8''frontier",
        b'multipart/form-data; boundary="fron\\tier"',
        b"multipart/form-data; boundary=other",
    ],
)
def test_without_one_clear_boundary_nothing_is_found(kind: bytes) -> None:
    assert named(form((MODEL, b"a")), kind=kind) is None


@pytest.mark.parametrize("written", [b"frontier ", b"<frontier>", b"frontier" + b"x" * 63, b"front\xc3\xa9"])
def test_a_boundary_that_some_readers_trim_or_do_not_take_hides_the_model(written: bytes) -> None:
    data = form((MODEL, b"a")).replace(b"--frontier", b"--" + written)
    assert named(data, kind=b'multipart/form-data; boundary="%b"' % written) is None


@pytest.mark.parametrize("boundary", [b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"=_3f'(0)+,./:? x", b"x" * 70])
def test_a_boundary_may_have_all_the_signs_that_it_may(boundary: bytes) -> None:
    data = form((MODEL, b"a")).replace(b"--frontier", b"--" + boundary)
    assert named(data, kind=b'multipart/form-data; boundary="%b"' % boundary) == "a"


@pytest.mark.parametrize("kind", [b"application/json", b"multipart/mixed; boundary=x", b"multipart/form-dataX", b""])
def test_other_types_are_no_forms(kind: bytes) -> None:
    assert not is_form(kind)


@pytest.mark.parametrize(
    "heads",
    [
        (MODEL, MODEL),
        (MODEL, MODEL + b'; filename="model"'),
        (MODEL + b'; filename="model"',),
        (MODEL + b"\r\nContent-Transfer-Encoding: base64",),
    ],
)
def test_a_field_that_is_there_twice_or_is_no_plain_text_is_ambiguous(heads: tuple[bytes, ...]) -> None:
    with pytest.raises(Ambiguous, match="'model'"):
        named(form(*((head, b"YQ==") for head in heads)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"model=a",
        b'{"model": "a"}',
        b"preamble\r\n" + form((MODEL, b"a")),
        b"\r\n" + form((MODEL, b"a")),
        form((MODEL, b"a")) + b"epilogue",
        form((MODEL, b"a"), end=b""),
        form((MODEL, b"a")).replace(b"\r\n", b"\n"),
        form((MODEL, b"a"), (FILE, b"x\n--frontier\n" + MODEL + b"\n\nb")),
        form((MODEL, b"a"), (FILE, b"x\r--frontier")),
        form((MODEL, b"a"), (FILE, b"x\r\n--frontier \r\n" + MODEL + b"\r\n\r\nb")),
        form((MODEL, b"a"), (FILE, b"x\r\n--frontierX\r\n" + MODEL + b"\r\n\r\nb")),
        form((MODEL, b"a"), (FILE, b"x\r\n--frontier-- \r\n")),
        form((MODEL, b"\xff")),
        form((MODEL, b"a"), (b'Content-Disposition: form-data; name="x"; name="model"', b"b")),
        form((MODEL, b"a"), (b"Content-Disposition: form-data; name=\"x\"; name*=utf-8''model", b"b")),
        form((MODEL, b"a"), (b'Content-Disposition: form-data; name="x\\"; name="model"', b"b")),
        form((MODEL, b"a"), (b'Content-Disposition: form-data; name="x" name="model"', b"b")),
        form((MODEL, b"a"), (b'Content-Disposition: attachment; name="model"', b"b")),
        form((MODEL, b"a"), (b'Content-Disposition: form-data;\r\n name="model"', b"b")),
        form((MODEL, b"a"), (b'Content-Disposition : form-data; name="model"', b"b")),
        form((MODEL, b"a"), (MODEL.replace(b"model", b"x") + b"\r\n" + MODEL, b"b")),
        form((MODEL, b"a"), (MODEL.replace(b"model", b"x") + b"\n" + MODEL, b"b")),
        form((MODEL, b"a"), (b"Content-Type: text/plain", b"b")),
        form(*((b'Content-Disposition: form-data; name="x"', b"") for _ in range(MAX_PARTS)), (MODEL, b"a")),
    ],
)
def test_in_what_could_be_cut_or_named_otherwise_nothing_is_found(data: bytes) -> None:
    assert named(data) is None


def test_a_line_of_nothing_but_spaces_holds_nobody_up() -> None:
    data = form((b"X:" + b" " * 60_000 + b"\nx", b""), (MODEL, b"a"))
    began = time.process_time()
    assert named(data) is None
    assert time.process_time() - began < 5  # of 2 ms in one pass; to try each space in two ways takes 40 s


@pytest.mark.parametrize(
    "disposition",
    [
        b'form-data; name="file"; filename="speech.wav"; filename*=UTF-8\'\'speech.wav',
        b"form-data; name=file; filename=speech.wav; filename*=utf-8''speech.wav",
        b'form-data; name="file"; filename="r\xc3\xa9sum\xc3\xa9 (1); final.wav"',
    ],
)
def test_a_file_may_be_named_in_all_the_ways_that_clients_do(disposition: bytes) -> None:
    assert named(form((b"Content-Disposition: " + disposition, b"RIFF"), (MODEL, b"whisper-1"))) == "whisper-1"


def test_another_field_is_not_the_one() -> None:
    assert named(form((b'Content-Disposition: form-data; name="Model"', b"a"))) is None
    assert named(form((b"Content-Disposition: form-data", b"a"))) is None


def test_the_beginning_of_a_form_tells_the_same_as_the_whole_or_nothing() -> None:
    data = form((b'Content-Disposition: form-data; name="language"', b"en"), (MODEL, b"whisper-1"), (FILE, bytes(100)))
    told = [named(data[:end], whole=False) for end in range(len(data))]
    assert set(told) == {None, "whisper-1"}
    assert told == sorted(told, key=bool)
    assert {named(data[:end]) for end in range(len(data) - 2)} == {None}


VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=10)
NAMES = st.sampled_from(["model", "file", "language", "prompt"])


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=4, unique_by=lambda part: part[0]))
def test_a_proper_form_is_read_as_another_parser_reads_it(parts: list[tuple[str, str]]) -> None:
    data = form(*((f'Content-Disposition: form-data; name="{name}"'.encode(), text.encode()) for name, text in parts))
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + data)
    theirs = {part.get_param("name", header="content-disposition"): part.get_payload() for part in message.iter_parts()}
    assert named(data) == theirs.get("model")


@given(st.lists(st.sampled_from([b"--frontier", b"--", b"\r\n", b"\n", MODEL, FILE, b"a", b":", b"; "]), max_size=14))
def test_whatever_comes_there_is_a_text_or_none_or_it_is_ambiguous(pieces: list[bytes]) -> None:
    for whole in (True, False):
        try:
            found = named(b"".join(pieces), whole=whole)
        except Ambiguous:
            continue
        assert found is None or isinstance(found, str)
