"""The tables of fields as Markdown: what docs/inferenceservice.md has, word for word."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from activator.catalog.manifests.fields import ALPHA, BETA
from activator.catalog.manifests.knative import KNATIVE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from activator.catalog.manifests.table import Field, Table

ROOTS = (BETA, ALPHA, KNATIVE_SERVICE)


def markdown() -> str:
    """Return all tables, each once, an object before what is in it."""
    return "\n".join(_section(table) for table in _tables())


def _tables() -> Iterator[Table]:
    """Yield the tables breadth first, so that a reader meets them from the outside in."""
    waiting, seen = list(ROOTS), set[str]()
    while waiting:
        table = waiting.pop(0)
        if table.title in seen:
            continue
        seen.add(table.title)
        yield table
        waiting += [inner for each in table.fields if (inner := _inner(each))]
        waiting += table.includes


def _section(table: Table) -> str:
    fields = (*table.fields, *((table.rest,) if table.rest else ()))
    rows = [_row(list(same)) for _, same in groupby(fields, key=lambda each: (each.fate, each.what, _inner(each)))]
    more = ", ".join(map(_link, table.includes))
    lines = [f"### {table.title}", "", "| field | | |", "|---|---|---|", *rows]
    return "\n".join([*lines, *(["", f"And the fields of {more}."] if more else []), ""])


def _row(fields: Sequence[Field]) -> str:
    """Return the row of fields of which the same is to be said."""
    inner = _inner(fields[0])
    told = "; ".join(part for part in (fields[0].what, f"see {_link(inner)}" if inner else "") if part)
    return f"| {', '.join(f'`{name}`' for each in fields for name in _names(each))} | {fields[0].fate} | {told} |"


def _names(field: Field) -> Iterable[str]:
    """Return the names of a field, without those that are the first in camelCase."""
    names: dict[str, str] = {}
    for name in field.names:
        names.setdefault(name.replace("-", "").lower(), name)
    return names.values()


def _inner(field: Field) -> Table | None:
    return field.inside or field.each


def _link(table: Table) -> str:
    anchor = "".join(each for each in table.title.lower().replace(" ", "-") if each.isalnum() or each == "-")
    return f"[{table.title}](#{anchor})"
