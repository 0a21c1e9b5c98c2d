"""No field that is said to count is without an effect: each is taken away, and something else must come of it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from activator.catalog.manifests import local, previous, read, render
from activator.catalog.manifests.read import KINDS, Document
from activator.settings.problems import SettingsError
from activator.settings.schema import Settings
from activator.settings.source import Source
from tests.activator.catalog.manifests.full import BEFORE, COUNTS, FOCUS, MANIFESTS
from tests.activator.catalog.manifests.reference import ROOTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.catalog.manifests.model import Manifests
    from activator.catalog.manifests.table import Field, Table

    Visit = tuple[tuple[str | int, ...], Table, Field]

SETTINGS = Settings.model_validate({"manifests": {"domain": "models.example"}, "services": []})


def manifests_of(data: Any) -> Manifests:
    return read.build([Document(Source("m.yaml", data), (), data)], SETTINGS.manifests)


def outcome(data: Any) -> Any:
    """Return everything that is made of a manifest, and said of it."""
    try:
        manifests = previous.join(manifests_of(data), manifests_of(BEFORE))
        commands = {each.name: "model" for each in manifests.applications}
        here = local.local(manifests.applications, commands, 8080)
        return render.render(manifests.applications, SETTINGS.manifests), here, manifests.warnings
    except SettingsError as error:
        return str(error)


def visits(data: Any, table: Table, at: tuple[str | int, ...] = ()) -> Iterator[Visit]:
    """Yield what of a manifest is described by a field of a table, with that field."""
    for key, value in data.items():
        field = table.field(key)
        if field is None:
            continue
        place = (*at, key)
        yield place, table, field
        if field.inside is not None:
            yield from visits(value, field.inside, place)
        if field.each is not None:
            for index, item in enumerate(value):
                yield from visits(item, field.each, (*place, index))


def at(data: Any, place: tuple[str | int, ...]) -> Any:
    for part in place:
        data = data[part]
    return data


def without(data: Any, place: tuple[str | int, ...]) -> Any:
    copy = deepcopy(data)
    inner = copy
    for part in place[:-1]:
        inner = inner[part]
    del inner[place[-1]]
    return copy


def counting(table: Table, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the fields that count by the table that has them and their key."""
    if table.title in seen:
        return
    seen.add(table.title)
    for each in (*table.fields, *((table.rest,) if table.rest else ())):
        if each.fate in COUNTS and (each.inside is None or any(counting(each.inside, set()))):
            yield table.title, each.key
        for inner in (each.inside, each.each):
            if inner is not None:
                yield from counting(inner, seen)
    for included in table.includes:
        yield from counting(included, seen)


def owner(table: Table, field: Field) -> str:
    """Return the title of the table that a field is in, which `table` may only include."""
    return next(
        (found for each in table.includes if (found := owner(each, field))),
        "" if field not in (*table.fields, table.rest) else table.title,
    )


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_field_that_counts_has_an_effect(name: str) -> None:
    data = MANIFESTS[name]
    table, _ = KINDS[data["apiVersion"], data["kind"]]
    whole = outcome(data)
    idle = [
        place
        for place, _, field in visits(data, table)
        if field.fate in COUNTS and at(data, place) and outcome(without(data, place)) == whole
    ]
    assert [place for place in idle if FOCUS.get(name, place[-1]) == place[-1]] == []


def test_every_field_that_counts_is_tried() -> None:
    tried = {
        (owner(table, field), field.key)
        for data in MANIFESTS.values()
        for _, table, field in visits(data, KINDS[data["apiVersion"], data["kind"]][0])
    }
    every = {row for seen in [set[str]()] for root in ROOTS for row in counting(root, seen)}
    assert every - tried == set()
