"""Files for Kubernetes: several documents, aliases and merge keys, within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from activator.settings.problems import SettingsError
from activator.settings.source import parse_documents

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 7)
)


def read(text: str) -> list[Any]:
    return [source.data for source in parse_documents(text, "x.yaml")]


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_documents(text, "x.yaml")
    return str(caught.value)


def test_each_document_is_read_and_empty_ones_are_left_out() -> None:
    assert read("---\na: 1\n---\n# nothing\n---\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]
    assert read("") == read("# nothing\n") == []


def test_lines_are_those_of_the_file() -> None:
    first, second = parse_documents("a: 1\n---\nb:\n  c: 2\n", "x.yaml")
    assert (first.line(("a",)), second.line(("b", "c"))) == (1, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 5\nb: *x\n", {"a": 5, "b": 5}),
        ("a: &x {b: [1, 2]}\nc: [*x, *x]\n", {"a": {"b": [1, 2]}, "c": [{"b": [1, 2]}] * 2}),
        ("a: &x [&y 1, *y]\nb: [*x, *y]\n", {"a": [1, 1], "b": [[1, 1], 1]}),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        ("a: &x no\nb: *x\n", {"a": "no", "b": "no"}),
    ],
)
def test_an_alias_is_what_its_anchor_stands_for(text: str, expected: Any) -> None:
    assert read(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", {"b": 1, "c": 3}),
        ("a: &x {b: 1}\ne: &y {b: 2, c: 2}\nd: {<<: [*x, *y], f: 3}\n", {"b": 1, "c": 2, "f": 3}),
        ("d: {<<: {<<: {b: 1}, c: 2}}\n", {"b": 1, "c": 2}),
        ("d: {<<: text, b: 1}\n", {"<<": "text", "b": 1}),
    ],
)
def test_a_merge_key_brings_in_what_is_not_written_beside_it(text: str, expected: Any) -> None:
    assert read(text)[0]["d"] == expected


@pytest.mark.parametrize("text", ["a: *x\n", "a: &x [*x]\n", "a: &x {<<: *x}\n", "a: &x 1\n---\nb: *x\n"])
def test_an_alias_of_nothing_or_of_itself_is_refused(text: str) -> None:
    assert "nothing is anchored by the name x yet" in refused(text)


def test_a_small_file_that_would_be_huge_is_refused() -> None:
    assert "is too large, with what its aliases stand for" in refused(BOMB)


def test_deep_nesting_is_refused() -> None:
    assert "nested too deep" in refused("[" * 60 + "]" * 60)
    assert read("[" * 40 + "]" * 40)


def test_json_indented_by_tabs_is_read() -> None:
    assert read('{\n\t"a": [\n\t\t1\n\t]\n}\n') == [{"a": [1]}]
    assert "not YAML" in refused("a:\n\tb: 1\n")
