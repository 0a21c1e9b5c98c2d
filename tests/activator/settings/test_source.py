"""A file says the same whether libyaml reads it or PyYAML alone, and nothing in it can blow up."""

from __future__ import annotations

import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from activator.settings import source
from activator.settings.problems import SettingsError

PARSERS = (source._FAST, yaml.SafeLoader)
PIECES = st.lists(
    st.sampled_from(
        [
            "a",
            "b:",
            "- ",
            "\n",
            "\n  ",
            ": ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "'",
            '"',
            "!x ",
            "!!int ",
            "!!map ",
            "? ",
            "1",
            "0x1",
            "-2.5e3",
            ".inf",
            "no",
            "true",
            "~",
            "",
            " ",
            ">\n",
            "#c",
            "&a ",
            "*a",
            "---\n",
            "é",
            "12:30",
            "...\n",
        ]
    ),
    max_size=30,
).map("".join)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(string.printable, max_size=12)
)
DATA = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("abc-", min_size=1), inner))
)


def told(text: str, parser: Any) -> object:
    """Return what `parser` makes of a text: everything, or that it is refused."""
    try:
        read = source._read(text, "test.yaml", parser)
    except (yaml.YAMLError, SettingsError):
        return "refused"
    return (repr(read.data), read.findings, read.damaged, read.lines)


@pytest.mark.skipif(PARSERS[0] is PARSERS[1], reason="there is no libyaml here: install a wheel of PyYAML")
@given(PIECES)
def test_both_parsers_say_the_same_of_any_text(text: str) -> None:
    assert told(text, PARSERS[0]) == told(text, PARSERS[1])


class Quoting(yaml.SafeDumper):
    """Quotes all text: what PyYAML, by YAML 1.1, takes for text may be a number by YAML 1.2 (0E0)."""


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(DATA)
def test_what_yaml_writes_is_read_as_it_was(data: Any) -> None:
    text = yaml.dump({"data": data}, Dumper=Quoting, allow_unicode=True)
    assert source.parse(text, "test.yaml").data == {"data": data}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_a_file_that_is_one_great_nest_is_refused_quickly(opening: str) -> None:
    with pytest.raises(SettingsError, match=r"nested too deep|not YAML"):
        source.parse(opening * 200_000, "test.yaml")


def test_an_alias_is_refused_wherever_it_hides() -> None:
    for text in ("a: &x 1\nb: *x", "a: &x 1\n? [*x]\n: 2", "a: &x 1\nb: !t [[*x]]"):
        with pytest.raises(SettingsError, match="aliases"):
            source.parse(text, "test.yaml")


def test_what_is_passed_over_does_not_hide_what_comes_behind_it() -> None:
    read = source.parse("a: !t {b: [1, {c: 2}]}\n? {d: [3]}\n: [[4], 5]\na: [6, [7]]\nz: 8\n", "test.yaml")
    assert (read.data, read.damaged) == ({"a": None, "z": 8}, [("a",), ()])
    assert [finding.message.partition(" (")[0] for finding in read.findings] == [
        "YAML tags are not supported",
        "a key must be text",
        "is written twice",
    ]


def test_only_one_document_is_read() -> None:
    with pytest.raises(SettingsError, match="expected a single document"):
        source.parse("a: 1\n---\nb: 2\n", "test.yaml")


@pytest.mark.parametrize("read", [source.parse, source.parse_documents])
def test_bytes_of_an_environment_variable_that_are_no_text_are_refused(read: Any) -> None:
    with pytest.raises(SettingsError) as error:
        read("listen: \udcff", "$ACTIVATOR_CONFIG")
    assert "has a character that YAML does not allow (character 0xdcff)" in str(error.value)
