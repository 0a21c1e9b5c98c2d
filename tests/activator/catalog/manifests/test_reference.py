"""docs/inferenceservice.md has the tables by which manifests are read, and every field that counts has an effect."""

from __future__ import annotations

import re
from pathlib import Path

from activator.catalog.annotations import KNATIVE_KEYS
from activator.catalog.manifests.annotations import SUFFIXES
from activator.settings.manifests import Manifests
from tests.activator.catalog.manifests.reference import markdown

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "inferenceservice.md").read_text()
MARK = "## Every field\n\n"


def test_the_page_has_the_tables_word_for_word() -> None:
    """To write them anew: python -c "from tests.activator.catalog.manifests.reference import *; print(markdown())"."""
    assert PAGE.partition(MARK)[2] == markdown()


def test_every_link_of_the_page_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^a-z0-9-]", "", title.lower().replace(" ", "-"))
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([^)]+)\)", PAGE)) <= anchors
    for name in re.findall(r"\]\(([\w.-]+\.md)\)", PAGE):
        assert (ROOT / "docs" / name).exists()


def test_every_setting_that_the_page_names_is_one() -> None:
    assert set(re.findall(r"`manifests\.([a-z-]+)`", PAGE)) == set(Manifests.fields_by_key())


def test_the_annotations_of_knative_are_those_of_deployments() -> None:
    assert [suffix for suffix, _ in SUFFIXES] == list(KNATIVE_KEYS)
