"""What the edge reads in a JSON object, and what its readers do: they must never come to different models."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from router.toplevel import MAX_KEYS, Ambiguous, text_at

KEYS = st.sampled_from(["model", "Model", "modell", "mode", "messages", '"model":"x"', "\\", "ümodel", "", "😀"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=5)


@st.composite
def written(draw: st.DrawFn, members: st.SearchStrategy[list[tuple[str, Any]]]) -> tuple[list[tuple[str, Any]], bytes]:
    """Return members of an object and a way to write them: any spaces, any characters as escapes."""
    space = st.text(" \t\r\n", max_size=2)
    made = draw(members)
    pairs = [
        f"{draw(space)}{draw(spelled(key))}{draw(space)}:{draw(space)}{dumped(draw, value)}" for key, value in made
    ]
    text = f"{draw(space)}{{{','.join(pairs) or draw(space)}{draw(space) if pairs else ''}}}{draw(space)}"
    return made, draw(st.sampled_from(("", "\ufeff"))).encode() + text.encode("utf-8")


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """Return a JSON string for `text`, some characters of it escaped that need not be."""
    if not draw(st.booleans()):
        return json.dumps(text, ensure_ascii=False)
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


def dumped(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, str):
        return draw(spelled(value))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from((None, 1))))


def named(data: bytes | str, *, whole: bool = True) -> str | None:
    return text_at("model", data if isinstance(data, bytes) else data.encode(), whole=whole)


def by_json(data: bytes) -> str | None:
    value = json.loads(data).get("model")
    return value if isinstance(value, str) else None


def is_clear(members: list[tuple[str, Any]]) -> bool:
    return sum(key.lower() == "model" for key, _ in members) < 2


@given(written(OBJECTS.map(lambda made: list(made.items())).filter(is_clear)))
def test_a_whole_object_is_read_as_json_reads_it(case: tuple[Any, bytes]) -> None:
    assert named(case[1]) == by_json(case[1])


@given(written(OBJECTS.map(lambda made: list(made.items())).filter(is_clear)), st.data())
def test_the_beginning_of_an_object_tells_the_same_as_the_whole_or_nothing(
    case: tuple[Any, bytes], data: st.DataObject
) -> None:
    _, text = case
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=4)))
    told = [named(text[:end], whole=False) for end in ends]
    assert set(told) <= {None, by_json(text)}
    assert told == sorted(told, key=bool)  # once it is there it stays
    assert all(named(text[:end]) is None for end in ends if text[end:].strip())  # cut, but said to be whole


@given(written(st.lists(st.tuples(KEYS, JSON), max_size=5)))
def test_two_keys_that_some_reader_takes_for_the_same_are_refused(case: tuple[list[tuple[str, Any]], bytes]) -> None:
    members, text = case
    if is_clear(members):
        assert named(text) == by_json(text)
    else:
        for whole in (True, False):
            with pytest.raises(Ambiguous):
                named(text, whole=whole)


READERS = (json.loads, from_json)


@given(written(st.lists(st.tuples(KEYS, JSON), max_size=5)), st.data())
def test_no_reader_comes_to_another_model(case: tuple[Any, bytes], data: st.DataObject) -> None:
    text = bytearray(case[1])
    for at in data.draw(st.lists(st.integers(0, len(text) - 1), max_size=2)):
        text[at] = data.draw(st.sampled_from(b'\\"{}[]:,aN\0\xff '))
    try:
        found = named(bytes(text))
    except Ambiguous:
        return
    for reader in READERS if found is not None else ():
        with suppress(ValueError):
            assert reader(bytes(text))["model"] == found


@given(st.binary(max_size=40) | st.text('{}[]":,\\u model0e-. \n', max_size=40).map(str.encode), st.booleans())
def test_whatever_comes_there_is_a_text_or_none_or_it_is_ambiguous(data: bytes, whole: bool) -> None:
    try:
        found = named(data, whole=whole)
    except Ambiguous:
        return
    assert found is None or isinstance(found, str)
    if whole and found is not None:
        assert by_json(data) == found


@pytest.mark.parametrize(
    "text",
    [
        '{"messages": [{"model": "a"}]}',
        '{"x": "\\"model\\": \\"a\\""}',
        '[{"model": "a"}]',
        '"model"',
        '{"Model": "a"}',
        '{"model": null}',
        '{"model": 5}',
        '{"model": ["a"]}',
        '{"model": {"model": "a"}}',
        "",
        "{}",
        "model=a",
    ],
)
def test_only_a_text_at_the_top_level_is_the_model(text: str) -> None:
    assert named(text) is None
    assert named(text, whole=False) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "a", "x": NaN}',
        '{"model": "a", "x": -Infinity}',
        '{"model": "a",}',
        "{'model': 'a'}",
        '{model: "a"}',
        '{"model": "a"} {"model": "b"}',
        '{"model": "a" /* "b" */}',
        '{"model": "a", "x": 01}',
        '{"model": "a", "x": "\t"}',
        '{"model": "a"}\0',
        '\u00a0{"model": "a"}',
        '{"model": "a", "x": "\\x"}',
        '{"model" "a"}',
        '{"model": "a" "x": 1}',
        '{"model": "a"',
    ],
)
def test_what_is_only_nearly_json_names_no_model(text: str) -> None:
    assert named(text) is None


@pytest.mark.parametrize(
    "between",
    [
        '"x": NaN, ',
        '"x": ' + "1" * 5000 + ", ",
        '"x": ' + "[" * 1500 + "]" * 1500 + ", ",
        '"x": "\t", ',
        '"x": "\\x", ',
        "/* */ ",
        "x: 1, ",
        "".join(f'"x{number}": 1, ' for number in range(MAX_KEYS)),
    ],
    ids=["NaN", "long number", "deep", "control", "escape", "comment", "no key", "many keys"],
)
def test_a_mistake_in_a_beginning_hides_no_second_model_from_a_reader_that_forgives_it(between: str) -> None:
    text = f'{{"model": "a", {between}"model": "b", "prompt": "' + "x" * 100
    assert named(text, whole=False) is None


def test_what_stands_behind_an_object_hides_its_model_also_where_more_may_come() -> None:
    assert named('{"model": "a"}&model=b', whole=False) is None
    assert named('{"model": "a"} ', whole=False) == "a"


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_other_codings_than_utf_8_name_no_model(coding: str) -> None:
    assert named('{"model": "ä"}'.encode(coding)) is None
    assert named('{"model": "ä"}'.encode(coding), whole=False) is None


@pytest.mark.parametrize("spelling", ['"mod\\u0065l"', '"\\u006D\\u006f\\u0064\\u0065\\u006c"', '"MODEL"', '"model"'])
def test_a_second_spelling_of_the_key_is_ambiguous_wherever_it_stands(spelling: str) -> None:
    for text in (f'{{"model": "a", {spelling}: "b"}}', f'{{{spelling}: "b", "x": [], "model": "a"}}'):
        with pytest.raises(Ambiguous, match="'model'"):
            named(text)


def test_a_key_that_is_written_in_escapes_is_the_key() -> None:
    assert named('{"mod\\u0065l": "org\\/na\\u006de"}') == "org/name"


def test_a_character_that_is_cut_in_two_does_no_harm() -> None:
    text = '{"model": "a", "prompt": "ä'.encode()
    assert named(text[:-1], whole=False) == "a"
    assert named(text[:-1]) is None


def test_deep_nesting_and_many_keys_and_long_numbers_are_given_up_on() -> None:
    assert named('{"model": "a", "x": ' + "[" * 60_000 + "]" * 60_000 + "}") is None
    assert named('{"model": "a", ' + '"x": 1,' * MAX_KEYS + '"y": 1}') is None
    assert named('{"model": "a", "x": ' + "1" * 60_000 + "}") is None
