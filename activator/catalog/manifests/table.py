"""What becomes of each field of a manifest, as data: the reader goes by it and the reference is printed from it.

No field is passed over in silence: whatever a table does not name is warned of, and so is what it names as of no
effect. What the server wrote (an exported manifest is full of it) is told in one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import near
from activator.settings.problems import Finding, Location, path_of, shown
from activator.settings.rules import RefusedError, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fate(StrEnum):
    """What becomes of a field: it counts as it is, as something else, or not at all (and a warning says so); or the
    manifest cannot be taken with it.
    """

    HONOURED = "honoured"
    TRANSLATED = "translated"
    WARNED = "warned"
    REFUSED = "refused"
    SERVER = "left out"  # the API server's own writing, warned of in one line


@dataclass(frozen=True, slots=True)
class Field:
    """A key, what becomes of it, and what it may be: a value by `rule`, a mapping by `inside`, or a list of `each`.
    `also` are other names of it."""

    key: str
    fate: Fate
    what: str
    rule: Rule | None = None
    inside: Table | None = None
    each: Table | None = None
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name of the key."""
        return (self.key, *self.also)


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one mapping; `rest` tells of all others, where they are free, but not of those that begin with one of
    the `closed` prefixes. The keys of tables that it `includes` are its own, too."""

    title: str
    fields: tuple[Field, ...]
    includes: tuple[Table, ...] = ()
    rest: Field | None = None
    closed: tuple[str, ...] = ()

    def field(self, key: str) -> Field | None:
        """Return what is said of a key, None if nothing is."""
        free = None if key.startswith(self.closed or "\0") else self.free()
        return next((each for each in self.all_fields() if key in each.names), free)

    def free(self) -> Field | None:
        """Return what is said of keys that are not named, None if there are none."""
        return self.rest or next((found for each in self.includes if (found := each.free())), None)

    def all_fields(self) -> Iterator[Field]:
        """Yield the fields, with those of the tables it includes."""
        yield from self.fields
        for each in self.includes:
            yield from each.all_fields()


@dataclass(slots=True)
class Cleaned:
    """What a table leaves of a manifest: `data` has only what counts, with values as their rules read them."""

    data: dict[str, Any] = field(default_factory=dict)
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


def clean(data: dict[str, Any], table: Table, at: Location) -> Cleaned:
    """Return what counts of a manifest that lies at `at` of its file, what is wrong with it, and what has no effect."""
    cleaned, server = Cleaned(), list[Location]()
    cleaned.data = _mapping(data, table, (at, cleaned, server))
    if server:
        names = ", ".join(path_of(place[len(at) :]) for place in server)
        cleaned.warnings.append(Finding(server[0], f"written by the API server, left out: {names}"))
    return cleaned


_State = tuple[Location, Cleaned, list[Location]]


def _mapping(data: object, table: Table, state: _State) -> dict[str, Any]:
    at, cleaned, server = state
    if not isinstance(data, dict):
        cleaned.errors.append(Finding(at, "must be a mapping of keys", shown(data)))
        return {}
    kept = {}
    for key, value in data.items():
        known, place = table.field(key), (*at, key)
        if value is None:
            continue
        if known is None:
            names = [name for each in table.all_fields() for name in each.names]
            cleaned.warnings.append(Finding(place, "unknown field, it has no effect", suggestion=near(key, names)))
        elif known.fate is Fate.SERVER:
            server.append(place)
        elif known.fate is Fate.REFUSED:
            cleaned.errors.append(Finding(place, f"cannot be: {known.what}"))
        elif known.fate is Fate.WARNED:
            cleaned.warnings.append(Finding(place, f"has no effect: {known.what}"))
        else:
            kept[key] = _value(value, known, (place, cleaned, server))
    return kept


def _value(value: Any, known: Field, state: _State) -> Any:
    at, cleaned, server = state
    if known.inside is not None:
        return _mapping(value, known.inside, state)
    if known.each is not None:
        if not isinstance(value, list):
            cleaned.errors.append(Finding(at, "must be a list", shown(value)))
            return []
        return [_mapping(item, known.each, ((*at, index), cleaned, server)) for index, item in enumerate(value)]
    if known.rule is None:
        return value
    try:
        return known.rule.read(value)
    except RefusedError as error:
        cleaned.errors.append(Finding(at, str(error), shown(value), known.rule.allowed, error.suggestion))
        return None
