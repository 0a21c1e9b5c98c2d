"""Manifests as they should not be: whatever is changed, they load or are refused with the place; nothing crashes."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from activator.catalog import file
from activator.catalog.manifests import advice, previous, read, use, write
from activator.catalog.manifests.read import Document
from activator.catalog.merge import Deployments
from activator.settings.problems import SettingsError
from activator.settings.schema import Settings
from activator.settings.source import Source, parse_documents
from tests.activator.catalog.manifests.full import MANIFESTS
from tests.activator.catalog.manifests.test_render import objects, tried
from tests.activator.settings.files import loaded as settings_of

if TYPE_CHECKING:
    from activator.catalog.manifests.model import Manifests

DEFAULTS = Settings()
KEYS = st.sampled_from(["predictor", "containers", "env", "limits", "name", "image", "annotations", "spec", "x", ""])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["pvc://", "s3://", "oci://x", "1e9", "-1", "\0", "ü", "nvidia.com/gpu", "x" * 300, "{}", "yes"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=4
)


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every place in some data but the whole."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in items for place in ((*at, key), *places(value, (*at, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Return a manifest in which a few things were replaced, added or taken away."""
    return draw(damaged(MANIFESTS[draw(st.sampled_from(sorted(MANIFESTS)))]))


@st.composite
def damaged(draw: st.DrawFn, whole: Any) -> Any:
    """Return `whole` with a few things replaced, added or taken away."""
    data: Any = deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        *outer, last = draw(st.sampled_from(places(data)))
        inner: Any = data
        for part in outer:
            inner = inner[part]
        action = draw(st.sampled_from(["replace", "delete", "add"]))
        if action == "replace":
            inner[last] = draw(VALUES)
        elif action == "delete" and (inner is not data or len(data) > 1):
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(KEYS)] = draw(VALUES)
        else:
            inner.append(draw(VALUES))
    return data


def check_all(document: Document, before: Manifests | None = None) -> None:
    """Read a document and carry it through everything that can be done with it."""
    try:
        manifests = previous.join(read.build([document], DEFAULTS.manifests), before)
    except SettingsError as error:
        check_refusal(error)
    else:
        check_use(manifests)


def read_as_it_is(data: Any) -> Manifests | None:
    """Return what a manifest asks for; None if it is refused, or needs another one beside it."""
    try:
        return previous.join(read.build([Document(Source("m.yaml", data), (), data)], DEFAULTS.manifests), None)
    except SettingsError:
        return None


def check_refusal(error: SettingsError) -> None:
    assert {problem.file for problem in error.problems} == {"m.yaml"}
    assert all(problem.message for problem in error.problems)


def check_missing(error: SettingsError) -> None:
    """Check that all that is wrong is a file that is not where the manifest says by now."""
    assert all("upstream-ca" in str(problem) and "cannot be read" in str(problem) for problem in error.problems)


def check_use(manifests: Manifests) -> None:
    for warning in (*manifests.warnings, *advice.advise(manifests.applications)):
        assert str(warning).isprintable()
    commands = [f"{application.name}=model" for application in manifests.applications]
    try:
        here = file.build(settings_of(use.for_here(manifests, commands, DEFAULTS, None)))
    except SettingsError as error:
        check_missing(error)
        return
    merged = Deployments().merge(settings_of("{scaler: memory, services: []}"), objects(manifests, "Deployment"))
    assert (merged.problems, merged.refused) == ({}, frozenset())
    names = {component.name for application in manifests.applications for component in application.components}
    back = file.build(merged.settings)
    assert {service.name for service in back.table.services} == names
    assert {each.name: each.models for each in back.table.services} == {
        each.name: each.models for each in here.table.services
    }
    assert tried(back) == tried(here)
    assert {each.name for each in back.table.services if len(each.shares) > 1} == set(back.canaries)


@given(mutated())
@settings(max_examples=300, deadline=None)
def test_a_mutated_manifest_loads_or_is_refused_with_its_reason(data: Any) -> None:
    check_all(Document(Source("m.yaml", data), (), data))


BEFORE = {name: read_as_it_is(data) for name, data in MANIFESTS.items()}


@given(mutated(), st.sampled_from(sorted(name for name, manifests in BEFORE.items() if manifests)))
@settings(max_examples=200, deadline=None)
def test_a_mutated_manifest_is_a_canary_beside_what_was_rolled_out(data: Any, before: str) -> None:
    check_all(Document(Source("m.yaml", data), (), data), BEFORE[before])


TEXTS = [write.document(each) for each in MANIFESTS.values()]
BITS = ["", "\t", ": ", "- ", "{", "]", "*a", "&a ", "<<: *a\n", "\n---\n", "!x "]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_mutated_text_loads_or_is_refused_with_its_reason(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 4))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 5))
        text = text[:at] + data.draw(st.sampled_from(BITS)) + text[at + cut :]
    try:
        sources = parse_documents(text, "m.yaml")
        documents = [each for source in sources for each in read.objects(source, source.data, ())]
    except SettingsError:
        return
    for document in documents:
        check_all(document)
