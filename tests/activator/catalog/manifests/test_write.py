"""YAML that YAML 1.1 and 1.2 readers, and kubectl, take for the same data."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from activator.catalog.manifests import write
from activator.settings.source import parse_documents

DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/.-:#? ", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "text", ["yes", "on", "1e3", "0x1f", "012", "1:30", "1.5", "~", "", "null", "y", "2020-01-01", "- a", "a: b", "#"]
)
def test_text_that_could_be_something_else_is_quoted(text: str) -> None:
    assert write.document({"a": text}) == f'a: "{text}"\n'


@pytest.mark.parametrize("text", ["plain", "/v1/models/m", "tensorflow/serving:2.6.2", "a.b.c"])
def test_text_that_cannot_is_not(text: str) -> None:
    assert write.document({"a": text}) == f"a: {text}\n"


def test_a_script_stays_readable() -> None:
    assert write.document({"args": ["set -e\npython model.py\n"]}) == "args:\n  - |\n    set -e\n    python model.py\n"


@given(st.text("ab \n#:-'", max_size=12))
def test_lines_are_read_back_whatever_they_look_like(text: str) -> None:
    written = write.document({"a": [text]})
    assert yaml.safe_load(written) == {"a": [text]}
    assert [each.data for each in parse_documents(written, "x")] == [{"a": [text]}]


@given(DATA)
def test_what_is_written_is_read_back(data: Any) -> None:
    assert yaml.safe_load(write.document({"a": data})) == {"a": data}


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
    )
)
def test_our_own_reader_reads_it_too(data: Any) -> None:
    assert [each.data for each in parse_documents(write.document({"a": data}), "x")] == [{"a": data}]


def test_nothing_is_written_as_an_alias() -> None:
    same = {"a": "b"}
    assert "&" not in write.document([same, same])
