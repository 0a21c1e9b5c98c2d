"""YAML's aliases and merge keys, for files that were written for kubectl, up to a number of values.

An alias is replaced by what its anchor stands for before anything is made of it, so whoever reads the values knows no
aliases. A merge key (`<<`) brings in the keys of another mapping; what is written beside it counts more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_EVENTS = 200_000
MERGE = "<<"


@dataclass(slots=True)
class _Anchored:
    """The events of a value that has an anchor, as far as they are read; `depth` = how many collections are open."""

    name: str
    events: list[Any] = field(default_factory=list)
    depth: int = 0

    def add(self, event: Any) -> None:
        self.events.append(event)
        self.depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)


def expanded(events: Iterable[Any]) -> Iterator[Any]:
    """Yield a stream's events with what aliases stand for in their place. MarkedYAMLError if there is no such anchor
    yet, or if it becomes too much."""
    anchors: dict[str, list[Any]] = {}
    reading: list[_Anchored] = []
    kept = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
        meant = _meant(event, anchors)
        if meant[0] is event and getattr(event, "anchor", None):
            reading.append(_Anchored(event.anchor))
        kept += len(meant) * (1 + len(reading))
        if kept > MAX_EVENTS:
            raise yaml.MarkedYAMLError(None, None, "is too large, with what its aliases stand for", event.start_mark)
        for each in meant:
            for anchored in reading:
                anchored.add(each)
            yield each
        while reading and not reading[-1].depth:
            whole = reading.pop()
            anchors[whole.name] = whole.events


def with_merges(data: Any) -> Any:
    """Return data with merge keys followed; those whose value is no mapping stay as they are."""
    if isinstance(data, list):
        return [with_merges(item) for item in data]
    if not isinstance(data, dict):
        return data
    own = {key: with_merges(value) for key, value in data.items()}
    merged = own.get(MERGE)
    sources: list[Any] = merged if isinstance(merged, list) else [merged]
    if MERGE not in own or not all(isinstance(each, dict) for each in sources):
        return own
    del own[MERGE]
    for each in sources:
        own = {**each, **own}
    return own


def _meant(event: Any, anchors: dict[str, list[Any]]) -> list[Any]:
    if not isinstance(event, yaml.AliasEvent):
        return [event]
    if event.anchor not in anchors:
        at: Any = event.start_mark
        raise yaml.MarkedYAMLError(None, None, f"nothing is anchored by the name {event.anchor} yet", at)
    return anchors[event.anchor]
